/**
 * What a conversation needs of a model, from cheap features of its newest message and the few before it.
 *
 * On public routing data simple features reach what complex routers reach; so: patterns, counts, no model.
 *
 * @module
 */
import { type Message, type Part, textOf } from '../message.ts'
import type { Needs, Script, TaskKind } from '../policy.ts'

/** What is looked at. */
export interface Conversation {
  /** The newest message. */
  readonly parts: readonly Part[]
  /** The few messages before it, oldest first. */
  readonly recent: readonly Message[]
  /** Messages before it in all. */
  readonly earlier: number
  readonly system?: string | undefined
  /** Tools that the model may call. */
  readonly tools: number
}

/** Smallest window that any conversation is given, in tokens. */
export const SMALLEST_WINDOW = 1024
/** Room for the answer that a window must leave, in tokens. */
const ANSWER_ROOM = 512
/** A tool's description, in tokens: name, sentence and a small schema. */
const TOOL_TOKENS = 120
/** An image, in tokens: what common vision models make of one. */
export const IMAGE_TOKENS = 768
/** The part of the conversation that a prompt keeps word by word at least, in tokens: so that a window of 2,048 is enough for any. */
const VERBATIM_TOKENS = 1024
/** Characters that are looked at: the beginning and the end say what a message wants; the middle is material. */
const LOOK = 3000
/** A message shorter than this, in characters, goes on with what the one before it was about. */
const SHORT = 200

/**
 * Characters a token, by script, of the o200k vocabulary on ordinary text, a little high: a window that is too small shows
 * when the prompt is counted exactly, while one that looks too small would rule a model out.
 */
const CHARS_PER_TOKEN: Readonly<Record<Script, number>> = {
  latin: 4.6,
  cyrillic: 3.6,
  greek: 2.8,
  arabic: 3.2,
  hebrew: 2.6,
  indic: 2.6,
  thai: 2.6,
  han: 1.5,
  kana: 1.6,
  hangul: 1.8,
  other: 2.5,
}

/** Needs of a conversation. Pure; tens of microseconds, whatever the message's length. */
export function needsOf({ parts, recent, earlier, system = '', tools }: Conversation): Needs {
  const text = textOf(parts)
  const looked = text.length > 2 * LOOK ? `${text.slice(0, LOOK)}\n${text.slice(-LOOK)}` : text
  const script = scriptOf(looked)
  const images = parts.filter((part) => part.type === 'image').length
  // A short "and now in Rust?" belongs to what was said before.
  const before = recent.findLast((message) => message.role === 'user')
  const task = images > 0 ? 'image' : (taskOf(looked) ?? (before && text.length < SHORT ? taskOfEarlier(before) : undefined) ?? 'chat')
  const tokens = (length: number): number => Math.ceil(length / CHARS_PER_TOKEN[script])
  const own = tokens(text.length) + tokens(system.length) + images * IMAGE_TOKENS + tools * TOOL_TOKENS
  const said = recent.reduce((sum, message) => sum + tokens(lengthOf(message.parts)), 0)
  // Messages that were not looked at are taken to be like those that were.
  const history = recent.length === 0 ? 0 : Math.round((said * Math.max(earlier, recent.length)) / recent.length)
  const answer = task === 'translation' ? Math.max(ANSWER_ROOM, tokens(text.length)) : ANSWER_ROOM
  return {
    contextTokens: Math.max(SMALLEST_WINDOW, own + Math.min(history, VERBATIM_TOKENS) + answer),
    vision: images > 0,
    tools: tools > 0,
    task,
    script,
    reasoning: REASONING.test(looked.toLowerCase()),
    promptTokens: own + history,
  }
}

/** Of a question about a picture the follow-up is best seen by a model that sees, but any may answer it. */
function taskOfEarlier({ parts }: Message): TaskKind | undefined {
  return parts.some((part) => part.type === 'image') ? 'image' : taskOf(textOf(parts).slice(0, LOOK))
}

/** Characters of what is sent to a model; reasoning is not. */
function lengthOf(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + (part.type !== 'reasoning' && 'text' in part ? part.text.length : 0), 0)
}

// Patterns for words are for text in lower case: one that ignores case takes twice as long to compile, which the first message waits for.
const REASONING = /\b(step[ -]by[ -]step|think (hard|carefully|it through)|prove|proof|puzzle|riddle|logic(al|ally)?|derive|deduce)\b/

