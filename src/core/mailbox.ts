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

/** What a mailbox works with. */
export interface MailboxParts<T> {
  readonly mode: MailboxMode
  /** Calls the listener. */
  readonly deliver: (item: T) => unknown
  readonly failed: (item: T, error: unknown) => void
  /** `count` more were dropped. */
  readonly dropped: (item: T, count: number) => void
}

export class Mailbox<T> {
  state: MailboxState = 'sync'
  #waiting: T[] = []
  #dropped = 0
  readonly #parts: MailboxParts<T>
  /** The listener failed with `item`. */
  readonly failed: MailboxParts<T>['failed']

  constructor(parts: MailboxParts<T>) {
    this.#parts = parts
    this.failed = parts.failed
  }

  /** Delivers at once if the listener is free, else keeps the event for later. */
  offer(item: T): void {
    if (this.state === 'closed') return
    if (this.state !== 'busy') this.answered(item, this.#call(item))
    else if (this.#parts.mode === 'latest') this.#waiting = [item]
    else if (this.#waiting.length < MAILBOX_BOUND) this.#waiting.push(item)
    // The first is reported at once, for a listener that hangs never comes to report the rest.
    else if (++this.#dropped === 1) this.#parts.dropped(item, 1)
  }

  /** The listener returned something for `item`: if a promise, it is busy until that settles, then gets what waited. */
  answered(item: T, result: unknown): void {
    if (!isThenable(result)) return
    if (this.state !== 'closed') this.state = 'busy'
    void this.#drain(item, result)
  }

  close(): void {
    this.state = 'closed'
    this.#waiting = []
  }

  #call(item: T): unknown {
    try {
      return this.#parts.deliver(item)
    } catch (error) {
      return this.failed(item, error)
    }
  }

  async #drain(first: T, running: unknown): Promise<void> {
    let item: T | undefined = first
    let pending = running
    while (item !== undefined) {
      try {
        await pending
      } catch (error) {
        this.failed(item, error)
      }
      const unreported = this.#dropped - 1
      this.#dropped = 0
      if (unreported > 0) this.#parts.dropped(item, unreported)
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
