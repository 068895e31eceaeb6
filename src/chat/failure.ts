/**
 * What goes wrong with models: one error for each case, and how each is to be taken.
 *
 * @module
 */
import { isMaiError, MaiError, type MaiErrorOptions } from '../core/errors.ts'
import type { StruggleKind } from './policy.ts'

/** How a failure is to be taken. */
export interface FailureTraits {
  readonly kind: StruggleKind
  /** The same request on the same model may succeed. */
  readonly transient: boolean
  /** Memory ran out, or an engine died as it does when memory runs out: shrink first. */
  readonly memory: boolean
  /** Another endpoint with the same model may do better. */
  readonly route: boolean
}

/** Codes that backends reject with. */
export type BackendErrorCode =
  | 'MAI_BACKEND_UNREACHABLE'
  | 'MAI_BACKEND_LOST'
  | 'MAI_BACKEND_TIMEOUT'
  | 'MAI_BACKEND_ERROR'
  | 'MAI_AUTH_REFUSED'
  | 'MAI_RATE_LIMITED'
  | 'MAI_REQUEST_INVALID'
  | 'MAI_CONTENT_FILTERED'
  | 'MAI_MODEL_NOT_FOUND'
  | 'MAI_MODEL_UNLOADED'
  | 'MAI_MODEL_CRASHED'
  | 'MAI_LOAD_REFUSED'
  | 'MAI_LOAD_TIMEOUT'
  | 'MAI_LOAD_FAILED'
  | 'MAI_CONTEXT_OVERFLOW'

const TRAITS: Readonly<Record<BackendErrorCode, FailureTraits>> = {
  MAI_BACKEND_UNREACHABLE: { kind: 'backend-lost', transient: false, memory: false, route: true },
  MAI_BACKEND_LOST: { kind: 'backend-lost', transient: true, memory: false, route: true },
  MAI_BACKEND_TIMEOUT: { kind: 'stall', transient: false, memory: false, route: true },
  MAI_BACKEND_ERROR: { kind: 'failed', transient: true, memory: false, route: true },
  MAI_AUTH_REFUSED: { kind: 'failed', transient: false, memory: false, route: true },
  MAI_RATE_LIMITED: { kind: 'failed', transient: true, memory: false, route: true },
  MAI_REQUEST_INVALID: { kind: 'failed', transient: false, memory: false, route: false },
  MAI_CONTENT_FILTERED: { kind: 'failed', transient: false, memory: false, route: false },
  MAI_MODEL_NOT_FOUND: { kind: 'failed', transient: false, memory: false, route: true },
  MAI_MODEL_UNLOADED: { kind: 'model-unloaded', transient: true, memory: false, route: false },
  MAI_MODEL_CRASHED: { kind: 'crashed', transient: false, memory: true, route: false },
  MAI_LOAD_REFUSED: { kind: 'load-failed', transient: false, memory: true, route: false },
  MAI_LOAD_TIMEOUT: { kind: 'load-failed', transient: false, memory: false, route: false },
  MAI_LOAD_FAILED: { kind: 'load-failed', transient: false, memory: false, route: false },
  MAI_CONTEXT_OVERFLOW: { kind: 'context-full', transient: false, memory: false, route: false },
}

/** An error of a backend, with the cure that fits its code. `details.retryAfterMs` where a server named a wait. */
export function backendError(code: BackendErrorCode, problem: string, options: MaiErrorOptions = {}): MaiError {
  return new MaiError(code, problem, { cure: CURES[code], ...options })
}

const CURES: Readonly<Record<BackendErrorCode, string>> = {
  MAI_BACKEND_UNREACHABLE: 'Start it, or correct its address in mai.config.ts.',
  MAI_BACKEND_LOST: 'Check that the server is still running.',
  MAI_BACKEND_TIMEOUT: 'Check that the server is still working; restart it if it hangs.',
  MAI_BACKEND_ERROR: 'See the log of the server.',
  MAI_AUTH_REFUSED: 'Give the plugin the right key or passkey.',
  MAI_RATE_LIMITED: 'Wait, or add another backend.',
  MAI_REQUEST_INVALID: 'See the log; a setting may not suit this model.',
  MAI_CONTENT_FILTERED: 'Rephrase the message.',
  MAI_MODEL_NOT_FOUND: 'See mai models for what is there.',
  MAI_MODEL_UNLOADED: 'Load it again, or let Mai choose.',
  MAI_MODEL_CRASHED: 'Use a shorter context or a smaller model.',
  MAI_LOAD_REFUSED: 'Close other programs, use a shorter context, or use a smaller model.',
  MAI_LOAD_TIMEOUT: 'Check that the server is still working; restart it if it hangs.',
  MAI_LOAD_FAILED: 'See the log of the server; the file may be broken.',
  MAI_CONTEXT_OVERFLOW: 'Use a model with a larger window, or shorten the message.',
}

