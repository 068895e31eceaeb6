/**
 * The choice: exclude what cannot serve, keep what need not change, else take the best that fits.
 *
 * @module
 */
import type { Candidate, Decision, ScoredCandidate, SelectionRequest } from '../../chat/policy.ts'
import { isResting } from './circuit.ts'
import { fittingWindow, needAt, type Room, roomOf, shortestWindow, tightRoom } from './fit.ts'
import { score, type Weights } from './score.ts'
import type { SwitchingState } from './state.ts'
import { traitsOf } from './traits.ts'

/** What the policy can be told. */
export interface SwitchingOptions extends Weights {
  /** Shortest time between two switches that no failure forces, in ms. */
  readonly dwellMs: number
  /** Calm needed before moving up, in ms. */
  readonly upgradeAfterMs: number
  /** Share of all memory that stays free beside models: 80 % in use is pressure. */
  readonly headroom: number
  /** How long a model that failed twice rests, in ms. */
  readonly cooldownMs: number
}

/** Why a candidate is left out. */
type Rule = 'failed' | 'no-chat' | 'vision' | 'tools' | 'window' | 'remote' | 'language' | 'circuit' | 'memory'

/** Rules that may be broken before a model is chosen that does not fit. */
const BENDABLE: ReadonlySet<Rule> = new Set(['language', 'circuit'])

/** A gain in score below this, in doublings of parameters, is not worth a switch. */
const WORTHWHILE = 0.15

/** A gain in score from which on memory is used that was to stay free, in doublings of parameters. */
const FAR_BETTER = 1

interface Judged {
  readonly candidate: Candidate
  readonly score: number
  /** Window that fits, in tokens; undefined: none does. */
  readonly window: number | undefined
  readonly excluded: Rule | undefined
}

/** A pure function of state and request. */
export function select(state: SwitchingState, request: SelectionRequest, options: SwitchingOptions): Decision {
  const calm = request.resources.level === 'normal' && state.pressure === 'normal'
  const room = roomOf(request, state.learned, options.headroom, calm)
  const judged = request.candidates.map((candidate): Judged => {
    const window = fittingWindow(candidate, request.needs.contextTokens, room)
    const excluded = exclusion(candidate, state, request, options) ?? (window === undefined ? 'memory' : undefined)
    return { candidate, score: rounded(score(candidate, request, state.learned, window, options)), window, excluded }
  })
  const serving = judged.filter((j) => j.excluded === undefined).sort(byScore)
  const chosen =
    asked(state, request, judged) ??
    (calm && serving.length > 0 ? undefined : squeeze(state, request, judged, serving, tightRoom(room, request, options.headroom))) ??
    choose(state, request, judged, serving, calm, options) ??
    lastResort(request, judged, calm)
  return {
    model: chosen?.judged.candidate.model,
    contextLength: chosen === undefined ? 0 : (chosen.window ?? chosen.judged.window ?? chosen.judged.candidate.plannedContextLength),
    reason: chosen?.reason ?? 'none',
    fallbacks: (serving.length > 0 ? serving : tooLarge(judged, request))
      .filter((j) => j.candidate !== chosen?.judged.candidate)
      .map((j) => j.candidate.model),
    candidates: judged.map((j) => row(j.candidate === chosen?.judged.candidate ? chosen.judged : j)),
  }
}

interface Choice {
  readonly judged: Judged
  readonly reason: string
  readonly window?: number
}

/** The one that the person asked for with this message, else the pinned one, if it can serve at all. */
function asked({ pin }: SwitchingState, request: SelectionRequest, judged: readonly Judged[]): Choice | undefined {
  const wanted = request.requested ?? pin
  if (wanted === null || request.failed.includes(wanted)) return undefined
  const found = judged.find(({ candidate }) => candidate.model === wanted && serves(candidate, request) === undefined)
  return found && { judged: found, reason: request.requested === undefined ? 'pinned' : 'requested' }
}

/** Among those that serve and fit: stay, or move to the best. */
function choose(
  state: SwitchingState,
  request: SelectionRequest,
  judged: readonly Judged[],
  serving: readonly Judged[],
  calm: boolean,
  options: SwitchingOptions,
): Choice | undefined {
  const [best] = serving
  if (!best) return undefined
  if (request.purpose === 'rescue') return { judged: best, reason: 'rescue' }
  if (request.current === undefined) return { judged: best, reason: 'most-efficient' }
  const current = serving.find(({ candidate }) => candidate.model === request.current)
  if (!current) {
    const former = judged.find(({ candidate }) => candidate.model === request.current)
    return { judged: best, reason: forced(former?.excluded) }
  }
  const stay = (reason: string): Choice => ({ judged: current, reason: state.minimal ? 'minimal' : reason })
  const settled = request.time - Math.max(state.pressureAt, state.switchedAt) >= options.upgradeAfterMs
  if (current === best) return calm && settled ? { judged: current, reason: 'still-best' } : stay('still-best')
  // Its circuit lets it try again: the way back from a rescue is no choice that must wait.
  if (best.candidate.model === state.rescuedFrom) return { judged: best, reason: 'recovered' }
  if (request.time - Math.max(state.switchedAt, state.rescuedAt) < options.dwellMs) return stay('dwell')
  // Beside calm the two times together after a switch: so that no three switches fall into five and a half minutes.
  const held = request.time - state.switchedAt < options.upgradeAfterMs + options.dwellMs
  if (!calm || !settled || held) return stay('not-calm-yet')
  if (best.score - current.score < WORTHWHILE) return { judged: current, reason: 'close-enough' }
  return { judged: best, reason: 'upgrade' }
}

