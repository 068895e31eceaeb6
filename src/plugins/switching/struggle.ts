/**
 * What to do when an answer is in trouble.
 *
 * @module
 */
import type { StruggleDecision, StruggleRequest } from '../../chat/policy.ts'

/** What can be told about struggles. */
export interface StruggleOptions {
  /** Ask another model what a provider's filter refused. Default false: a filter is not evaded. */
  readonly failOverContentFilter: boolean
}

/** Attempts at one answer on one model over one route, and over all models. */
const ATTEMPTS_ON_MODEL = 2
const ATTEMPTS = 6
/** Longest wait before the second attempt, in ms; of it a random share is waited ("full jitter"), so that clients do not come back together. */
const BACKOFF_MS = 600
/** Longest wait that a server may ask for, in ms: a person is waiting. */
const LONGEST_WAIT_MS = 30_000

/** Another way to the same model or another model at once, where there is one; the same again only when that can help. */
export function onStruggle(request: StruggleRequest, { failOverContentFilter }: StruggleOptions): StruggleDecision {
  const {
    transient,
    alternatives,
    anotherRoute = false,
    agreed = false,
    attempts,
    attemptsOnModel,
    retryAfterMs,
    kind,
    error,
    random,
  } = request
  const decide = (action: StruggleDecision['action'], reason: string, delayMs = 0): StruggleDecision => ({ action, reason, delayMs })
  if (error?.code === 'MAI_CONTENT_FILTERED' && !failOverContentFilter) return decide('fail', 'content-filter')
  if (attempts >= ATTEMPTS) return decide('fail', 'attempts')
  if (anotherRoute) return decide('retry', 'another-route')
  // Two models that write the same are not both stuck: a table, a song or a count is asked for, or nothing is left to say.
  if (agreed) return decide('continue', 'agreed')
  // Small variations may be meant, and nobody else can tell.
  if (kind === 'noisy-loop' && alternatives === 0) return decide('continue', 'no-alternative')
  // A model that somebody unloaded, or a server that dropped the line, is itself fine: go on with it where nothing else is.
  if (alternatives > 0) return decide('switch', kind)
  if (!transient || attemptsOnModel >= ATTEMPTS_ON_MODEL) return decide('fail', 'no-alternative')
  const delayMs = retryAfterMs ?? Math.round(random * BACKOFF_MS)
  return delayMs > LONGEST_WAIT_MS ? decide('fail', 'retry-after-too-long') : decide('retry', kind, delayMs)
}
