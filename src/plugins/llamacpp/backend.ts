/**
 * The embedded engine as a backend: finds the models of this machine and runs each in a process of its own.
 *
 * @module
 */
import type {
  Backend,
  BackendAbilities,
  GenerateRequest,
  GenerationResult,
  LoadProgress,
  PieceSink,
  PromptMessage,
} from '../../chat/backend.ts'
import { backendError } from '../../chat/failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from '../../chat/model.ts'
import { ReasoningSplitter } from '../../chat/reasoning.ts'
import { type DiscoveredModel, type Discovery, discover } from './discover/discover.ts'
import type { HeaderCache } from './discover/header-cache.ts'
import type { ModelPlace } from './discover/places.ts'
import { notInstalled } from './engine-errors.ts'
import { EngineProcess } from './engine-process.ts'
import { hasImages, toTemplateMessages } from './messages.ts'
import type { Outcome } from './protocol.ts'
import { SpareProcess } from './spare-process.ts'
import type { ThreadMemory } from './thread-memory.ts'

/** What {@link LlamaCppBackend} is made of. */
export interface LlamaCppParts {
  readonly places: readonly ModelPlace[]
  readonly cache: HeaderCache
  /** Whether the engine's package is there. */
  readonly installed: () => boolean
  /** Threads that the configuration asks for; undefined: what `memory` knows, or the driver's default. */
  readonly threads: number | undefined
  readonly memory: ThreadMemory
  /** Unload after being unused for so long, in ms, where a model's settings say nothing. */
  readonly idleMs: number
  /** Whether to keep a process ahead of the next load. */
  readonly spare: boolean
  /** Told of a model whose process has died, or that was unused for too long. */
  readonly onGone: (instance: LoadedInstance, reason: string) => void
  /** What the process of a model runs; default: the file beside this one. From sources that takes three times as long to start. */
  readonly program?: string | undefined
}

interface Resident {
  readonly instance: LoadedInstance
  readonly process: EngineProcess
  readonly reasoning: boolean
  readonly idleMs: number
  readonly sizeBytes: number
  busy: number
  timer: NodeJS.Timeout | undefined
}

export class LlamaCppBackend implements Backend {
  readonly name = 'llamacpp'
  readonly remote = false
  readonly allowRemote = false
  readonly abilities: BackendAbilities = { continuation: 'raw', loads: true }
  readonly #parts: LlamaCppParts
  readonly #residents: Map<string, Resident> = new Map()
  readonly #starting: Set<EngineProcess> = new Set()
  readonly #spare: SpareProcess
  #next = 1

  constructor(parts: LlamaCppParts) {
    this.#parts = parts
    this.#spare = new SpareProcess(() => EngineProcess.ahead(parts.program), parts.idleMs)
    this.#spare.allow(parts.spare)
  }

  /** Whether there is memory for more than what is asked for. */
  roomy(roomy: boolean): void {
    this.#spare.allow(roomy && this.#parts.spare)
  }

