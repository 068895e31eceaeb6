/**
 * Text that waits to be released, in the pieces in which it came: however much waits, taking a piece costs the same.
 *
 * @module
 */

/** Taken pieces that are kept at most. */
const COMPACT_AT = 1024

/** A queue of text; offsets are UTF-16 units of the answer. */
export class PendingText {
  #pieces: string[] = []
  /** Index of the first piece that is not taken, and units of it that are. */
  #first = 0
  #inFirst = 0
  #start: number
  #end: number

  /** @param start offset of the first unit that will be pushed */
  constructor(start: number) {
    this.#start = start
    this.#end = start
  }

  /** Offset of the first unit that waits. */
  get start(): number {
    return this.#start
  }

  /** Offset behind the last. */
  get end(): number {
    return this.#end
  }

  push(text: string): void {
    if (text === '') return
    this.#pieces.push(text)
    this.#end += text.length
  }

  /** Counts text as pushed and taken in one; only while nothing waits. */
  pass(text: string): void {
    this.#start += text.length
    this.#end += text.length
  }

  /** Takes what waits before an offset; beyond the end all of it, before the start nothing. */
  take(limit: number): string {
    if (!(limit > this.#start)) return ''
    let text = ''
    while (this.#start < limit) {
      const piece = this.#pieces[this.#first]
      if (piece === undefined) break
      const left = piece.length - this.#inFirst
      const size = Math.min(left, limit - this.#start)
      text += piece.slice(this.#inFirst, this.#inFirst + size)
      this.#start += size
      if (size < left) {
        this.#inFirst += size
      } else {
        this.#inFirst = 0
        this.#first++
      }
    }
    if (this.#first === this.#pieces.length || this.#first > COMPACT_AT) {
      this.#pieces = this.#pieces.slice(this.#first)
      this.#first = 0
    }
    return text
  }

  /** The unit before an offset; 0 when it does not wait. Walks from the nearer end. */
  unitBefore(limit: number): number {
    if (!(limit > this.#start) || limit > this.#end) return 0
    if (limit - this.#start < this.#end - limit) {
      let to = this.#start - this.#inFirst
      for (let n = this.#first; n < this.#pieces.length; n++) {
        const piece = this.#pieces[n] ?? ''
        if (limit <= to + piece.length) return piece.charCodeAt(limit - to - 1)
        to += piece.length
      }
      return 0
    }
    let from = this.#end
    for (let n = this.#pieces.length - 1; n >= this.#first; n--) {
      const piece = this.#pieces[n] ?? ''
      from -= piece.length
      if (limit > from) return piece.charCodeAt(limit - from - 1)
    }
    return 0
  }

  /** Offset of the end of the word that what was released has begun; the start where it has begun none or it does not end soon. */
  wordEnd(lastReleased: number, longest: number): number {
    if (!isWordUnit(lastReleased)) return this.#start
    let at = this.#start
    let inPiece = this.#inFirst
    for (let n = this.#first; n < this.#pieces.length; n++) {
      const piece = this.#pieces[n] ?? ''
      for (; inPiece < piece.length; inPiece++, at++) {
        if (!isWordUnit(piece.charCodeAt(inPiece))) return at
        if (at - this.#start >= longest) return this.#start
      }
      inPiece = 0
    }
    return this.#start
  }
}

/** First half of a surrogate pair. */
export function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

const WORD = /[\p{L}\p{M}\p{N}_'’]/u

function isWordUnit(unit: number): boolean {
  return WORD.test(String.fromCharCode(unit))
}
