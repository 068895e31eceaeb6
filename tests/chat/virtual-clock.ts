/**
 * Time that passes when the test says so.
 *
 * @module
 */
import type { Clock } from '../../src/chat/clock.ts'

interface Timer {
  readonly at: number
  readonly order: number
  readonly call: () => void
}

/** Turns of the microtask queue between two timers, and after which nothing is on its way where there is no timer. */
const TURNS = 30
const LAST_TURNS = 200

export class VirtualClock implements Clock {
  #now = 1_000_000
  #order = 0
  readonly #timers: Set<Timer> = new Set()

  now(): number {
    return this.#now
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, call }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Lets time pass until nothing is left to happen. @returns the virtual time that took, in ms */
  async run(limitMs: number): Promise<number> {
    const began = this.#now
    for (let turns = TURNS; ; ) {
      for (let turn = 0; turn < turns; turn++) await undefined
      let next: Timer | undefined
      for (const timer of this.#timers) {
        if (!next || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer
      }
      if (!next || next.at - began > limitMs) {
        if (turns === LAST_TURNS) return this.#now - began
        turns = LAST_TURNS
        continue
      }
      turns = TURNS
      this.#timers.delete(next)
      this.#now = next.at
      next.call()
    }
  }
}

/** Mulberry32: small, and the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
