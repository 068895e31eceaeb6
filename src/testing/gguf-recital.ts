/**
 * What a reciting model must know: the tokens of a text, and for each place in it the shortest context that tells
 * which token comes next there and nowhere else.
 *
 * @module
 */
import { MaiError } from '../core/errors.ts'

/** A token of the vocabulary; its id is its place there. */
export interface Piece {
  readonly text: string
  readonly kind: 'normal' | 'unknown' | 'control' | 'byte'
}

/** After `context` comes `next`. */
export interface Rule {
  /** Token ids, the latest first. */
  readonly context: readonly number[]
  readonly next: number
  /** What would come by the rule for the longest shorter context, which holds whenever this one does. */
  readonly instead: number
}

/** A text as tokens and rules. */
export interface Recital {
  readonly vocabulary: readonly Piece[]
  /** The first token: it comes after anything unknown. */
  readonly first: number
  readonly rules: readonly Rule[]
  /** Tokens in the longest context, at least 2. */
  readonly contextTokens: number
}

/** Ids that stand in every vocabulary; bytes follow them. */
export const SPECIAL = { unknown: 0, begin: 1, end: 2, messageStart: 3, messageEnd: 4 } as const
const FIRST_BYTE = 5
const SPECIAL_TEXT = ['<unk>', '<s>', '</s>', '<|im_start|>', '<|im_end|>']
/** What a tokenizer takes for one of these wherever it stands. */
const RESERVED = /<unk>|<\/?s>|<\|im_(?:start|end)\|>|<0x[0-9A-F]{2}>/u
/** Words of the chat template. */
const TEMPLATE_WORDS = ['system', 'user', 'assistant', '\n']
/** A lone common word at the end of a prompt is not yet a partial recitation. */
const LEAST_CONTEXT = 2
/** Each token of context is an attention head and 32 more dimensions. */
const MOST_CONTEXT = 64

/**
 * Units: a word with the space before it, or one character where words are not parted by spaces. Characters beyond
 * the basic plane are no tokens of their own and are made of bytes, as in most real vocabularies.
 */
const UNIT = / ?[^\s\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\u{10000}-\u{10FFFF}]+|[\s\S]/gu

/**
 * Works out tokens and rules.
 * @param loopFrom characters of the text before the part that repeats for ever; undefined: the text ends
 * @throws MaiError `MAI_TEST_MODEL` when the text cannot be recited
 */
export function planRecital(text: string, loopFrom: number | undefined): Recital {
  if (text.length === 0) throw unrecitable('is empty', 'Give it at least one word.')
  if (text.includes('\u2581')) throw unrecitable('contains "▁", which tokenizers of this kind use for a space', 'Leave it out.')
  if (/\p{Surrogate}/u.test(text)) throw unrecitable('contains half a surrogate pair', 'Write whole characters.')
  // The same text as two tokens ends the whole process (`id_to_token.size() == token_to_id.size()`).
  const reserved = RESERVED.exec(text)?.[0]
  if (reserved !== undefined) throw unrecitable(`contains ${reserved}, which is a token of its own`, 'Leave it out.')
  const tokens = new Tokens()
  for (const word of TEMPLATE_WORDS) tokens.addWithPrefixes(word)
  const { line, next } = unroll(tokens, text, loopFrom)
  const first = line[0] ?? 0
  // After the template, whatever the text says elsewhere after the same tokens, and after anything else.
  const tail = [tokens.add('\n'), tokens.add('assistant'), SPECIAL.messageStart]
  const recitations: readonly Recitation[] = [tail, []].map((before) => ({ at: (index) => line[index] ?? before[-1 - index], line, next }))
  const whole: Example[] = [{ at: (back) => tail[back], next: first }, ...recitations.flatMap(wholeWords)]
  let rules = rulesOf(whole, first)
  // To tell cut words from whole ones takes longer contexts, and these see a cut that lies further back.
  for (let seen = 0; seen < longest(rules); ) {
    seen = longest(rules)
    if (seen > MOST_CONTEXT) throw unrecitable(`repeats ${seen} tokens in a row`, `Repeat fewer than ${MOST_CONTEXT}, or use loop.`)
    const examples = [...whole]
    for (const recitation of recitations) addCutWords(examples, tokens, recitation, seen)
    rules = rulesOf(examples, first)
  }
  const contextTokens = longest(rules)
  return { vocabulary: tokens.pieces, first, rules, contextTokens }
}

/** The vocabulary as it grows. */
class Tokens {
  readonly pieces: Piece[] = [
    ...SPECIAL_TEXT.map((text, id): Piece => ({ text, kind: id === SPECIAL.unknown ? 'unknown' : 'control' })),
    ...Array.from({ length: 256 }, (_, byte): Piece => ({ text: `<0x${hex(byte)}>`, kind: 'byte' })),
  ]
  readonly #ids = new Map<string, number>()

