/**
 * A circuit breaker: after failures in a row it pauses, each time for longer.
 *
 * @module
 */

/** Failures in a row before the first pause. */
const TOLERATED = 2
const FIRST_PAUSE_MS = 60_000
const LONGEST_PAUSE_MS = 3_600_000

export class Breaker {
  readonly #now: () => number
  #failures = 0
  #until = 0

  constructor(now: () => number) {
    this.#now = now
  }

  get closed(): boolean {
    return this.#now() >= this.#until
  }

  succeeded(): void {
    this.#failures = 0
  }

  failed(): void {
    const beyond = ++this.#failures - TOLERATED
    if (beyond >= 0) this.#until = this.#now() + Math.min(FIRST_PAUSE_MS * 2 ** beyond, LONGEST_PAUSE_MS)
  }
}
