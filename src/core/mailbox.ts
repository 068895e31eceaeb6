/**
 * One listener's own queue. While its asynchronous call runs, further events wait here, bounded,
 * so that no listener can grow memory or run twice at once.
 *
 * @module
 */
import type { MailboxMode } from './events.ts'

/** Events that one slow listener may have waiting. */
export const MAILBOX_BOUND = 1000

/** Free to be called, running an asynchronous call, or gone. */
export type MailboxState = 'idle' | 'busy' | 'closed'

export class Mailbox<T> {
  state: MailboxState = 'idle'
  #waiting: T[] = []
  #dropped = 0
  readonly #mode: MailboxMode
  readonly #deliver: (item: T) => void | Promise<void>
  readonly #onError: (item: T, error: unknown) => void
  readonly #onDropped: (count: number) => void

  constructor(
    mode: MailboxMode,
    deliver: (item: T) => void | Promise<void>,
    onError: (item: T, error: unknown) => void,
    onDropped: (count: number) => void,
  ) {
    this.#mode = mode
    this.#deliver = deliver
    this.#onError = onError
    this.#onDropped = onDropped
  }

  /** Takes an event that came while the listener was not idle. */
  offer(item: T): void {
    if (this.state === 'closed') return
    if (this.#mode === 'latest') this.#waiting = [item]
    else if (this.#waiting.length < MAILBOX_BOUND) this.#waiting.push(item)
    else this.#dropped++
  }

  /** Marks the listener busy until `running` settles, then delivers what waited. */
  hold(item: T, running: PromiseLike<void>): void {
    this.state = 'busy'
    void this.#drain(item, running)
  }

  close(): void {
    this.state = 'closed'
    this.#waiting = []
  }

  async #drain(first: T, running: PromiseLike<void>): Promise<void> {
    let item = first
    let pending: void | PromiseLike<void> = running
    for (;;) {
      try {
        await pending
      } catch (error) {
        this.#onError(item, error)
      }
      if (this.#dropped > 0) {
        this.#onDropped(this.#dropped)
        this.#dropped = 0
      }
      if (this.state === 'closed') return
      const next = this.#waiting.shift()
      if (next === undefined) break
      item = next
      try {
        pending = this.#deliver(item)
      } catch (error) {
        pending = undefined
        this.#onError(item, error)
      }
    }
    this.state = 'idle'
  }
}
