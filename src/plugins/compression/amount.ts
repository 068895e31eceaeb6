/**
 * The size of a text by kinds of signs that tokenizers treat apart.
 *
 * @module
 */

/** A kind of signs. All are counted in UTF-16 units but words, which are o200k tokens of ASCII without its digits. */
export interface Kind {
  readonly name: string
  /** Tokens a unit that tokenizers in use take, about; the most that any takes, and the least. */
  readonly usual: number
  readonly most: number
  readonly least: number
}

/** Signs beyond ASCII: at most one token for each byte in UTF-8; at least what o200k takes, which has 0.33 to 0.46 for most scripts. */
const signs = (name: string, usual: number, bytes: number): Kind => ({ name, usual, most: bytes, least: 0.1 })

export const KINDS: readonly Kind[] = [
  // Most is what tokenizers of few hundred words take.
  { name: 'Words', usual: 1.2, most: 3, least: 0.5 },
  // From three digits a token (o200k, Llama 3) to each its own (Llama 2, Gemma, Qwen).
  { name: 'Digits', usual: 0.6, most: 1, least: 0.1 },
  // White space after the first of a run: GPT-2 takes a token for each, others one for a run.
  { name: 'Blanks', usual: 0.2, most: 1, least: 0 },
  // The space before signs beyond ASCII, which most join to what follows.
  { name: 'Gaps', usual: 0.1, most: 1, least: 0 },
  signs('Latin', 0.7, 2),
  signs('Cyrillic', 0.5, 2),
  signs('Semitic', 0.7, 2),
  signs('Brahmic', 1, 3),
  signs('Symbols', 1, 3),
  signs('Kana', 1, 3),
  signs('Han', 1, 3),
  signs('Hangul', 1.2, 3),
  // Above all emoji: four bytes in two units.
  signs('Rare', 1.2, 3),
]
const [WORDS, DIGITS, BLANKS, GAPS, LATIN, CYRILLIC, SEMITIC, BRAHMIC, SYMBOLS, KANA, HAN, HANGUL, RARE] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
]

/** Units by kind, in the order of {@link KINDS}. */
export type Amount = readonly number[]

/** First units of Unicode's ranges, ascending, with their kinds: Greek counts as Cyrillic, Armenian to N'Ko as Semitic, up to Vietnamese as Brahmic, East Asian punctuation as Han. */
const RANGES: readonly (readonly [from: number, kind: number])[] = [
  [0x80, LATIN],
  [0x370, CYRILLIC],
  [0x530, SEMITIC],
  [0x800, BRAHMIC],
  [0x2000, SYMBOLS],
  [0x2e80, HAN],
  [0x3040, KANA],
  [0x3100, HAN],
  [0xa000, RARE],
  [0xac00, HANGUL],
  [0xd7b0, RARE],
  [0xf900, HAN],
  [0xfb00, RARE],
  [0xff00, HAN],
]
/** Units of a row of the table below. */
const ROW_BITS = 4
const KIND_OF_ROW: Uint8Array = Uint8Array.from(
  { length: 0x10000 >> ROW_BITS },
  (_, row) => RANGES.findLast(([from]) => from <= row << ROW_BITS)?.[1] ?? WORDS,
)
/** Digits that o200k has in one token. */
const DIGITS_A_TOKEN = 3
/** Signs beyond ASCII, with the space before that most tokenizers join to a word. */
const FOREIGN = / ?[^\p{ASCII}]+/gu

/** @param count o200k tokens of ASCII */
export function amountOf(text: string, count: (ascii: string) => number): Amount {
  const amount: number[] = Array(KINDS.length).fill(0)
  let [digitTokens, signs, digits, blanks] = [0, 0, 0, 0]
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x30 && code <= 0x39) {
      if (digits++ % DIGITS_A_TOKEN === 0) digitTokens++
      blanks = 0
      add(amount, DIGITS, 1)
    } else {
      digits = 0
      if (code === 0x20 || (code >= 0x09 && code <= 0x0d)) {
        if (blanks++ > 0) add(amount, BLANKS, 1)
      } else {
        blanks = 0
        if (code >= 0x80) {
          signs++
          add(amount, KIND_OF_ROW[code >> ROW_BITS] ?? RARE, 1)
        }
      }
    }
  }
  let cuts = 0
  const cut = (run: string): string => {
    cuts++
    if (run.startsWith(' ')) add(amount, GAPS, 1)
    return '\n'
  }
  const ascii = signs === 0 ? text : text.replace(FOREIGN, cut)
  amount[WORDS] = Math.max(0, count(ascii) - digitTokens - cuts)
  return amount
}

/** An amount of words. */
export function plain(tokens: number): Amount {
  const amount: number[] = Array(KINDS.length).fill(0)
  amount[WORDS] = tokens
  return amount
}

/** All together. */
export function sumOf(amounts: readonly Amount[]): Amount {
  const sum: number[] = Array(KINDS.length).fill(0)
  for (const amount of amounts) for (let kind = 0; kind < sum.length; kind++) add(sum, kind, amount[kind] ?? 0)
  return sum
}

/** All kinds together. */
export function total(amount: Amount): number {
  return amount.reduce((sum, units) => sum + units, 0)
}

function add(amount: number[], kind: number, units: number): void {
  amount[kind] = (amount[kind] ?? 0) + units
}
