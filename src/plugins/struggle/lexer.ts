/**
 * Cuts a stream of text into lexical units, whatever the chunks it comes in.
 *
 * A unit is a word, a run of digits, a run of one punctuation character, a line break, a run of blanks that is longer than
 * one, or a single character of a script that is written without spaces. It is close to a model's token in size, and needs no tokenizer.
 *
 * @module
 */

/** What a unit is. */
export const WORD = 1
export const NUMBER = 2
const PUNCTUATION = 3
export const NEWLINE = 4
export const BLANKS = 5
/** A character of a script that is written without spaces. */
export const IDEOGRAPH = 6

/** Kind of a unit: {@link WORD} and its like. */
export type UnitKind = 1 | 2 | 3 | 4 | 5 | 6

/**
 * Takes a finished unit: a hash of its text, where it lies, in UTF-16 units from the start of the lexer's text,
 * and the value of a number; that of a word puts it in the order of the alphabet by its first letters, and all else has 0.
 */
export type UnitSink = (hash: number, kind: UnitKind, start: number, end: number, value: number) => void

/** Longest unit by kind, in UTF-16 units: text without any break must still give units. */
const LONGEST: readonly number[] = [0, 16, 16, 8, 1, 16, 2]
/** Not a kind: the first half of a pair, a single blank. */
const HIGH = 7
/** What each of the first letters counts in the value of a word, and what makes them lower case. */
const LETTER_WEIGHTS: readonly number[] = [5, 4, 3, 2, 1, 0].map((power) => 256 ** power)
const LOWER = 0x20
/** FNV-1a. */
const BASIS = 0x811c9dc5
const PRIME = 0x01000193

/** Categories of the basic plane, in pages of 256 that are made when text needs them. */
const pages: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(256)
const LETTER = /[\p{L}\p{M}_]/u
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

function categoryOf(char: string): number {
  if (/[\n\r\u2028\u2029]/.test(char)) return NEWLINE
  if (/\s/u.test(char)) return BLANKS
  if (/\p{Nd}/u.test(char)) return NUMBER
  if (UNSPACED.test(char)) return IDEOGRAPH
  return LETTER.test(char) ? WORD : PUNCTUATION
}

function pageOf(index: number): Uint8Array {
  const page = new Uint8Array(256)
  for (let low = 0; low < 256; low++) {
    const code = (index << 8) | low
    page[low] = code >= 0xd800 && code <= 0xdbff ? HIGH : categoryOf(String.fromCharCode(code))
  }
  pages[index] = page
  return page
}

/** Category of a UTF-16 unit. */
function category(code: number): number {
  return (pages[code >> 8] ?? pageOf(code >> 8))[code & 255] ?? PUNCTUATION
}

/** Cuts one stream. */
export class Lexer {
  readonly #sink: UnitSink
  /** UTF-16 units taken so far. */
  #at = 0
  #kind = 0
  #start = 0
  #hash = BASIS
  /** The character that a run of punctuation repeats. */
  #first = 0
  #high = 0
  #value = 0

  constructor(sink: UnitSink) {
    this.#sink = sink
  }

  /** The last unit is kept until it is certain where it ends. */
  push(text: string): void {
    for (let n = 0; n < text.length; n++) this.#take(text.charCodeAt(n))
  }

  #take(code: number): void {
    const at = this.#at++
    if (this.#high !== 0) {
      const high = this.#high
      this.#high = 0
      if (code >= 0xdc00 && code <= 0xdfff) return this.#takePair(high, code, at - 1)
      this.#single(high, at - 1)
    }
    const kind = category(code)
    if (kind === HIGH) this.#high = code
    else this.#add(kind, code, at, 1)
  }

  /** A lone surrogate is a unit of its own. */
  #single(code: number, at: number): void {
    this.#finish(at)
    this.#add(PUNCTUATION, code, at, 1)
  }

  #takePair(high: number, low: number, at: number): void {
    const point = ((high - 0xd800) << 10) + (low - 0xdc00) + 0x10000
    const kind = point >= 0x20000 && point < 0x40000 ? IDEOGRAPH : LETTER.test(String.fromCodePoint(point)) ? WORD : PUNCTUATION
    this.#add(kind, point, at, 2)
  }

  #add(kind: number, code: number, at: number, width: number): void {
    const size = at - this.#start
    if (
      kind !== this.#kind ||
      size >= (LONGEST[kind] ?? 1) ||
      kind === IDEOGRAPH ||
      kind === NEWLINE ||
      (kind === PUNCTUATION && code !== this.#first)
    ) {
      this.#finish(at)
      this.#kind = kind
      this.#start = at
      this.#hash = BASIS
      this.#first = code
      this.#value = 0
    }
    if (kind === NUMBER) this.#value = this.#value * 10 + (code & 15)
    else if (kind === WORD) this.#value += ((code | LOWER) & 255) * (LETTER_WEIGHTS[at - this.#start] ?? 0)
    this.#hash = Math.imul(this.#hash ^ code, PRIME)
    if (width === 2) this.#hash = Math.imul(this.#hash ^ (code >> 16), PRIME)
  }

  #finish(end: number): void {
    const kind = this.#kind
    this.#kind = 0
    if (kind === 0) return
    // One blank between words says nothing.
    if (kind === BLANKS && end - this.#start === 1) return
    this.#sink(this.#hash, kind as UnitKind, this.#start, end, this.#value)
  }
}

/** Hash of a text that is one unit. */
export function hashOf(text: string): number {
  let found = 0
  // A line break makes the lexer give the unit away.
  new Lexer((hash, kind) => {
    if (kind !== NEWLINE) found = hash
  }).push(`${text}\n`)
  return found
}
