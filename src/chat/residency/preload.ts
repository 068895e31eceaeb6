/**
 * Preparing the model of the next message in the background: one at a time, within the memory left over.
 *
 * @module
 */

import { isMaiError } from '../../core/errors.ts'
import type { Disposer } from '../../core/events.ts'
import type { LoadedInstance, LoadSettings, ModelInfo, ModelKey } from '../model.ts'
import { mayPrepare, mustGiveWay } from './preload-plan.ts'
import type { Room } from './residency-plan.ts'

/** What preloading works with. */
export interface PreloaderParts {
  readonly room: () => Room
  readonly needBytes: (model: ModelInfo, contextLength: number) => number
  /** Loads in the background. */
  readonly load: (
    model: ModelInfo,
    settings: LoadSettings,
    signal: AbortSignal,
    onProgress: (fraction: number) => void,
  ) => Promise<LoadedInstance>
  /** Unloads unless it is in use. */
  readonly release: (instance: LoadedInstance, reason: string) => Promise<void>
  /** The model in use. */
  readonly current: () => ModelKey | undefined
  /** Calls back at each sample of the machine. */
  readonly onSample: (call: () => void) => Disposer
  readonly onReady: (instance: LoadedInstance, ms: number) => void
  readonly onFailed: (model: ModelKey, error: unknown) => void
}

interface Work {
  readonly model: ModelKey
  readonly needBytes: number
  readonly stop: AbortController
  fraction: number
  instance: LoadedInstance | undefined
}

/** One preparation at a time. */
export class Preloader {
  readonly #parts: PreloaderParts
  #work: Work | undefined
  #watching: Disposer | undefined
  #loading: Promise<void> = Promise.resolve()

  constructor(parts: PreloaderParts) {
    this.#parts = parts
  }

  /**
   * Begins to prepare a model for the next message.
   * @returns false where there is no room for it beside what is in memory, or another one is being prepared
   */
  prepare(model: ModelInfo, settings: LoadSettings): boolean {
    if (this.#work && this.#work.instance === undefined) return this.#work.model === model.key
    const needBytes = this.#parts.needBytes(model, settings.contextLength ?? model.maxContextLength)
    if (!mayPrepare(needBytes, this.#parts.room())) return false
    const work: Work = { model: model.key, needBytes, stop: new AbortController(), fraction: 0, instance: undefined }
    this.#work = work
    this.#watching ??= this.#parts.onSample(() => this.#sampled())
    this.#loading = this.#load(work, model, settings)
    return true
  }

  /** Resolves when nothing is being prepared. */
  settled(): Promise<void> {
    return this.#loading
  }

  /** Gives up what is being prepared. */
  stop(): void {
    if (!this.#work) return
    this.#work.stop.abort()
    this.#end()
  }

  async close(): Promise<void> {
    this.stop()
    await this.#loading
  }

  async #load(work: Work, model: ModelInfo, settings: LoadSettings): Promise<void> {
    const began = performance.now()
    try {
      work.instance = await this.#parts.load(model, settings, work.stop.signal, (fraction) => {
        work.fraction = Math.max(work.fraction, Math.min(1, fraction))
      })
      work.fraction = 1
      this.#parts.onReady(work.instance, performance.now() - began)
    } catch (error) {
      const gaveWay = work.stop.signal.aborted || (isMaiError(error) && error.code === 'MAI_LOAD_YIELDED')
      if (!gaveWay) this.#parts.onFailed(model.key, error)
      if (this.#work === work) this.#end()
    }
  }

  /** Somebody may need the memory: what is not in use gives way. */
  #sampled(): void {
    const work = this.#work
    if (!work) return
    if (work.instance && this.#parts.current() === work.model) return this.#end()
    if (!mustGiveWay(work, this.#parts.room())) return
    if (work.instance) void this.#parts.release(work.instance, 'pressure').catch(() => {})
    else work.stop.abort()
    this.#end()
  }

  #end(): void {
    this.#work = undefined
    this.#watching?.()
    this.#watching = undefined
  }
}
