/**
 * The store's part for recall: what of a long session belongs to a message, read without reading the session.
 *
 * @module
 */
import type { Message } from './message.ts'

/** What to look for. */
export interface RecallQuery {
  readonly sessionId: string
  /** Words, in any language. */
  readonly words: readonly string[]
  /** Only messages before this `seq`. */
  readonly before: number
  /** Messages to give back, about. */
  readonly limit: number
  /** Neighbours of a hit to give back, on either side. */
  readonly around: number
}

/** What was found. */
export interface Recollection {
  /** Stretches of messages that follow each other in the session, in ascending order. */
  readonly passages: readonly (readonly Message[])[]
  /** All messages of the session. */
  readonly total: number
  /**
   * Messages of the session with a word, by word; of scripts without spaces by pairs of signs. Rare ones are counted
   * exactly, common ones at least up to a bound.
   */
  readonly frequencies: ReadonlyMap<string, number>
}

/** Reads by index; the time it takes does not grow with the session. */
export interface RecallStore {
  recall(query: RecallQuery): Promise<Recollection>
  /** The newest `limit` messages before `before` in which the user gave or took back a standing instruction, in ascending order. */
  instructions(sessionId: string, page: { readonly before: number; readonly limit: number }): Promise<readonly Message[]>
}
