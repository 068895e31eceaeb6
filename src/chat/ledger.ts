/**
 * The ledger of a session: facts that a model has noted about old messages, each with the messages it comes from.
 *
 * Facts help where the messages themselves no longer fit; they never replace them. Their text is a model's: untrusted.
 *
 * @module
 */
import type { ModelKey } from './model.ts'

/** A noted fact. */
export interface LedgerFact {
  readonly id: number
  readonly sessionId: string
  /** One sentence. */
  readonly text: string
  /** Ids of the messages it comes from, all of this session; at least one. */
  readonly sources: readonly string[]
  /** Who noted it. */
  readonly model: ModelKey
  /** Epoch ms. */
  readonly time: number
}

/** A fact before the store has given it its place. */
export type NewLedgerFact = Omit<LedgerFact, 'id' | 'sessionId'>

/** One step of keeping a ledger: all of it is done, or nothing. */
export interface LedgerChange {
  /** Those whose sources have been taken back meanwhile are left out. */
  readonly add?: readonly NewLedgerFact[]
  /** Facts that others replace, by id. */
  readonly remove?: readonly number[]
  /** Messages up to `through` (a `seq`) have now been looked at, where those up to `after` had been before. */
  readonly looked?: { readonly after: number; readonly through: number }
}

/** Where a session's ledger stands. */
export interface LedgerState {
  /** `seq` of the last message that was looked at; 0 for none. */
  readonly through: number
  readonly facts: number
}

/** The store's part for ledgers. */
export interface LedgerStore {
  /** The newest `limit` facts of a session, oldest first. */
  ledger(sessionId: string, options?: { readonly limit?: number }): Promise<readonly LedgerFact[]>
  ledgerState(sessionId: string): Promise<LedgerState>
  /**
   * @returns false, and nothing is changed, where another process has looked at these messages meanwhile
   * @throws MaiError `MAI_UNKNOWN_SESSION`
   */
  changeLedger(sessionId: string, change: LedgerChange): Promise<boolean>
}
