/**
 * What was said before a message, read once for all that look at it in its turn: needs, prompt, and the prompts of rescues.
 *
 * @module
 */
import type { HistoryReader } from '../context.ts'
import type { Message } from '../message.ts'
import type { Store } from '../store.ts'

/** Messages that are read at once: as many as most looks need. */
const READ = 8

/** Reads backwards from a message of the session; good for its turn. */
export class RecentHistory implements HistoryReader {
  readonly #store: Pick<Store, 'messages'>
  readonly #message: Message
  /** Those right before the message, ascending. */
  readonly #newest: readonly Message[]

  private constructor(store: Pick<Store, 'messages'>, message: Message, newest: readonly Message[]) {
    this.#store = store
    this.#message = message
    this.#newest = newest
  }

  /** @param earlier how many messages there are before it, where that is known: none are not asked for */
  static async before(message: Message, earlier: number | undefined, store: Pick<Store, 'messages'>): Promise<RecentHistory> {
    const newest = earlier === 0 ? [] : await store.messages(message.sessionId, { limit: READ, before: message.seq })
    return new RecentHistory(store, message, newest)
  }

  /** The newest of them, at most 8, ascending. */
  get newest(): readonly Message[] {
    return this.#newest
  }

  async page(limit: number, before: number = this.#message.seq): Promise<readonly Message[]> {
    const { sessionId, seq } = this.#message
    const known = this.#newest.filter((message) => message.seq < before)
    const isAll = this.#newest.length < READ || known.length >= limit
    return isAll
      ? known.slice(Math.max(0, known.length - limit))
      : this.#store.messages(sessionId, { limit, before: Math.min(before, seq) })
  }
}
