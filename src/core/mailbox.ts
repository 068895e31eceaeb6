/**
 * One listener's own queue. While its asynchronous call runs, further events wait here, bounded,
 * so that no listener can grow memory or run twice at once.
 *
 * @module
 */
import type { MailboxMode } from './events.ts'

/** Events that one slow listener may have waiting. */
export const MAILBOX_BOUND = 1000

/** No promise seen yet, free, running an asynchronous call, or gone. */
export type MailboxState = 'sync' | 'idle' | 'busy' | 'closed'

export class Mailbox<T> {
  state: MailboxState = 'sync'
  #waiting: T[] = []
  #dropped = 0
  readonly #mode: MailboxMode
  readonly #deliver: (item: T) => unknown
  readonly #onError: (item: T, error: unknown) => void
  readonly #onDropped: (item: T, count: number) => void

  constructor(
    mode: MailboxMode,
    deliver: (item: T) => unknown,
    onError: (item: T, error: unknown) => void,
    onDropped: (item: T, count: number) => void,
  ) {
    this.#mode = mode
    this.#deliver = deliver
    this.#onError = onError
    this.#onDropped = onDropped
  }

  /** Delivers at once if the listener is free, else keeps the event for later. */
  offer(item: T): void {
    if (this.state === 'closed') return
    if (this.state !== 'busy') {
      const running = this.#call(item)
      if (isThenable(running)) this.hold(item, running)
    } else if (this.#mode === 'latest') this.#waiting = [item]
    else if (this.#waiting.length < MAILBOX_BOUND) this.#waiting.push(item)
    // The first is reported at once, for a listener that hangs never comes to report the rest.
    else if (++this.#dropped === 1) this.#onDropped(item, 1)
  }

  /** Marks the listener busy until `running` settles, then delivers what waited. */
  hold(item: T, running: PromiseLike<unknown>): void {
    if (this.state !== 'closed') this.state = 'busy'
    void this.#drain(item, running)
  }

  close(): void {
    this.state = 'closed'
    this.#waiting = []
  }

  #call(item: T): unknown {
    try {
      return this.#deliver(item)
    } catch (error) {
      return void this.#onError(item, error)
    }
  }

  async #drain(first: T, running: unknown): Promise<void> {
    let item: T | undefined = first
    let pending = running
    while (item !== undefined) {
      try {
        await pending
      } catch (error) {
        this.#onError(item, error)
      }
      const unreported = this.#dropped - 1
      this.#dropped = 0
      if (unreported > 0) this.#onDropped(item, unreported)
      if (this.state === 'closed') return
      item = this.#waiting.shift()
      if (item !== undefined) pending = this.#call(item)
    }
    this.state = 'idle'
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
