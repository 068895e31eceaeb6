/**
 * What models there are: the answers of all backends, merged, and kept until something changes.
 *
 * @module
 */
import { isMaiError, toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import { within } from '../../core/scope.ts'
import type { Backend } from '../backend.ts'
import { backendError, chatErrors, traitsOf } from '../failure.ts'
import { HeaderMemories } from '../memory/header-memories.ts'
import type { LoadedInstance, ModelInfo, ModelKey } from '../model.ts'
import { nearest } from '../nearest.ts'
import type { Needs } from '../policy.ts'
import type { BackendStatus } from '../status.ts'

/** Bound on one backend's list; starting an engine may be part of it. */
const LIST_LIMIT_MS = 45_000

interface Seen {
  readonly backend: Backend
  readonly models: readonly ModelInfo[]
  readonly error: unknown
}

/** The models of all backends, as last seen. Reading is free; `refresh` asks. */
export class Catalogue {
  readonly #ctx: PluginContext
  readonly #memories: HeaderMemories = new HeaderMemories()
  #models: ReadonlyMap<ModelKey, ModelInfo> = new Map()
  #seen: readonly Seen[] = []
  #refreshing: { readonly since: number; readonly ended: Promise<void> } | undefined
  /** Loads and unloads while the backends are being asked: what they say may be older. */
  #notes: { readonly instance: LoadedInstance; readonly resident: boolean }[] = []
  /** Counts what has turned out to be different. */
  #changes = 0
  #fresh = false

  constructor(ctx: PluginContext) {
    this.#ctx = ctx
  }

  get models(): readonly ModelInfo[] {
    return [...this.#models.values()]
  }

  find(key: ModelKey): ModelInfo | undefined {
    return this.#models.get(key)
  }

  backends(): BackendStatus[] {
    return this.#seen.map(({ backend, models, error }) => ({
      name: backend.name,
      remote: backend.remote,
      connected: error === undefined,
      models: models.length,
      error: error === undefined ? undefined : toErrorFact(error),
    }))
  }

  backendOf(model: ModelInfo): Backend {
    const found = this.#ctx.all('backend').find((backend) => backend.name === model.backend)
    if (!found) throw backendError('MAI_BACKEND_UNREACHABLE', `The backend "${model.backend}" is gone.`)
    return found
  }

  /** Whether a model may be chosen without being asked for: a remote one only where its configuration says so. */
  allows(model: ModelInfo): boolean {
    return !model.remote || (model.allowRemote ?? this.backendOf(model).allowRemote)
  }

  /** Whether a model may be chosen by itself for a conversation, as far as memory is no question. */
  couldServe(model: ModelInfo, { vision, tools }: Pick<Needs, 'vision' | 'tools'>): boolean {
    return this.allows(model) && (model.abilities.vision || !vision) && (model.abilities.tools || !tools)
  }

  /** Whether, after a failure of its route, a model can be reached another way. */
  anotherRoute(model: ModelInfo, failure: unknown): boolean {
    return traitsOf(failure).route && (this.backendOf(model).anotherRoute?.(model) ?? false)
  }

  /** Asks all backends; joins who is asking already, unless something has changed since they began. */
  refresh(): Promise<void> {
    const running = this.#refreshing
    if (running?.since === this.#changes) return running.ended
    const before = running?.ended.catch(() => {})
    const ended = (before ? before.then(() => this.#ask()) : this.#ask()).finally(() => {
      if (this.#refreshing?.ended === ended) this.#refreshing = undefined
    })
    this.#refreshing = { since: this.#changes, ended }
    return ended
  }

  /** Makes sure that the backends have been asked. @throws MaiError `MAI_NOTHING_SERVES` when there is no model at all */
  async ensure(): Promise<void> {
    if (this.#fresh && this.#models.size > 0) return
    const joined = this.#refreshing !== undefined
    await this.refresh()
    // A question that was under way already may be older than the server.
    if (joined && this.#models.size === 0) await this.refresh()
    if (this.#models.size === 0) throw this.nothing()
  }

  /** The next `ensure` asks again: something turned out to be different. */
  invalidate(): void {
    this.#changes++
    this.#fresh = false
  }

  /** Notes a load or unload without asking again. */
  note(instance: LoadedInstance, resident: boolean): void {
    if (this.#refreshing) this.#notes.push({ instance, resident })
    this.#apply(instance, resident)
  }

  #apply(instance: LoadedInstance, resident: boolean): void {
    const model = this.#models.get(instance.model)
    if (!model) return
    const others = model.instances.filter((other) => other.instanceId !== instance.instanceId)
    this.#models = new Map(this.#models).set(model.key, { ...model, instances: resident ? [...others, instance] : others })
  }

  /** Why there is nothing: what each backend said, and what would help any of them. */
  nothing(): Error {
    const tried = this.#seen.map(({ backend, error }) => {
      if (error === undefined) return `${backend.name}: it has no models`
      return `${backend.name}: ${(isMaiError(error) ? error.problem : toErrorFact(error).message).replace(/\.$/, '')}`
    })
    const cures = this.#seen.map(({ error }) => (isMaiError(error) ? error.cure : undefined)).filter((text) => text !== undefined)
    if (this.#seen.some(({ error }) => error === undefined)) cures.push('Fetch a model: `mai models pull smollm2-135m`.')
    const [first = 'Add a backend to mai.config.ts.', ...others] = new Set(cures)
    return chatErrors.nothingServes(tried, [first, ...others.map((cure) => `Or ${cure.charAt(0).toLowerCase()}${cure.slice(1)}`)].join(' '))
  }

  /**
   * The model a person means: its key, or its id or name where only one model has it.
   * @throws MaiError `MAI_UNKNOWN_MODEL`
   */
  resolve(text: string): ModelInfo {
    const exact = this.#models.get(text)
    if (exact) return exact
    const wanted = text.toLowerCase()
    const same = this.models.filter((m) => [m.key, m.id, m.name].some((name) => name.toLowerCase() === wanted))
    const [only] = same
    if (only && same.length === 1) return only
    if (same.length > 1)
      throw chatErrors.ambiguousModel(
        text,
        same.map((m) => m.key),
      )
    throw chatErrors.unknownModel(
      text,
      nearest(
        text,
        this.models.map((m) => m.key),
      ),
    )
  }

  async #ask(): Promise<void> {
    const before = this.#seen
    const changes = this.#changes
    this.#notes = []
    this.#seen = await Promise.all(this.#ctx.all('backend').map((backend) => this.#askOne(backend)))
    const all = this.#seen.flatMap((seen) => seen.models)
    await this.#memories.learn(all)
    this.#models = merged(all.map((model) => this.#withMemory(model)))
    for (const { instance, resident } of this.#notes) this.#apply(instance, resident)
    this.#fresh = changes === this.#changes
    for (const { backend, models } of this.#seen) {
      const keys = models.map((m) => m.key)
      const old = before.find((seen) => seen.backend === backend)?.models.map((m) => m.key)
      if (keys.join() !== old?.join()) this.#ctx.emit('models.discovered', { backend: backend.name, models: keys })
    }
  }

  #withMemory(model: ModelInfo): ModelInfo {
    const memory = this.#memories.of(model)
    return memory ? { ...model, memory } : model
  }

  async #askOne(backend: Backend): Promise<Seen> {
    const limit = AbortSignal.any([this.#ctx.signal, AbortSignal.timeout(LIST_LIMIT_MS)])
    try {
      const late = (): Error =>
        backendError('MAI_BACKEND_TIMEOUT', `${backend.name} did not list its models within ${LIST_LIMIT_MS / 1000} s.`)
      return { backend, models: await within(backend.list(limit), LIST_LIMIT_MS, late), error: undefined }
    } catch (error) {
      return { backend, models: [], error }
    }
  }
}

/** One row a model: a file that two backends see belongs to the backend that comes first. */
function merged(models: readonly ModelInfo[]): Map<ModelKey, ModelInfo> {
  const byKey = new Map<ModelKey, ModelInfo>()
  const paths = new Set<string>()
  for (const model of models) {
    if (byKey.has(model.key) || (model.path !== undefined && paths.has(model.path))) continue
    if (model.path !== undefined) paths.add(model.path)
    byKey.set(model.key, model)
  }
  return byKey
}