  /** The id of a text, which becomes a token when it is none yet. */
  add(text: string): number {
    const piece = text.replaceAll(' ', '\u2581')
    const known = this.#ids.get(piece)
    if (known !== undefined) return known
    const id = this.pieces.push({ text: piece, kind: 'normal' }) - 1
    this.#ids.set(piece, id)
    return id
  }

  /**
   * Every prefix becomes a token too: the tokenizer joins neighbours, two at a time, as long as the result is a token,
   * so that it finds the whole unit, or all of one that is cut off, in whatever order it joins.
   */
  addWithPrefixes(unit: string): number {
    let prefix = ''
    let id = 0
    for (const character of unit) id = this.add((prefix += character))
    return id
  }

  textOf(id: number): string | undefined {
    const piece = this.pieces[id]
    return piece?.kind === 'normal' ? piece.text : undefined
  }
}

/** The text as token ids; a loop is unrolled until its start is out of any context. */
function unroll(tokens: Tokens, text: string, loopFrom: number | undefined): { line: number[]; next: (at: number) => number } {
  const line: number[] = []
  let loopAt: number | undefined
  let characters = 0
  for (const [unit] of text.matchAll(UNIT)) {
    if (loopFrom !== undefined && characters >= loopFrom) loopAt ??= line.length
    characters += unit.length
    if (unit.length > 1 && (unit.codePointAt(0) ?? 0) > 0xffff) line.push(...Array.from(Buffer.from(unit), (byte) => FIRST_BYTE + byte))
    else line.push(tokens.addWithPrefixes(unit))
  }
  if (loopFrom === undefined) return { line, next: (at) => line[at + 1] ?? SPECIAL.messageEnd }
  if (loopAt === undefined)
    throw unrecitable(`has no word behind character ${loopFrom}, where it should repeat`, 'Let it repeat from earlier.')
  const body = line.slice(loopAt)
  const lastTurn = Math.ceil(MOST_CONTEXT / body.length)
  for (let turn = 0; turn < lastTurn; turn++) line.push(...body)
  const back = line.length - body.length
  return { line, next: (at) => line[at + 1] ?? line[back] ?? 0 }
}

/** What has been said, and what comes next. */
interface Example {
  /** The token so many places back; undefined where nothing had been said yet. */
  readonly at: (back: number) => number | undefined
  readonly next: number
}

/** The text said once, after something. */
interface Recitation {
  readonly line: readonly number[]
  /** A token of the line, or one before it. */
  readonly at: (index: number) => number | undefined
  readonly next: (index: number) => number
}

/** The text from its start, token by token. */
function wholeWords({ line, at, next }: Recitation): Example[] {
  return line.map((_, index) => ({ at: (back) => at(index - back), next: next(index) }))
}

/** Cuts inside a word: its beginning is followed by its rest, and both together count as the word. */
function addCutWords(examples: Example[], tokens: Tokens, { line, at, next }: Recitation, depth: number): void {
  for (const [index, id] of line.entries()) {
    const characters = Array.from(tokens.textOf(id) ?? '')
    for (let cut = 1; cut < characters.length; cut++) {
      const begun = tokens.add(characters.slice(0, cut).join(''))
      const rest = tokens.add(characters.slice(cut).join(''))
      examples.push({ at: (back) => (back === 0 ? begun : at(index - back)), next: rest })
      for (let after = 0; after < depth && index + after < line.length; after++) {
        const cutAt = (back: number): number | undefined => {
          if (back < after) return at(index + after - back)
          if (back === after) return rest
          return back === after + 1 ? begun : at(index + after + 1 - back)
        }
        examples.push({ at: cutAt, next: next(index + after) })
      }
    }
  }
}

/** The fewest and shortest contexts by which every example gets its next token. */
function rulesOf(examples: readonly Example[], first: number): Rule[] {
  const rules: Rule[] = []
  const refine = (group: readonly Example[], context: readonly number[], inherited: number): void => {
    const [sample] = group
    if (!sample) return
    const emit = (next: number): number => {
      if (next !== inherited) rules.push({ context, next, instead: inherited })
      return next
    }
    if (context.length >= LEAST_CONTEXT && group.every(({ next }) => next === sample.next)) {
      emit(sample.next)
      return
    }
    const longer = new Map<number, Example[]>()
    let standing = inherited
    for (const example of group) {
      const before = example.at(context.length)
      if (before === undefined) standing = emit(example.next)
      else if (longer.get(before)?.push(example) === undefined) longer.set(before, [example])
    }
    for (const [before, part] of longer) refine(part, [...context, before], standing)
  }
  refine(examples, [], first)
  return rules
}

function longest(rules: readonly Rule[]): number {
  return rules.reduce((most, { context }) => Math.max(most, context.length), LEAST_CONTEXT)
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0')
}

function unrecitable(why: string, cure: string): MaiError {
  return new MaiError('MAI_TEST_MODEL', `A model cannot recite this text: it ${why}.`, { cure })
}
