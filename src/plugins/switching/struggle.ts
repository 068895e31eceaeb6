/**
 * What to do when an answer is in trouble.
 *
 * @module
 */
import type { StruggleDecision, StruggleRequest } from '../../chat/policy.ts'

/** Attempts at one answer on one model, and wait before the second, in ms. */
const ATTEMPTS_ON_MODEL = 2
const RETRY_DELAY_MS = 300

/** Another model at once where there is one; the same one again only when that can help. */
export function onStruggle({ transient, alternatives, attemptsOnModel, retryAfterMs, kind, error }: StruggleRequest): StruggleDecision {
  if (error?.code === 'MAI_CONTENT_FILTERED') return { action: 'fail', reason: 'content-filter', delayMs: 0 }
  const again = transient && attemptsOnModel < ATTEMPTS_ON_MODEL
  // A model that somebody unloaded, or a server that dropped the line, is itself fine: go on with it where nothing else is.
  if (alternatives > 0) return { action: 'switch', reason: kind, delayMs: 0 }
  if (again) return { action: 'retry', reason: kind, delayMs: retryAfterMs ?? RETRY_DELAY_MS }
  return { action: 'fail', reason: 'no-alternative', delayMs: 0 }
}
