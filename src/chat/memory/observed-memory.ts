/**
 * What loads really took on this machine: learned for each model and window, kept in the store, and trusted over estimates.
 *
 * @module
 */
import { toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import type { LoadedInstance, MemoryEstimate, ModelInfo, ModelKey } from '../model.ts'
import type { Store } from '../store.ts'
import type { HoldSettings } from './header-estimate.ts'
import { estimateModel } from './model-memory.ts'

/** Name of the figure: bytes that a load with this window took. */
const FIGURE = /^memoryBytes@(\d+)(?:\/|$)/
/** Weight of a new observation against the former ones. */
const NEW_SHARE = 0.5
/**
 * What is mapped from a file, and what is computed in, appears in memory only when it is used: a load says less than what is
 * needed, so that a good estimate is corrected upwards only.
 */
const LEAST_OF_ESTIMATE: Readonly<Record<MemoryEstimate['source'], number>> = {
  backend: 0.95,
  header: 1,
  table: 0.8,
  size: 0.7,
  observed: 1,
}
/** More than so many times what was expected has another cause than the model. */
const IMPLAUSIBLE = 2

/**
 * An estimate corrected by what was seen. More than estimated is believed; less only so far, as what was seen may not be all.
 * @param observedBytes what a load of this model with this window took here
 */
export function correctedBy(estimate: MemoryEstimate, observedBytes: number): MemoryEstimate {
  const least = estimate.totalBytes * LEAST_OF_ESTIMATE[estimate.source]
  const totalBytes = Math.round(Math.min(Math.max(observedBytes, least), estimate.totalBytes * IMPLAUSIBLE))
  const weightsBytes = Math.min(estimate.weightsBytes, totalBytes)
  const kvBytes = Math.min(estimate.kvBytes, totalBytes - weightsBytes)
  return {
    ...estimate,
    weightsBytes,
    kvBytes,
    computeBytes: totalBytes - weightsBytes - kvBytes,
    totalBytes,
    source: 'observed',
    confidence: 0.97,
  }
}

/** What {@link ObservedMemory} looks at. */
export interface ObservedMemoryParts {
  readonly ctx: PluginContext
  readonly store: Store
  readonly find: (key: ModelKey) => ModelInfo | undefined
  /** How the configuration wants a model held. */
  readonly holdOf: (model: ModelInfo) => HoldSettings
}

/** Learns from loads. */
export class ObservedMemory {
  /** Corrected estimates, by `key@window`. */
  readonly estimates: Map<ModelKey, MemoryEstimate> = new Map()
  readonly #parts: ObservedMemoryParts
  readonly #observed: Map<ModelKey, Readonly<Record<string, number>>> = new Map()
  readonly #freeBefore: Map<ModelKey, number> = new Map()

  constructor(parts: ObservedMemoryParts) {
    this.#parts = parts
    const { ctx } = parts
    ctx.on('model.loading', ({ model, fraction }) => {
      if (fraction === 0) this.#freeBefore.set(model, freeBytes(ctx))
    })
    ctx.on('model.loaded', ({ model, contextLength }) => void this.#learn(model, contextLength))
  }

  /** Brings to mind what was learned about models before; asked for each of them once. */
  async remember(models: readonly ModelInfo[]): Promise<void> {
    const unknown = models.filter(({ key }) => !this.#observed.has(key))
    for (const { key } of unknown) this.#observed.set(key, {})
    try {
      await Promise.all(unknown.map(async (model) => this.#adopt(model, await this.#parts.store.figures(model.key))))
    } catch (error) {
      this.#failed('reading what loads took', error)
    }
  }

  #adopt(model: ModelInfo, figures: Readonly<Record<string, number>>): void {
    this.#observed.set(model.key, figures)
    for (const [name, bytes] of Object.entries(figures)) {
      const contextLength = Number(FIGURE.exec(name)?.[1] ?? 0)
      // What was learned of another way to hold it says nothing of this one.
      if (contextLength > 0 && name === this.#figure(model, contextLength))
        this.estimates.set(`${model.key}@${contextLength}`, correctedBy(this.#estimate(model, contextLength), bytes))
    }
  }

  #estimate(model: ModelInfo, contextLength: number): MemoryEstimate {
    return estimateModel(model, { ...this.#parts.holdOf(model), contextLength })
  }

  /** The figure's name: the window, and what else decides how much it takes. */
  #figure(model: ModelInfo, contextLength: number): string {
    const { kvType, gpuLayers, flashAttention } = this.#parts.holdOf(model)
    const ways = [kvType, gpuLayers, flashAttention === false ? 'no-flash' : undefined].filter((way) => way !== undefined)
    return [`memoryBytes@${contextLength}`, ...ways].join('/')
  }

  async #learn(key: ModelKey, contextLength: number): Promise<void> {
    const model = this.#parts.find(key)
    const instance = model?.instances.find((each) => each.contextLength === contextLength)
    if (!model || !instance) return
    const bytes = this.#taken(key, instance)
    const { weightsBytes, kvBytes, totalBytes } = this.#estimate(model, contextLength)
    // Other programs come and go while a model loads; what is computed in is not filled before the first prompt.
    if (bytes === undefined || bytes < (weightsBytes + kvBytes) / IMPLAUSIBLE || bytes > totalBytes * IMPLAUSIBLE) return
    const name = this.#figure(model, contextLength)
    const figures = this.#observed.get(key) ?? {}
    const former = figures[name]
    const learned = Math.round(former === undefined ? bytes : former + NEW_SHARE * (bytes - former))
    this.#adopt(model, { ...figures, [name]: learned })
    try {
      await this.#parts.store.learn(key, { [name]: learned })
    } catch (error) {
      this.#failed('keeping what a load took', error)
    }
  }

  /** As the engine says, else what went missing of the machine's memory. */
  #taken(key: ModelKey, { memoryBytes }: LoadedInstance): number | undefined {
    const before = this.#freeBefore.get(key)
    this.#freeBefore.delete(key)
    if (memoryBytes !== undefined) return memoryBytes
    return before === undefined ? undefined : before - freeBytes(this.#parts.ctx)
  }

  #failed(during: string, error: unknown): void {
    this.#parts.ctx.emit('plugin.failed', { plugin: 'store', during, error: toErrorFact(error) })
  }
}

/** Free memory of machine and graphics devices together. */
function freeBytes(ctx: PluginContext): number {
  const { memory, gpus } = ctx.use('resources').latest()
  return gpus.reduce((sum, gpu) => sum + (gpu.unified ? 0 : gpu.freeBytes), memory.availableBytes)
}
