/**
 * The models of the stand-in server: on disk, loading, loaded.
 *
 * @module
 */
import type { EngineModel, LoadedEngine } from '../engine.ts'
import { wireErrors } from './errors.ts'
import { aborted } from './pause.ts'
import { type KvConfig, type Specifier, withField } from './wire.ts'

/** Bytes that a token of context takes in this server's memory estimates. */
export const BYTES_PER_CONTEXT_TOKEN = 1_024

/** Memory that a model takes, in bytes, by this server's own rule. */
export function estimateBytes(model: EngineModel, contextLength: number): number {
  return model.sizeBytes + contextLength * BYTES_PER_CONTEXT_TOKEN
}

/** What an instance is made of. */
export interface InstanceParts {
  readonly identifier: string
  readonly model: EngineModel
  readonly engine: LoadedEngine
  readonly config: KvConfig
  readonly ttlMs: number | undefined
  /** Loaded on demand by `getOrLoad`: evicted when another one is. */
  readonly jit: boolean
}

let references = 0

/** A model in memory. */
export class Instance implements InstanceParts {
  readonly identifier: string
  readonly reference: string = `instance-${++references}`
  readonly model: EngineModel
  readonly engine: LoadedEngine
  readonly config: KvConfig
  readonly ttlMs: number | undefined
  readonly jit: boolean
  /** Epoch ms. */
  lastUsed: number | undefined
  /** Aborts when it leaves memory; the reason is an error when it crashed. */
  readonly ended: AbortController = new AbortController()
  readonly #parallel: number
  #busy = 0
  readonly #waiting = new Set<() => void>()

  constructor(parts: InstanceParts, parallel: number) {
    this.identifier = parts.identifier
    this.model = parts.model
    this.engine = parts.engine
    this.config = withField(parts.config, 'llm.load.contextLength', parts.engine.contextLength)
    this.ttlMs = parts.ttlMs
    this.jit = parts.jit
    this.#parallel = parallel
  }

  get predicting(): number {
    return this.#busy
  }

  get queued(): number {
    return this.#waiting.size
  }

  /** Runs `work` when it is its turn, or when `signal` aborts while it waits. */
  async use(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    if (this.#busy >= this.#parallel) {
      let proceed = (): void => {}
      const turn = new Promise<void>((resolve) => {
        proceed = resolve
      })
      this.#waiting.add(proceed)
      await Promise.race([turn, aborted(signal)])
      this.#waiting.delete(proceed)
    }
    this.#busy++
    this.lastUsed = Date.now()
    try {
      await work()
    } finally {
      this.#busy--
      this.lastUsed = Date.now()
      const [next] = this.#waiting
      if (next) {
        this.#waiting.delete(next)
        next()
      }
    }
  }
}

/** Everything on disk and in memory. */
export class Instances {
  readonly models: ReadonlyMap<string, EngineModel>
  readonly #parallel: number
  readonly #loaded = new Map<string, Instance>()
  readonly #reserved = new Set<string>()
  readonly #timers = new Map<Instance, NodeJS.Timeout>()
  readonly #leaving = new Set<Promise<void>>()

  constructor(models: readonly EngineModel[], parallel: number) {
    this.models = new Map(models.map((model) => [model.key, model]))
    this.#parallel = parallel
  }