/** How to take an error. Anything unknown counts as a failure that may pass. */
export function traitsOf(error: unknown): FailureTraits {
  const traits: Readonly<Record<string, FailureTraits>> = TRAITS
  const known = isMaiError(error) ? traits[error.code] : undefined
  return known ?? { kind: 'failed', transient: true, memory: false, route: false }
}

function gigabytes(bytes: number): string {
  return `${(Math.max(0, bytes) / 1e9).toFixed(1)} GB`
}

/** Errors of the turn and of models, each with its cure. */
export const chatErrors = {
  nothingServes: (tried: readonly string[], cure: string): MaiError =>
    new MaiError('MAI_NOTHING_SERVES', `No model can answer. Tried: ${tried.join('; ') || 'nothing is configured'}.`, {
      cure,
      details: { tried },
    }),
  allFailed: (
    attempts: readonly string[],
    cause: unknown,
    cure = 'See mai status and the log; free memory or add a smaller model.',
  ): MaiError =>
    new MaiError('MAI_ALL_FAILED', `Every model that could answer failed: ${attempts.join('; ')}.`, {
      cure,
      cause,
    }),
  unknownModel: (key: string, nearest: readonly string[]): MaiError =>
    new MaiError('MAI_UNKNOWN_MODEL', `There is no model "${key}".`, {
      cure: nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : 'See mai models for what is there.',
      details: { key, nearest },
    }),
  ambiguousModel: (key: string, keys: readonly string[]): MaiError =>
    new MaiError('MAI_UNKNOWN_MODEL', `"${key}" could be ${keys.join(' or ')}.`, {
      cure: 'Give the whole key.',
      details: { key, nearest: keys },
    }),
  unknownSession: (id: string, nearest: readonly string[]): MaiError =>
    new MaiError('MAI_UNKNOWN_SESSION', `There is no session "${id}".`, {
      cure: nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : 'See mai sessions for what is there.',
      details: { id, nearest },
    }),
  unknownTurn: (id: string, nearest: readonly string[]): MaiError =>
    new MaiError('MAI_UNKNOWN_TURN', `The log has no one turn "${id}".`, {
      cure: nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : 'mai explain without an id explains the last turn.',
      details: { id, nearest },
    }),
  emptyMessage: (): MaiError => new MaiError('MAI_EMPTY_MESSAGE', 'The message is empty.', { cure: 'Write something to answer.' }),
  messageTooLarge: (bytes: number, limit: number): MaiError =>
    new MaiError('MAI_MESSAGE_TOO_LARGE', `The message has ${bytes} bytes; the limit is ${limit}.`, {
      cure: 'Send less at once, or name a part of the file.',
      details: { bytes, limit },
    }),
  sessionBusy: (sessionId: string): MaiError =>
    new MaiError('MAI_SESSION_BUSY', 'This conversation is still answering.', {
      cure: 'Wait for the answer, or stop it.',
      details: { sessionId },
    }),
  cancelled: (): MaiError => new MaiError('MAI_CANCELLED', 'The answer was stopped.'),
  turnTimeout: (ms: number): MaiError =>
    new MaiError('MAI_TURN_TIMEOUT', `No complete answer within ${Math.round(ms / 1000)} s.`, {
      cure: 'Raise turn.deadlineMs, or use a faster model.',
      details: { ms },
    }),
  doesNotFit: (model: string, needBytes: number, roomBytes: number): MaiError =>
    new MaiError('MAI_LOAD_REFUSED', `${model} needs about ${gigabytes(needBytes)} of memory; there is room for ${gigabytes(roomBytes)}.`, {
      cure: 'Use a shorter context or a smaller model, or close other programs.',
      details: { model, needBytes, roomBytes },
    }),
  loadYielded: (model: string): MaiError =>
    new MaiError('MAI_LOAD_YIELDED', `Loading ${model} in the background gave way to an answer.`, {
      cure: 'Try again when nothing is answering.',
    }),
  storeSilent: (ms: number): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The store did not answer within ${ms / 1000} s.`, {
      cure: 'Check the disk, and the store plugin in mai.config.ts.',
      details: { ms },
    }),
  closed: (): MaiError => new MaiError('MAI_CLOSED', 'Mai has shut down.', { cure: 'Make a new Mai with createMai.' }),
}
