/**
 * How good a model is for this machine and this message: quality, less the wait, less the cost of switching.
 *
 * @module
 */
import type { Candidate, SelectionRequest } from '../../chat/policy.ts'
import { answerSeconds, loadSeconds } from './expected-time.ts'
import { experienceOf, type Learned } from './learned.ts'
import { qualityOf } from './quality.ts'

/** A wait for a whole answer that nobody minds, in seconds. */
const COMFORTABLE_S = 20
/** Even within that the quicker of two equals is better: loss for each doubling. */
const EFFICIENCY = 0.05
/** A load as long as this, in seconds, counts as one more switch. */
const LONG_LOAD_S = 10
/** Loss for each halving of the window that memory forces. */
const SHORTER = 0.35

/** How much time and unrest count against quality. */
export interface Weights {
  /** λ: loss for each doubling of the wait beyond comfort, in doublings of parameters. */
  readonly waitWeight: number
  /** μ: loss for a model that must be loaded first. */
  readonly switchWeight: number
}

/** Higher is better. @param window the one it would have, in tokens; undefined: as planned */
export function score(
  candidate: Candidate,
  { needs, resources }: SelectionRequest,
  learned: Learned,
  window: number | undefined,
  { waitWeight, switchWeight }: Weights,
): number {
  const seen = experienceOf(learned, candidate.model)
  const seconds = Math.max(answerSeconds(candidate, needs, resources, learned, seen), 1e-9)
  const wait = waitWeight * Math.max(0, Math.log2(seconds / COMFORTABLE_S)) + EFFICIENCY * Math.log2(1 + seconds)
  const load = loadSeconds(candidate, seen)
  const switching = load === 0 ? 0 : switchWeight * (1 + Math.log2(1 + load / LONG_LOAD_S))
  const { plannedContextLength } = candidate
  const shorter = window === undefined || window >= plannedContextLength ? 0 : SHORTER * Math.log2(plannedContextLength / window)
  return qualityOf(candidate, needs, seen.correction ?? 0) - wait - switching - shorter
}
