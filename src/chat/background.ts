/**
 * The slot `background`: a question to a model that is loaded anyway, in moments when nobody waits for it.
 *
 * It runs only while no turn of this process is in flight, never loads or unloads, and gives way at once when a turn
 * begins. So whoever asks must be able to do without an answer.
 *
 * @module
 */
import { toErrorFact } from '../core/errors.ts'
import type { PluginContext } from '../core/plugin.ts'
import type { FinishReason, PromptMessage, Usage } from './backend.ts'
import { backendError } from './failure.ts'
import type { LoadedInstance, ModelInfo, ModelKey, SamplingSettings } from './model.ts'
import type { Catalogue } from './residency/catalogue.ts'

/** What to ask. */
export interface BackgroundRequest {
  readonly messages: readonly PromptMessage[]
  readonly sampling?: SamplingSettings
  /** JSON Schema that the answer must satisfy; a backend may know no such thing, so read the answer with care. */
  readonly responseSchema?: Readonly<Record<string, unknown>>
  /** Longest time for the answer, in ms; default 30,000. */
  readonly limitMs?: number
  readonly signal?: AbortSignal
}

/** A model's answer: untrusted text. */
export interface BackgroundAnswer {
  readonly text: string
  readonly model: ModelKey
  readonly finish: FinishReason
  readonly usage: Usage
  /** Until the first token, in ms: what reading the prompt took. */
  readonly firstTokenMs: number
}

/** What {@link BackgroundModel.ready} gives. */
export interface IdleModel {
  readonly model: ModelKey
  /** Tokens. */
  readonly contextLength: number
}

/** Answers in idle moments. */
export interface BackgroundModel {
  /** The model that would answer now: loaded, on this machine, with nothing else to do. No I/O. */
  ready(): IdleModel | undefined
  /**
   * Asks it. One question at a time.
   * @returns undefined when it could not run, or had to give way to a turn
   * @throws MaiError of `failure.ts` when the model failed or took too long
   */
  complete(request: BackgroundRequest): Promise<BackgroundAnswer | undefined>
}

const DEFAULT_LIMIT_MS = 30_000

/** Mai's own answer to the slot. */
export class Background implements BackgroundModel {
  readonly #ctx: PluginContext
  readonly #catalogue: Catalogue
  readonly #current: () => ModelKey | undefined
  #turns = 0
  #running: AbortController | undefined

  /** @param current the model in use, which is asked before others that are loaded */
  constructor(ctx: PluginContext, catalogue: Catalogue, current: () => ModelKey | undefined) {
    this.#ctx = ctx
    this.#catalogue = catalogue
    this.#current = current
  }

  /** A turn begins: what runs is stopped, nothing new is begun. @returns to be called when the turn has ended */
  turnBegan(): () => void {
    this.#turns++
    this.#running?.abort()
    let over = false
    return () => {
      if (!over) this.#turns--
      over = true
    }
  }

  ready(): IdleModel | undefined {
    const found = this.#idle()
    return found && { model: found.model.key, contextLength: found.instance.contextLength }
  }

  async complete(request: BackgroundRequest): Promise<BackgroundAnswer | undefined> {
    const found = this.#idle()
    if (!found || request.signal?.aborted) return undefined
    const stop = new AbortController()
    this.#running = stop
    const { limitMs = DEFAULT_LIMIT_MS } = request
    const late = AbortSignal.timeout(limitMs)
    const signal = AbortSignal.any([stop.signal, late, this.#ctx.signal, ...(request.signal ? [request.signal] : [])])
    const answering = this.#ask(found.model, found.instance, request, signal)
    const settled = answering
      .catch(() => {})
      .finally(() => {
        if (this.#running === stop) this.#running = undefined
      })
    try {
      // Whoever stops it does not wait for the engine to notice.
      const answer = await Promise.race([answering, aborted(signal, settled)])
      if (!signal.aborted) return answer
    } catch (error) {
      if (!signal.aborted) throw error
    }
    if (late.aborted && !stop.signal.aborted) {
      throw backendError('MAI_BACKEND_TIMEOUT', `${found.model.key} took longer than ${limitMs / 1000} s in the background.`)
    }
    return undefined
  }

  #idle(): { readonly model: ModelInfo; readonly instance: LoadedInstance } | undefined {
    if (this.#turns > 0 || this.#running || this.#ctx.signal.aborted || !this.#calm()) return undefined
    const current = this.#current()
    // A remote model costs others' time or money, and conversations do not leave the machine unasked.
    const loaded = this.#catalogue.models.filter((model) => model.instances.length > 0 && !model.remote)
    const model = loaded.find(({ key }) => key === current) ?? loaded[0]
    const instance = model?.instances[0]
    return model && instance && { model, instance }
  }

  /** Whether the machine has room for what nobody waits for: memory at ease, and not living on its battery. */
  #calm(): boolean {
    try {
      const { level, battery } = this.#ctx.use('resources').latest()
      return level === 'normal' && battery?.discharging !== true
    } catch (error) {
      this.#ctx.emit('plugin.failed', { plugin: 'resources', during: 'a look at the machine', error: toErrorFact(error) })
      return false
    }
  }

  async #ask(model: ModelInfo, instance: LoadedInstance, request: BackgroundRequest, signal: AbortSignal): Promise<BackgroundAnswer> {
    const began = performance.now()
    let firstTokenMs: number | undefined
    let text = ''
    const { messages, sampling = {}, responseSchema } = request
    const { finish, usage } = await this.#catalogue
      .backendOf(model)
      .generate({ instance, messages, sampling, signal, ...(responseSchema ? { responseSchema } : {}) }, (piece) => {
        if (piece.type === 'prefill') return
        firstTokenMs ??= performance.now() - began
        if (piece.type === 'text') text += piece.text
      })
    return { text, model: model.key, finish, usage, firstTokenMs: firstTokenMs ?? performance.now() - began }
  }
}

/** Resolves when the signal aborts; leaves nothing on it when `ended` comes first. */
function aborted(signal: AbortSignal, ended: Promise<unknown>): Promise<undefined> {
  return new Promise((resolve) => {
    const stop = (): void => resolve(undefined)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
    void ended.then(() => signal.removeEventListener('abort', stop))
  })
}
