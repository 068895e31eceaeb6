/**
 * Remembers the last few characters that were odd: nothing is done for all the others.
 *
 * @module
 */

/** A ring of the last marks: which character of the text, and its offset. */
export class RecentMarks {
  readonly #characters: Float64Array
  readonly #offsets: Float64Array
  #count = 0

  /** @param size marks that are kept */
  constructor(size: number) {
    this.#characters = new Float64Array(size).fill(-Infinity)
    this.#offsets = new Float64Array(size)
  }

  add(character: number, offset: number): void {
    const slot = this.#count++ % this.#characters.length
    this.#characters[slot] = character
    this.#offsets[slot] = offset
  }

  /** Marks from a character on, at most as many as are kept. */
  since(character: number): number {
    let marks = 0
    for (const marked of this.#characters) if (marked >= character) marks++
    return marks
  }

  /** Offset of the oldest mark from a character on. */
  firstSince(character: number): number {
    let first = Infinity
    this.#characters.forEach((marked, slot) => {
      if (marked >= character) first = Math.min(first, this.#offsets[slot] ?? Infinity)
    })
    return first
  }
}
