/**
 * Compression: the tail of the answer compresses as no real text does. Finds loops that no unit shows, such as those inside
 * one long word.
 *
 * @module
 */
import { deflateSync } from 'node:zlib'
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from '../../chat/watcher.ts'
import type { CompressionSettings } from './options.ts'

/** Characters between two looks. */
const EVERY = 256
/** Looks in a row that must find the ratio: songs that count down and generated tables go on for less. */
const LOOKS = 28
/** Different groups of four characters, as a share of the tail, above which zlib is not asked: real text has 0.5 to 0.8. */
const VARIED = 0.2
/** Share of letters in the tail below which it is data: rulers and rows of zeros compress without end. */
const LETTERS = 0.5
/** Buckets for groups of characters; a power of two, enough to keep those of a tail apart. */
const BUCKETS = 4096
const CLEAR: Verdict = { state: 'clear' }

/** Watches the zlib ratio of a tail of fixed length. */
export function compressionWatcher(settings: CompressionSettings): Watcher {
  return { name: 'struggle: compression', kinds: ['loop'], start: (answer) => new CompressionWatch(answer, settings) }
}

class CompressionWatch implements AnswerWatch {
  readonly #ratio: number
  readonly #size: number
  /** The tail as a ring: its characters, and the bucket of the group that ends with each. */
  readonly #chars: Uint16Array
  readonly #buckets: Uint16Array
  /** Groups of the tail in each bucket. */
  readonly #groups = new Uint16Array(BUCKETS)
  #different = 0
  #letters = 0
  #group = 0
  /** Characters taken. */
  #taken = 0
  /** Offset of the first of them in the answer. */
  readonly #offset: number
  /** Characters taken that another model wrote. */
  readonly #earlier: number
  #dense = 0
  #verdict: Verdict = CLEAR

  constructor({ already }: AnswerStart, { ratio, tailChars }: CompressionSettings) {
    this.#ratio = ratio
    this.#size = tailChars
    this.#chars = new Uint16Array(tailChars)
    this.#buckets = new Uint16Array(tailChars)
    const tail = already.slice(-tailChars)
    this.#offset = already.length - tail.length
    this.#earlier = tail.length
    for (let n = 0; n < tail.length; n++) this.#take(tail.charCodeAt(n))
  }

  push(text: string): Verdict {
    for (let n = 0; n < text.length && this.#verdict === CLEAR; n++) {
      this.#take(text.charCodeAt(n))
      if (this.#taken % EVERY === 0 && this.#taken >= this.#size) this.#look()
    }
    return this.#verdict
  }

  tick(): Verdict {
    return this.#verdict
  }

  end(): Verdict {
    return this.#verdict
  }

  #take(char: number): void {
    const slot = this.#taken % this.#size
    if (this.#taken >= this.#size) {
      const old = this.#buckets[slot] ?? 0
      this.#groups[old] = (this.#groups[old] ?? 0) - 1
      if (this.#groups[old] === 0) this.#different--
      if (isLetter(this.#chars[slot] ?? 0)) this.#letters--
    }
    // Eight bits a character: the group holds the last four.
    this.#group = (this.#group << 8) | ((char ^ (char >> 8)) & 0xff)
    const bucket = (Math.imul(this.#group, 0x9e3779b1) >>> 20) & (BUCKETS - 1)
    this.#chars[slot] = char
    this.#buckets[slot] = bucket
    const groups = this.#groups[bucket] ?? 0
    if (groups === 0) this.#different++
    this.#groups[bucket] = groups + 1
    if (isLetter(char)) this.#letters++
    this.#taken++
  }

  #look(): void {
    const suspicious = this.#different < VARIED * this.#size && this.#letters >= LETTERS * this.#size
    const tail = suspicious ? this.#tail() : ''
    // Each line of a log has a time of day, and a program says the same for hours.
    const ratio = suspicious && !isLog(tail) ? ratioOf(tail) : 0
    this.#dense = ratio > this.#ratio ? this.#dense + 1 : 0
    if (this.#dense < LOOKS) return
    const lost = this.#taken - (LOOKS - 1) * EVERY
    this.#verdict = {
      state: 'struggle',
      kind: 'loop',
      evidence: `the last ${this.#size} characters compress to one in ${ratio.toFixed(1)}`,
      cutAt: this.#offset + Math.max(lost, this.#earlier),
    }
  }

  #tail(): string {
    const start = this.#taken % this.#size
    return Buffer.concat([bytes(this.#chars.subarray(start)), bytes(this.#chars.subarray(0, start))]).toString('utf16le')
  }
}

function isLog(text: string): boolean {
  const times = text.match(/\d:\d\d:\d\d/g)?.length ?? 0
  return times > 1 && times >= text.split('\n').length - 1
}

function ratioOf(text: string): number {
  const utf8 = Buffer.from(text)
  return utf8.length / deflateSync(utf8).length
}

function bytes(part: Uint16Array): Uint8Array {
  return new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
}

function isLetter(char: number): boolean {
  return (char >= 97 && char <= 122) || (char >= 65 && char <= 90) || char >= 0xc0
}
