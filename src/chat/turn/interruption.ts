/**
 * What ends a turn early: its person, its caller, the end of Mai, its deadline, a disk that is full. One signal, and one promise to race with:
 * a signal or listener for each step would cost more than most steps.
 *
 * @module
 */
import { onAbort } from '../joined-signal.ts'

/** Of one turn. */
export class Interruption {
  readonly #controller: AbortController = new AbortController()
  #late = false
  #letGo: () => void = () => {}
  #timer: NodeJS.Timeout | undefined
  #reject: (reason: unknown) => void = () => {}
  readonly #aborted: Promise<never> = new Promise((_, reject) => {
    this.#reject = reject
  })

  constructor() {
    this.#aborted.catch(() => {})
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the deadline has passed. */
  get late(): boolean {
    return this.#late
  }

  /** @param deadlineMs from now @param outer ends the turn as well */
  begin(deadlineMs: number, outer: AbortSignal | undefined): void {
    if (outer) this.#letGo = onAbort([outer], (reason) => this.abort(reason))
    this.#timer = setTimeout(() => {
      this.#late = true
      this.abort(new DOMException('The turn took too long.', 'TimeoutError'))
    }, deadlineMs).unref()
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
    this.#reject(this.signal.reason)
  }

  /** Settles as the work does, or rejects with the reason as soon as the turn is interrupted: for what cannot be told to stop. */
  unless<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {})
    return Promise.race([work, this.#aborted])
  }

  /** Lets go of timer and signals. */
  end(): void {
    clearTimeout(this.#timer)
    this.#letGo()
  }
}
