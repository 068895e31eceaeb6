/**
 * How fast each model has been on this machine: learned from every answer, kept between processes.
 *
 * @module
 */
import { setImmediate } from 'node:timers/promises'
import { toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import type { ModelKey } from '../model.ts'
import type { Store } from '../store.ts'
import type { GenerationOutcome } from '../turn/generation.ts'
import type { AnswerStart } from '../watcher.ts'

/** What a model has shown, in tokens/s. */
export type Shown = AnswerStart['shown']

/** Weight of the newest answer. */
const WEIGHT = 0.3
/** Shorter stretches measure the start-up, not the speed. Tokens. */
const LEAST_PROMPT = 64
const LEAST_ANSWER = 16

const UNKNOWN: Shown = { prefillPerSecond: undefined, writingPerSecond: undefined }

/** What one answer showed. */
function shownBy({ usage, firstTokenMs, ms }: Pick<GenerationOutcome, 'usage' | 'firstTokenMs' | 'ms'>): Shown {
  const writingMs = ms - firstTokenMs
  return {
    prefillPerSecond: usage.promptTokens >= LEAST_PROMPT && firstTokenMs > 0 ? (usage.promptTokens * 1000) / firstTokenMs : undefined,
    writingPerSecond:
      usage.completionTokens >= LEAST_ANSWER && writingMs > 0 ? ((usage.completionTokens - 1) * 1000) / writingMs : undefined,
  }
}

/**
 * Averages with exponentially fading weights. A prompt that is in the engine's cache looks read faster than it is:
 * unless the cache was empty, only a slower reading says something.
 */
function averaged(before: Shown, now: Shown, cold: boolean): Shown {
  const mean = (old: number | undefined, fresh: number | undefined): number | undefined =>
    old === undefined ? fresh : fresh === undefined ? old : old + WEIGHT * (fresh - old)
  const telling = cold || (now.prefillPerSecond ?? Infinity) < (before.prefillPerSecond ?? 0)
  return {
    prefillPerSecond: telling ? mean(before.prefillPerSecond, now.prefillPerSecond) : before.prefillPerSecond,
    writingPerSecond: mean(before.writingPerSecond, now.writingPerSecond),
  }
}

/** The speeds of all models. Reading from the store happens once a model. */
export class Speeds {
  readonly #store: Pick<Store, 'figures' | 'learn'>
  readonly #emit: PluginContext['emit']
  readonly #known: Map<ModelKey, Promise<Shown>> = new Map()

  constructor(store: Pick<Store, 'figures' | 'learn'>, emit: PluginContext['emit']) {
    this.#store = store
    this.#emit = emit
  }

  of(model: ModelKey): Promise<Shown> {
    const known = this.#known.get(model)
    if (known) return known
    const read = this.#read(model)
    this.#known.set(model, read)
    return read
  }

  /** Learns from an answer; writes off the turn's path. @param cold the model had just been loaded: nothing was in its cache */
  async learn(model: ModelKey, outcome: Pick<GenerationOutcome, 'usage' | 'firstTokenMs' | 'ms'>, cold: boolean): Promise<void> {
    const fresh = shownBy(outcome)
    const shown = averaged(await this.of(model), fresh, cold)
    this.#known.set(model, Promise.resolve(shown))
    const { prefillPerSecond, writingPerSecond } = shown
    if (fresh.prefillPerSecond === undefined && fresh.writingPerSecond === undefined) return
    const figures = {
      ...(prefillPerSecond === undefined ? {} : { prefillPerSecond }),
      ...(writingPerSecond === undefined ? {} : { writingPerSecond }),
    }
    // Writes go in order, and the answer's own comes first.
    await setImmediate()
    await this.#store.learn(model, figures).catch((error: unknown) => this.#failed('keeping a speed', error))
  }

  async #read(model: ModelKey): Promise<Shown> {
    try {
      const { prefillPerSecond, writingPerSecond } = await this.#store.figures(model)
      return { prefillPerSecond, writingPerSecond }
    } catch (error) {
      this.#failed('reading a speed', error)
      return UNKNOWN
    }
  }

  #failed(during: string, error: unknown): void {
    this.#emit('plugin.failed', { plugin: 'store', during, error: toErrorFact(error) })
  }
}
