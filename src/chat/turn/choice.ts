/**
 * Choosing the model of one attempt: the policy decides, and a better model that is not loaded yet is prepared for
 * the next message while the present one answers this one.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { servingInstance, settingsFor } from '../decisions/situation.ts'
import type { TurnIds } from '../events.ts'
import type { ModelInfo, ModelKey } from '../model.ts'
import type { Decision, Needs, SelectionRequest } from '../policy.ts'
import type { Catalogue } from '../residency/catalogue.ts'
import { minimalDecision } from './degradation.ts'
import type { Interruption } from './interruption.ts'
import type { TurnParts } from './turn-parts.ts'

/** Waits for a server that went away in the middle of a turn, in ms. */
const RESTART_WAITS_MS: readonly number[] = [250, 500, 1000, 2000]

/** A model to try, and why. */
export interface Choice {
  readonly model: ModelInfo
  readonly decision: Decision
  readonly request: SelectionRequest
  /** Minimal mode: nothing goes to the GPU. */
  readonly cpuOnly?: boolean
}

/** Nothing can be tried, and why not. */
export interface NoChoice {
  readonly rules: readonly string[]
  readonly request: SelectionRequest
}

/** What to choose for. */
export interface ChoiceInput {
  readonly ids: TurnIds
  /** In the middle of an answer that broke off. */
  readonly rescue: boolean
  readonly requested: ModelKey | undefined
  readonly failed: ReadonlySet<ModelKey>
  readonly needs: Needs
}

/** @returns the choice, or why each model was not chosen */
export async function chooseModel(parts: TurnParts, { ids, rescue, requested, failed, needs }: ChoiceInput): Promise<Choice | NoChoice> {
  const { catalogue, journal } = parts
  const about = { ...ids, requested, failed: [...failed] }
  const request = await parts.question(rescue ? 'rescue' : 'turn', needs, about)
  const decision = await journal.select(request)
  const model = decision.model === undefined ? undefined : catalogue.find(decision.model)
  if (!model || failed.has(model.key)) {
    return { request, rules: decision.candidates.map(({ model: key, excluded }) => `${key}: ${excluded ?? 'not chosen'}`) }
  }
  // Loading may be the end of the process: what it was for is on record by then.
  if (!servingInstance(model, needs.contextTokens)) await journal.settled()
  return (rescue ? undefined : keepPresent(parts, request, decision, model)) ?? { model, decision, request }
}

/** The last resort, once, after memory ran out on a machine whose GPU might be in the way. */
export async function minimalChoice({ catalogue, journal, ctx }: TurnParts, request: SelectionRequest): Promise<Choice | undefined> {
  if (request.resources.gpus.length === 0) return undefined
  const decision = minimalDecision(request.candidates, request.needs)
  const model = decision.model === undefined ? undefined : catalogue.find(decision.model)
  if (!model) return undefined
  await journal.record('model.selected', { request, decision })
  ctx.emit('model.selected', { request, decision })
  return { model, decision, request, cpuOnly: true }
}

/** The present model, where it can finish this message and the better one can be prepared beside it. */
function keepPresent(parts: TurnParts, request: SelectionRequest, decision: Decision, better: ModelInfo): Choice | undefined {
  if ([request.current, request.requested, parts.pinned()].includes(better.key)) return undefined
  const row = (key: ModelKey): SelectionRequest['candidates'][number] | undefined => request.candidates.find(({ model }) => model === key)
  const excluded = decision.candidates.find(({ model }) => model === request.current)?.excluded
  const present = request.current === undefined ? undefined : parts.catalogue.find(request.current)
  const contextLength = present && row(present.key)?.loadedContextLength
  if (!present || contextLength === undefined || excluded !== undefined) return undefined
  if (better.remote || row(better.key)?.loadedContextLength !== undefined) return undefined
  const settings = { ...settingsFor(better, parts.models), contextLength: decision.contextLength }
  if (!parts.preloader.prepare(better, settings)) return undefined
  return { model: present, request, decision: { ...decision, model: present.key, contextLength, reason: 'preparing-better' } }
}

/** In the middle of a turn a server that is gone may be starting again: it is given some seconds. @throws MaiError `MAI_NOTHING_SERVES` */
export async function awaitModels(catalogue: Catalogue, rescue: boolean, interruption: Interruption): Promise<void> {
  for (const delay of rescue ? RESTART_WAITS_MS : []) {
    try {
      return await catalogue.ensure()
    } catch {
      // The last try, below, says why.
      await sleep(delay, undefined, { signal: interruption.signal })
    }
  }
  await catalogue.ensure()
}
