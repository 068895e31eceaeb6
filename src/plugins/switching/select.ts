/**
 * The choice: exclude what cannot serve, keep what need not change, else take the best that fits.
 *
 * @module
 */
import type { Candidate, Decision, ScoredCandidate, SelectionRequest } from '../../chat/policy.ts'
import { isResting } from './circuit.ts'
import { score } from './score.ts'
import type { SwitchingState } from './state.ts'

/** What the policy can be told. */
export interface SwitchingOptions {
  /** Shortest time between two switches that no failure forces, in ms. */
  readonly dwellMs: number
  /** Calm needed before moving up, in ms. */
  readonly upgradeAfterMs: number
  /** Share of all memory that stays free beside models: 80 % in use is pressure. */
  readonly headroom: number
  /** How long a model that failed twice rests, in ms. */
  readonly cooldownMs: number
}

/** A pure function of state and request. */
export function select(state: SwitchingState, request: SelectionRequest, options: SwitchingOptions): Decision {
  const judged = request.candidates.map((candidate) => ({
    candidate,
    score: score(candidate, request.resources),
    excluded: exclusion(candidate, state, request, options),
  }))
  const rows: ScoredCandidate[] = judged.map(({ candidate, score: value, excluded }) => ({
    model: candidate.model,
    score: Math.round(value * 1000) / 1000,
    ...(excluded === undefined ? {} : { excluded }),
  }))
  // Ties keep the order of the configuration, which is part of the question.
  const serving = judged.filter((j) => j.excluded === undefined).sort((a, b) => b.score - a.score)
  const decide = (chosen: Candidate | undefined, reason: string, rest: readonly Candidate[]): Decision => ({
    model: chosen?.model,
    contextLength: chosen?.plannedContextLength ?? 0,
    reason,
    fallbacks: rest.filter((other) => other !== chosen).map((other) => other.model),
    candidates: rows,
  })
  const fitting = serving.map((j) => j.candidate)

  const wanted = request.requested ?? state.pin
  if (wanted !== null && !request.failed.includes(wanted)) {
    const asked = request.candidates.find((c) => c.model === wanted && serves(c, request) === undefined)
    if (asked) return decide(asked, request.requested ? 'requested' : 'pinned', fitting)
  }
  const [best] = serving
  if (best) {
    const current = serving.find((j) => j.candidate.model === request.current)
    if (!current || current === best) return decide(best.candidate, current ? 'still-best' : 'most-efficient', fitting)
    if (best.candidate.model === state.rescuedFrom) return decide(best.candidate, 'recovered', fitting)
    if (request.time - state.switchedAt < options.dwellMs) return decide(current.candidate, 'dwell', fitting)
    const calmSince = Math.max(state.pressureAt, state.switchedAt)
    if (state.pressure !== 'normal' || request.time - calmSince < options.upgradeAfterMs)
      return decide(current.candidate, 'not-calm-yet', fitting)
    return decide(best.candidate, 'upgrade', fitting)
  }
  // Nothing fits: the smallest that could serve at all, even if slow; a resting one before none.
  const smallest = judged
    .filter((j) => j.excluded === 'memory' || j.excluded === 'circuit')
    .map((j) => j.candidate)
    .sort((a, b) => a.memory.totalBytes - b.memory.totalBytes)
  return decide(smallest[0], smallest.length > 0 ? 'smallest' : 'none', smallest)
}

/** Why a model cannot serve this conversation at all. */
function serves(candidate: Candidate, { needs, failed }: SelectionRequest): string | undefined {
  if (failed.includes(candidate.model)) return 'failed'
  if (needs.vision && !candidate.abilities.vision) return 'vision'
  if (needs.tools && !candidate.abilities.tools) return 'tools'
  if (candidate.plannedContextLength < needs.contextTokens) return 'window'
  return undefined
}

function exclusion(candidate: Candidate, state: SwitchingState, request: SelectionRequest, options: SwitchingOptions): string | undefined {
  const reason = serves(candidate, request)
  if (reason !== undefined) return reason
  if (!candidate.allowed) return 'remote'
  if (isResting(state.circuits, candidate.model, request.time, options.cooldownMs)) return 'circuit'
  return fits(candidate, state, request, options) ? undefined : 'memory'
}

/** What is loaded stays where it is while memory is calm; anything else must leave the headroom free. */
function fits(candidate: Candidate, state: SwitchingState, { resources }: SelectionRequest, { headroom }: SwitchingOptions): boolean {
  // What another machine or another program holds takes nothing of what is free here.
  if (candidate.remote || candidate.memory.totalBytes === 0) return true
  const calm = resources.level === 'normal' && state.pressure === 'normal'
  if (candidate.loadedContextLength !== undefined && calm) return true
  const { totalBytes, availableBytes } = resources.memory
  const gpuFree = resources.gpus.filter((gpu) => !gpu.unified).reduce((sum, gpu) => sum + gpu.freeBytes, 0)
  const room = Math.max(availableBytes + candidate.reclaimableBytes - headroom * totalBytes, gpuFree)
  return candidate.memory.totalBytes <= room
}