/** Why the model in use must be left. */
function forced(rule: Rule | undefined): string {
  if (rule === undefined) return 'gone'
  if (rule === 'memory') return 'downgrade'
  if (rule === 'circuit' || rule === 'remote') return rule
  return rule === 'failed' ? 'rescue' : 'needs'
}

/**
 * Memory is short. Where what leaves the headroom is far worse than what fits into a share of what is free, or nothing
 * leaves it, that share is used. The model that brought the pressure goes first; what was squeezed in stays while it can.
 */
function squeeze(
  state: SwitchingState,
  request: SelectionRequest,
  judged: readonly Judged[],
  serving: readonly Judged[],
  room: Room | undefined,
): Choice | undefined {
  const bent = judged.some((j) => j.excluded !== undefined && BENDABLE.has(j.excluded) && j.window !== undefined)
  if (!room || (bent && serving.length === 0) || serving.some((j) => j.candidate.model === request.current)) return undefined
  const floor = serving[0] ? serving[0].score + FAR_BETTER : Number.NEGATIVE_INFINITY
  const possible = judged.flatMap((j) => {
    const window = j.excluded === 'memory' && j.score > floor ? fittingWindow(j.candidate, request.needs.contextTokens, room) : undefined
    return window === undefined ? [] : [{ judged: { ...j, excluded: undefined }, reason: 'tight', window }]
  })
  const current = possible.find((c) => c.judged.candidate.model === request.current && c.judged.candidate.loadedContextLength !== undefined)
  if (current && (state.tight || serving.length === 0)) return current
  return possible.filter((c) => c !== current).sort((a, b) => byScore(a.judged, b.judged))[0]
}

/** Nothing serves and fits: first what fits and breaks a lesser rule, then the smallest, then the widest. */
function lastResort(request: SelectionRequest, judged: readonly Judged[], calm: boolean): Choice | undefined {
  const [bent] = judged.filter((j) => j.window !== undefined && j.excluded !== undefined && BENDABLE.has(j.excluded)).sort(byScore)
  if (bent) return { judged: bent, reason: 'last-resort' }
  const [smallest] = tooLarge(judged, request)
  if (smallest) {
    const window = smallest.candidate.loadedContextLength ?? shortestWindow(smallest.candidate, request.needs.contextTokens)
    return { judged: smallest, reason: calm ? 'smallest' : 'minimal', window }
  }
  // The window that is needed is an estimate: once, the widest may try, and an exact count tells.
  if (request.failed.length > 0) return undefined
  const widest = judged
    .filter((j) => j.excluded === 'window' && j.candidate.allowed && j.window !== undefined)
    .sort((a, b) => b.candidate.plannedContextLength - a.candidate.plannedContextLength || byScore(a, b))
  return widest[0] && { judged: widest[0], reason: 'widest' }
}

/** What could serve but does not fit, smallest first; what rests comes last. */
function tooLarge(judged: readonly Judged[], { needs }: SelectionRequest): Judged[] {
  const least = ({ candidate }: Judged): number => needAt(candidate, shortestWindow(candidate, needs.contextTokens))
  const rank = (j: Judged): number => (j.excluded === 'memory' ? 0 : 1)
  return judged
    .filter((j) => j.excluded === 'memory' || (j.excluded !== undefined && BENDABLE.has(j.excluded)))
    .sort((a, b) => rank(a) - rank(b) || least(a) - least(b))
}

/** Ties keep the order of the configuration, which is part of the question: sorting is stable. */
function byScore(a: Judged, b: Judged): number {
  return b.score - a.score
}

/** Rounded before anything is compared, so that what is written down says all about the order. Adding 0 makes 0 of -0. */
function rounded(value: number): number {
  return Math.round(value * 1000) / 1000 + 0
}

function row({ candidate: { model }, score: value, excluded }: Judged): ScoredCandidate {
  return excluded === undefined ? { model, score: value } : { model, score: value, excluded }
}

/** Why a model cannot serve this conversation at all. */
function serves(candidate: Candidate, { needs, failed }: SelectionRequest): Rule | undefined {
  if (failed.includes(candidate.model)) return 'failed'
  if (needs.vision && !candidate.abilities.vision) return 'vision'
  if (needs.tools && !candidate.abilities.tools) return 'tools'
  if (candidate.plannedContextLength < needs.contextTokens) return 'window'
  return undefined
}

function exclusion(candidate: Candidate, state: SwitchingState, request: SelectionRequest, options: SwitchingOptions): Rule | undefined {
  const reason = serves(candidate, request)
  if (reason !== undefined) return reason
  if (!candidate.allowed) return 'remote'
  const traits = traitsOf(candidate)
  if (traits.specialities.has('no-chat')) return 'no-chat'
  const { script = 'latin' } = request.needs
  if (traits.englishOnly && script !== 'latin') return 'language'
  if (isResting(state.circuits, candidate.model, request.time, options.cooldownMs)) return 'circuit'
  return undefined
}
