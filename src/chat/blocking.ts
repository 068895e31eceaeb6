/**
 * The blocking twin: an answer for scripts that cannot wait.
 *
 * @module
 */
import { MaiError } from '../core/errors.ts'
import type { Part } from './message.ts'
import type { Reply, SendOptions } from './reply.ts'

/** Options of a blocking answer. */
export interface SyncOptions extends Omit<SendOptions, 'signal'> {
  /** Longest wait in ms, at most {@link LONGEST_SYNC_MS}; default {@link DEFAULT_SYNC_MS}. What exists of the answer then is kept. */
  readonly timeLimitMs?: number
}

/** Five minutes: nothing else runs in the caller's thread meanwhile, neither timers nor signal handlers. */
export const DEFAULT_SYNC_MS = 300_000
export const LONGEST_SYNC_MS = 1_800_000

/** Answers while the caller's thread stands still, with a Mai of its own on the same store. */
export interface BlockingTwin {
  /** @throws MaiError as `processMessage`, or `MAI_SYNC_TIMEOUT` */
  answer(parts: readonly Part[], options: SyncOptions & { readonly timeLimitMs: number }): Reply
  /** Ends it, if it was ever used. */
  close(): void
}

export const syncErrors = {
  busy: (sessionId: string): MaiError =>
    new MaiError('MAI_SYNC_BUSY', 'This conversation is still answering, and a blocking call would keep it from ending.', {
      cure: 'Await the answer first, or use another session.',
      details: { sessionId },
    }),
  unavailable: (): MaiError =>
    new MaiError(
      'MAI_SYNC_UNAVAILABLE',
      'A Mai that was made from plugin objects has no blocking twin: they cannot be handed to its thread.',
      {
        cure: 'Make it from a configuration file with openMai, or await processMessage.',
      },
    ),
  timeout: (ms: number): MaiError =>
    new MaiError('MAI_SYNC_TIMEOUT', `No complete answer within ${Math.round(ms / 1000)} s. What there was of it is kept in the session.`, {
      cure: 'Raise timeLimitMs, or use a faster model.',
      details: { ms },
    }),
  limit: (ms: number): MaiError =>
    new MaiError('MAI_USAGE', `timeLimitMs is ${ms}; it must lie between 1 and ${LONGEST_SYNC_MS}.`, {
      cure: 'Give a limit in milliseconds.',
    }),
}
