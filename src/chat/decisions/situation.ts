/**
 * Puts what is known of models, memory and conversation into a question to the policy.
 *
 * @module
 */
import type { HoldSettings } from '../memory/header-estimate.ts'
import { estimateModel } from '../memory/model-memory.ts'
import type { Message } from '../message.ts'
import type { LoadedInstance, MemoryEstimate, ModelInfo, ModelKey, ModelSettings } from '../model.ts'
import type { Candidate, Needs } from '../policy.ts'
import type { SendOptions } from '../reply.ts'
import type { Store } from '../store.ts'
import { needsOf, SMALLEST_WINDOW } from './needs.ts'

/** Window that a model is loaded with when nothing else is said, in tokens: room for a conversation, modest in memory. */
const DEFAULT_CONTEXT = 8192
const NO_MEMORY: MemoryEstimate = { weightsBytes: 0, kvBytes: 0, computeBytes: 0, totalBytes: 0, source: 'backend', confidence: 1 }

/** What any conversation needs. */
export const PLAIN_NEEDS: Needs = { contextTokens: SMALLEST_WINDOW, vision: false, tools: false }

/** Messages before the newest that say what a conversation is about. */
const RECENT = 4

/**
 * What the conversation of a message needs, the message being its newest.
 * @param known how many messages there are before it, where that is known
 * @param newest those right before it, ascending
 */
export async function needsOfTurn(
  store: Pick<Store, 'countMessages'>,
  { sessionId, parts }: Message,
  known: number | undefined,
  newest: readonly Message[],
  { system, tools = [] }: SendOptions,
): Promise<Needs> {
  const recent = newest.slice(-RECENT)
  const earlier = known ?? (recent.length < RECENT ? recent.length : (await store.countMessages(sessionId)) - 1)
  return needsOf({ parts, recent, earlier, system, tools: tools.length })
}

/** What the configuration says about a model: by key over by id over `'*'`. */
export function settingsFor(model: ModelInfo, all: Readonly<Record<string, ModelSettings>>): ModelSettings {
  return { ...all['*'], ...all[model.id], ...all[model.key] }
}

/** Window to load a model with: as configured, else the default or what is needed, never past what it was trained for. */
function plannedContext(model: ModelInfo, settings: ModelSettings, needs: Needs): number {
  const wanted = settings.contextLength ?? Math.max(DEFAULT_CONTEXT, roundedUp(needs.contextTokens))
  return Math.min(wanted, model.maxContextLength)
}

/** To the next power of two, so that small growth does not mean a reload. */
function roundedUp(tokens: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, tokens)))
}

/**
 * Memory of a model at a window, in bytes: what was observed here, else what its header, a table or its size says.
 * @param hold how the configuration wants it held
 */
export function memoryOf(
  model: ModelInfo,
  contextLength: number,
  estimates: ReadonlyMap<ModelKey, MemoryEstimate>,
  hold: HoldSettings = {},
): MemoryEstimate {
  return estimates.get(`${model.key}@${contextLength}`) ?? estimateModel(model, { ...hold, contextLength })
}

/** The instance of a model that serves a need: the largest window, if that is enough. */
export function servingInstance(model: ModelInfo, contextTokens: number): LoadedInstance | undefined {
  const [largest] = [...model.instances].sort((a, b) => b.contextLength - a.contextLength)
  return largest && largest.contextLength >= contextTokens ? largest : undefined
}

/** Everything {@link candidates} looks at. */
export interface SituationInput {
  readonly models: readonly ModelInfo[]
  readonly settings: Readonly<Record<string, ModelSettings>>
  readonly needs: Needs
  /** Whether a backend's models may be chosen without being asked for. */
  readonly allowed: (model: ModelInfo) => boolean
  /** Whether Mai loads it; what another program holds takes nothing of what is free. Default: it does. */
  readonly loads?: (model: ModelInfo) => boolean
  /** Instances that Mai may unload: its own, idle, and not kept. */
  readonly unloadable: ReadonlySet<string>
  /** Backends' own estimates, by `key@context`. */
  readonly estimates: ReadonlyMap<ModelKey, MemoryEstimate>
}

/** One candidate a model. */
export function candidates(input: SituationInput): Candidate[] {
  const ownBytes = (model: ModelInfo): number =>
    model.instances
      .filter((i) => input.unloadable.has(i.instanceId))
      .reduce((sum, i) => sum + memoryOf(model, i.contextLength, input.estimates, settingsFor(model, input.settings)).totalBytes, 0)
  const reclaimableBytes = input.models.reduce((sum, model) => sum + ownBytes(model), 0)
  return input.models.map((model) => {
    const settings = settingsFor(model, input.settings)
    const loaded = servingInstance(model, input.needs.contextTokens)
    const plannedContextLength = loaded?.contextLength ?? plannedContext(model, settings, input.needs)
    return {
      model: model.key,
      remote: model.remote,
      allowed: input.allowed(model),
      sizeBytes: model.sizeBytes,
      parameters: model.parameters,
      quantisationBits: model.quantisation?.bits,
      quality: settings.quality ?? model.quality,
      maxContextLength: model.maxContextLength,
      abilities: model.abilities,
      architecture: model.architecture,
      loadedContextLength: loaded?.contextLength,
      plannedContextLength,
      memory: input.loads?.(model) === false ? NO_MEMORY : memoryOf(model, plannedContextLength, input.estimates, settings),
      reclaimableBytes,
      ownBytes: ownBytes(model),
    }
  })
}