  /** What lies on this machine, files that cannot be run included. */
  discover(): Promise<Discovery> {
    return discover(this.#parts.places, this.#parts.cache)
  }

  async list(signal: AbortSignal): Promise<readonly ModelInfo[]> {
    const { models } = await this.discover()
    signal.throwIfAborted()
    if (models.length > 0 && !this.#parts.installed()) throw notInstalled(undefined)
    return models.map((model) => this.#info(model))
  }

  async load(model: ModelInfo, settings: LoadSettings, onProgress: LoadProgress, signal: AbortSignal): Promise<LoadedInstance> {
    if (model.path === undefined) throw backendError('MAI_MODEL_NOT_FOUND', `${model.key} has no file.`)
    if (!this.#parts.installed()) throw notInstalled(undefined)
    signal.throwIfAborted()
    this.#parts.memory.busy()
    const process = this.#spare.take()?.becomes(model.key) ?? new EngineProcess(model.key, this.#parts.program)
    this.#starting.add(process)
    // A load has no answer that could be kept: it is ended by ending its process.
    const stop = (): void => void process.end()
    signal.addEventListener('abort', stop, { once: true })
    try {
      const threads = this.#parts.threads ?? this.#parts.memory.best()
      const order = { type: 'load', file: model.path, settings, threads } as const
      const outcome = loaded(await process.run(order, NEVER, { onProgress }))
      signal.throwIfAborted()
      return this.#keep(model, process, outcome, settings)
    } catch (error) {
      await process.end()
      signal.throwIfAborted()
      throw error
    } finally {
      this.#starting.delete(process)
      this.#soon()
      signal.removeEventListener('abort', stop)
    }
  }

  /** Resolves when the process is gone and its memory is free. */
  async unload({ instanceId }: LoadedInstance): Promise<void> {
    await this.#end(instanceId)
  }

  async generate(request: GenerateRequest, sink: PieceSink): Promise<GenerationResult> {
    const { signal, messages, sampling, responseSchema, continueFrom = '' } = request
    if (hasImages(messages)) {
      throw backendError('MAI_REQUEST_INVALID', 'The embedded engine cannot see images.', { cure: 'Use a model with vision in LM Studio.' })
    }
    if (signal.aborted) return { finish: 'cancelled', usage: { promptTokens: 0, completionTokens: 0 } }
    const resident = this.#resident(request.instance)
    const splitter = new ReasoningSplitter(resident.reasoning && continueFrom === '', sink)
    const order = { type: 'generate', messages: toTemplateMessages(messages), continueFrom, sampling, responseSchema } as const
    const events = {
      onPiece: (text: string, tokens: number): void => {
        if (!signal.aborted) splitter.push(text, tokens)
      },
      onPrefill: (fraction: number): void => sink({ type: 'prefill', fraction }),
    }
    const { result } = generated(await this.#using(resident, () => resident.process.run(order, signal, events)))
    if (!signal.aborted) splitter.end()
    this.#measureSoon(resident)
    const { finish, promptTokens, completionTokens } = result
    return { finish: finish === 'stop-string' ? 'stop' : finish, usage: { promptTokens, completionTokens } }
  }

  async countTokens(instance: LoadedInstance, messages: readonly PromptMessage[], signal: AbortSignal): Promise<number | undefined> {
    if (hasImages(messages)) return undefined
    const resident = this.#resident(instance)
    const order = { type: 'count', messages: toTemplateMessages(messages) } as const
    const outcome = await this.#using(resident, () => resident.process.run(order, signal))
    return outcome.type === 'counted' ? outcome.tokens : undefined
  }

  /** Ends all processes. */
  async close(): Promise<void> {
    this.#parts.memory.busy()
    this.#spare.allow(false)
    const residents = [...this.#residents.keys()].map((id) => this.#end(id))
    await Promise.all([this.#spare.end(), ...[...this.#starting].map((process) => process.end()), ...residents])
  }

  #info({ id, file, sizeBytes, facts }: DiscoveredModel): ModelInfo {
    const key = `${this.name}/${id}`
    return {
      key,
      backend: this.name,
      id,
      name: facts.name ?? id,
      remote: false,
      sizeBytes,
      parameters: facts.parameters > 0 ? facts.parameters : undefined,
      quantisation: facts.quantisation,
      architecture: facts.architecture,
      maxContextLength: facts.maxContextLength,
      abilities: { vision: false, tools: false, reasoning: facts.reasoning },
      path: file,
      instances: [...this.#residents.values()].map(({ instance }) => instance).filter((instance) => instance.model === key),
    }
  }

  #keep(
    model: ModelInfo,
    process: EngineProcess,
    { contextLength, memoryBytes }: Pick<LoadedInstance, 'contextLength' | 'memoryBytes'>,
    { keepAliveMs }: LoadSettings,
  ): LoadedInstance {
    const instanceId = `${model.key}#${process.pid ?? 0}.${this.#next++}`
    const instance = { instanceId, model: model.key, contextLength, ...(memoryBytes === undefined ? {} : { memoryBytes }) }
    const idleMs = keepAliveMs ?? this.#parts.idleMs
    const { abilities, sizeBytes = 0 } = model
    const resident: Resident = { instance, process, reasoning: abilities.reasoning, idleMs, sizeBytes, busy: 0, timer: undefined }
    this.#residents.set(instance.instanceId, resident)
    this.#rest(resident)
    void process.gone.then((death) => {
      clearTimeout(resident.timer)
      if (this.#residents.delete(instance.instanceId)) this.#parts.onGone(instance, death === undefined ? 'unused' : 'crashed')
    })
    return instance
  }

  #resident({ instanceId, model }: LoadedInstance): Resident {
    const resident = this.#residents.get(instanceId)
    if (!resident) throw backendError('MAI_MODEL_UNLOADED', `${model} is no longer loaded.`)
    return resident
  }

  async #using(resident: Resident, work: () => Promise<Outcome>): Promise<Outcome> {
    resident.busy++
    this.#parts.memory.busy()
    this.#spare.busy()
    clearTimeout(resident.timer)
    try {
      return await work()
    } finally {
      resident.busy--
      this.#rest(resident)
      this.#soon()
    }
  }

  get #busy(): boolean {
    return this.#starting.size > 0 || [...this.#residents.values()].some(({ busy }) => busy > 0)
  }

  #soon(): void {
    if (!this.#busy && this.#residents.size > 0) this.#spare.soon()
  }

  /** Measures threads on a model that is large enough to tell, when nothing else is going on. */
  #measureSoon({ process, sizeBytes }: Resident): void {
    const { threads, memory } = this.#parts
    if (threads !== undefined || sizeBytes < TELLING_BYTES || this.#busy) return
    memory.quiet(async (signal) => {
      const outcome = await process.run({ type: 'measure' }, signal)
      return outcome.type === 'measured' ? outcome.speeds : []
    })
  }

  #rest(resident: Resident): void {
    if (resident.busy > 0) return
    clearTimeout(resident.timer)
    // Asked to end while it is still listed, so that `gone` tells it.
    resident.timer = setTimeout(() => void resident.process.end(), Math.min(resident.idleMs, LONGEST_TIMER_MS)).unref()
  }

  async #end(instanceId: string): Promise<void> {
    const resident = this.#residents.get(instanceId)
    this.#residents.delete(instanceId)
    await resident?.process.end()
  }
}

/** In smaller models threads wait for each other more than they compute. */
const TELLING_BYTES = 32_000_000
/** A longer timer runs out at once. */
const LONGEST_TIMER_MS = 2_147_483_647

const NEVER: AbortSignal = new AbortController().signal

function loaded(outcome: Outcome): Extract<Outcome, { readonly type: 'loaded' }> {
  if (outcome.type === 'loaded') return outcome
  throw backendError('MAI_BACKEND_ERROR', `The engine answered a load with "${outcome.type}".`)
}

function generated(outcome: Outcome): Extract<Outcome, { readonly type: 'generated' }> {
  if (outcome.type === 'generated') return outcome
  throw backendError('MAI_BACKEND_ERROR', `The engine answered a question with "${outcome.type}".`)
}