const CODE_FENCE = /^```/m
/** Lines that only code has: declarations, braces at the end, a shell prompt, a stack trace. */
const CODE_LINE =
  /^[ \t]{0,40}(import .{1,80} from |from \w{1,40} import |#include|def \w{1,40}\(|class \w{1,40}|(public|private|static) |(const|let|var) \w{1,40} =|fn \w{1,40}|func \w{1,40}|SELECT .{1,80} FROM |\$ \w{1,40}|at .{1,80}\(.{1,80}:\d)|[;{][ \t]{0,10}$/m
const CODE_WORD =
  /\b(code|function|bug|compile[rs]?|debug|refactor|regex|python|javascript|typescript|rust|golang|java|c\+\+|sql|html|css|bash|script|api|json|yaml|unit tests?|stack ?trace|exception|algorithm|npm|git|docker|class|method|loop|programme?|implement(ation)?)\b/g
const MATHS_WORD =
  /\b(solve|equations?|integral|integrate|derivative|theorem|prove|proof|matrix|polynomial|calculate|compute|algebra|geometry|probability|logarithm|arithmetic|sum of|how many|percent|prime|modulo|square root)\b/g
const MATHS_SIGN = /[∑∫√≤≥≠π±∞∂]|\\(frac|int|sum|sqrt|begin)\b|\d\s*[-+*/^=×÷]\s*\(?\d|\b[xyzn]\s*[=^+*-]\s*\d/g
const ANALYSIS_WORD =
  /\b(analy[sz]e|analysis|compare|comparison|summari[sz]e|summary|evaluate|assess|critique|review|explain why|trade-?offs?|pros and cons|implications?|argue|essay|report|strategy|conclusions?|interpret)\b/g
const TRANSLATION =
  /\b(translat(e|ion)|übersetz\w*|tradu(is|ire|ce|cir|zi\w*)|vertaal)\b|翻译|翻譯|翻訳|переве(ди|сти)|번역|\b(in|into|to) (english|german|french|spanish|italian|portuguese|dutch|russian|chinese|japanese|korean|arabic|hindi|polish|turkish|swedish)\s*[:.?!]?\s*$/m

/** The kind that the text shows signs of; undefined where it shows none. */
function taskOf(text: string): TaskKind | undefined {
  const words = text.toLowerCase()
  if (TRANSLATION.test(words.slice(0, 400)) || TRANSLATION.test(words.slice(-200))) return 'translation'
  const code = (CODE_FENCE.test(text) ? 3 : 0) + (CODE_LINE.test(text) ? 2 : 0) + count(words, CODE_WORD)
  const mathematics = 2 * count(text, MATHS_SIGN) + 1.5 * count(words, MATHS_WORD)
  const analysis = 1.5 * count(words, ANALYSIS_WORD) + (text.length > 2 * LOOK ? 1 : 0)
  const best = Math.max(code, mathematics, analysis)
  if (best < 1.5) return code >= 1 ? 'code' : undefined
  return best === code ? 'code' : best === mathematics ? 'mathematics' : 'analysis'
}

/** At most four: more signs say no more. */
function count(text: string, pattern: RegExp): number {
  pattern.lastIndex = 0
  let found = 0
  while (found < 4 && pattern.test(text)) found++
  return found
}

/** Upper ends of Unicode's blocks, ascending, with their scripts. */
const BLOCKS: readonly (readonly [number, Script])[] = [
  [0x036f, 'latin'],
  [0x03ff, 'greek'],
  [0x052f, 'cyrillic'],
  [0x058f, 'other'],
  [0x05ff, 'hebrew'],
  [0x08ff, 'arabic'],
  [0x0dff, 'indic'],
  [0x0eff, 'thai'],
  [0x10ff, 'other'],
  [0x11ff, 'hangul'],
  [0x1dff, 'other'],
  [0x1eff, 'latin'],
  [0x1fff, 'greek'],
  [0x2e7f, 'other'],
  [0x303f, 'han'],
  [0x30ff, 'kana'],
  [0x318f, 'hangul'],
  [0x9fff, 'han'],
  [0xabff, 'other'],
  [0xd7af, 'hangul'],
]

/** Letters that are looked at: no more are needed to tell scripts apart. */
const LETTERS = 400

/** The script of most letters; Japanese counts as such when a tenth of it is kana. */
function scriptOf(text: string): Script {
  const counts = new Map<Script, number>()
  let letters = 0
  const step = Math.max(1, Math.floor(text.length / (4 * LETTERS)))
  for (let at = 0; at < text.length && letters < LETTERS; at += step) {
    const code = text.charCodeAt(at)
    if (code < 0x41 || (code > 0x5a && code < 0x61) || (code > 0x7a && code < 0xc0)) continue
    const script = BLOCKS.find(([end]) => code <= end)?.[1] ?? 'other'
    counts.set(script, (counts.get(script) ?? 0) + 1)
    letters++
  }
  if ((counts.get('kana') ?? 0) > letters / 10) return 'kana'
  let best: Script = 'latin'
  // Punctuation and emoji are "other": they must not outweigh letters.
  for (const [script, n] of counts) if (script !== 'other' && n > (counts.get(best) ?? 0)) best = script
  return best
}
