/**
 * Seeded randomness: the same seed, the same numbers, on every machine.
 *
 * @module
 */

/** A source of numbers from 0 up to 1. */
export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0, below 1. The generator is mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** From `low`, below `high`. */
  between(low: number, high: number): number {
    return low + (high - low) * this.next()
  }

  /** Waits between events that come so often on average. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }

  /** About normal: the sum of twelve. */
  normal(deviation: number): number {
    let sum = -6
    for (let i = 0; i < 12; i++) sum += this.next()
    return sum * deviation
  }

  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.next() * items.length)]
    if (item === undefined) throw new RangeError('Nothing to pick from.')
    return item
  }
}
