/**
 * What ends a turn early: its person, its caller, the end of Mai, its deadline, a disk that is full. One signal, and one promise to race with:
 * a signal or listener for each step would cost more than most steps.
 *
 * @module
 */
import { onAbort } from '../joined-signal.ts'

/** Of one turn. */
export class Interruption {
  readonly #calls: Set<(reason: unknown) => void> = new Set()
  #ended: { readonly reason: unknown } | undefined
  #late = false
  #letGo: () => void = () => {}
  #timer: NodeJS.Timeout | undefined
  /** Made for the first who needs one: most turns pass nobody who does, and it costs more than the rest of this. */
  #controller: AbortController | undefined
  #reject: (reason: unknown) => void = () => {}
  readonly #aborted: Promise<never> = new Promise((_, reject) => {
    this.#reject = reject
  })

  constructor() {
    this.#aborted.catch(() => {})
  }

  get aborted(): boolean {
    return this.#ended !== undefined
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#ended) this.#controller.abort(this.#ended.reason)
    }
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

  /** The first reason counts. */
  abort(reason: unknown): void {
    if (this.#ended) return
    this.#ended = { reason }
    this.#controller?.abort(reason)
    this.#reject(reason)
    for (const call of this.#calls) call(reason)
    this.#calls.clear()
  }

  /** Calls with the reason, at once when it has happened. @returns lets go */
  onAbort(call: (reason: unknown) => void): () => void {
    if (this.#ended) call(this.#ended.reason)
    else this.#calls.add(call)
    return () => void this.#calls.delete(call)
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