  /** Oldest first. */
  get loaded(): readonly Instance[] {
    return [...this.#loaded.values()]
  }

  /** @throws WireError when there is none */
  model(keyOrPath: string): EngineModel {
    const found = this.models.get(keyOrPath) ?? [...this.models.values()].find(({ path }) => path === keyOrPath)
    if (!found) throw wireErrors.pathNotFound(keyOrPath, [...this.models.keys()])
    return found
  }

  /** A name that no other instance has: the wanted one (an error when taken), or `key`, `key:2`, `key:3`… */
  reserve(key: string, wanted: string | undefined): string {
    const taken = (name: string): boolean => this.#loaded.has(name) || this.#reserved.has(name)
    if (wanted !== undefined && taken(wanted)) throw wireErrors.identifierTaken(wanted)
    let name = wanted ?? key
    for (let copy = 2; taken(name); copy++) name = `${key}:${copy}`
    this.#reserved.add(name)
    return name
  }

  release(identifier: string): void {
    this.#reserved.delete(identifier)
  }

  add(parts: InstanceParts): Instance {
    const instance = new Instance(parts, this.#parallel)
    this.#loaded.set(parts.identifier, instance)
    this.touch(instance)
    return instance
  }

  /** Starts the idle time anew. */
  touch(instance: Instance): void {
    const { ttlMs } = instance
    clearTimeout(this.#timers.get(instance))
    if (ttlMs === undefined || instance.ended.signal.aborted) return
    const expire = (): void => {
      if (instance.predicting > 0) this.touch(instance)
      else this.remove(instance)
    }
    this.#timers.set(instance, setTimeout(expire, ttlMs))
  }

  /** Takes it out of memory at once for every client; its answers end, then the engine is disposed of. */
  remove(instance: Instance, crash?: Error): void {
    if (this.#loaded.get(instance.identifier) !== instance) return
    this.#loaded.delete(instance.identifier)
    clearTimeout(this.#timers.get(instance))
    this.#timers.delete(instance)
    instance.ended.abort(crash ?? 'unloaded')
    const leaving = instance.engine.dispose().finally(() => this.#leaving.delete(leaving))
    this.#leaving.add(leaving)
  }

  /** Resolves when all removed engines have given their memory back. */
  async settled(): Promise<void> {
    await Promise.all(this.#leaving)
  }

  find(identifierOrKey: string): Instance | undefined {
    return this.#loaded.get(identifierOrKey) ?? this.loaded.find(({ model }) => model.key === identifierOrKey)
  }

  /** The instance that a client means. @throws WireError when there is none */
  resolve(wanted: Specifier): Instance {
    if (wanted.type === 'instanceReference') {
      const found = this.loaded.find(({ reference }) => reference === wanted.instanceReference)
      if (!found) throw wireErrors.modelUnloaded()
      return found
    }
    const { identifier, path, vision, domain } = wanted.query
    const found = this.loaded.find(
      (instance) =>
        (identifier === undefined || instance.identifier === identifier) &&
        (path === undefined || instance.model.path.startsWith(path) || instance.model.key === path) &&
        (vision === undefined || instance.model.vision === vision) &&
        (domain === undefined || domain === 'llm'),
    )
    if (!found) throw wireErrors.noModelMatching(wanted.query, [...this.#loaded.keys()])
    return found
  }

  /** @throws WireError when nothing is loaded under that name */
  async unload(identifier: string): Promise<void> {
    const instance = this.#loaded.get(identifier)
    if (!instance) throw wireErrors.identifierNotFound(identifier, [...this.#loaded.keys()])
    this.remove(instance)
    await this.settled()
  }

  removeAll(): void {
    for (const instance of this.loaded) this.remove(instance)
  }
}

/** A model as `listDownloadedModels` shows it. */
export function modelInfo(model: EngineModel): Record<string, unknown> {
  return {
    type: 'llm',
    modelKey: model.key,
    format: 'gguf',
    displayName: model.displayName,
    publisher: model.path.includes('/') ? model.path.slice(0, model.path.indexOf('/')) || 'local' : 'local',
    path: model.path,
    sizeBytes: model.sizeBytes,
    indexedModelIdentifier: model.path,
    deviceIdentifier: null,
    paramsString: model.paramsString,
    architecture: model.architecture,
    quantization: { ...model.quantisation },
    vision: model.vision,
    trainedForToolUse: model.trainedForToolUse,
    maxContextLength: model.maxContextLength,
  }
}

/** A model in memory as `listLoaded` shows it. */
export function instanceInfo(instance: Instance): Record<string, unknown> {
  return {
    ...modelInfo(instance.model),
    identifier: instance.identifier,
    instanceReference: instance.reference,
    ttlMs: instance.ttlMs ?? null,
    lastUsedTime: instance.lastUsed ?? null,
    contextLength: instance.engine.contextLength,
  }
}
