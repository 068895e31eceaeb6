/**
 * Residency: who is in memory. It alone calls load and unload, one at a time.
 *
 * An instance with an answer in flight is held and never unloaded; so is one that Mai did not load,
 * or that another living process uses.
 *
 * @module
 */
import { toErrorFact } from '../core/errors.ts'
import type { PluginContext } from '../core/plugin.ts'
import type { Catalogue } from './catalogue.ts'
import { backendError } from './failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo, ModelKey } from './model.ts'
import { memoryOf, servingInstance } from './situation.ts'
import type { Store } from './store.ts'

/** Bound on one unload. */
const UNLOAD_LIMIT_MS = 30_000
/** How often a lease is renewed; a lease older than a minute counts as dead where the process cannot be asked. */
const HEARTBEAT_MS = 20_000

/** What to have in memory. */
export interface Wanted {
  readonly model: ModelInfo
  readonly settings: LoadSettings
  /** Smallest window that serves, in tokens. */
  readonly contextTokens: number
  readonly signal: AbortSignal
  readonly onProgress?: (fraction: number) => void
}

/** A claim on an instance while an answer is in flight. */
export interface Hold {
  readonly instance: LoadedInstance
  /** Time the load took, in ms; 0 when it was loaded already. */
  readonly loadMs: number
  release(): void
}

interface Resident {
  readonly instance: LoadedInstance
  readonly owned: boolean
  holds: number
  kept: boolean
  lastUsed: number
}

/** The instances this process knows and uses. */
export class Residency {
  readonly #ctx: PluginContext
  readonly #catalogue: Catalogue
  readonly #store: Store
  readonly #loadIdleMs: number
  readonly #now: () => number
  readonly #residents: Map<string, Resident> = new Map()
  readonly #processStart: number
  #tail: Promise<unknown> = Promise.resolve()
  #heartbeat: NodeJS.Timeout | undefined

  constructor(ctx: PluginContext, catalogue: Catalogue, store: Store, loadIdleMs: number, now: () => number) {
    this.#ctx = ctx
    this.#catalogue = catalogue
    this.#store = store
    this.#loadIdleMs = loadIdleMs
    this.#now = now
    this.#processStart = Math.round(now() - process.uptime() * 1000)
  }

  /** Instances that may be unloaded to make room. */
  unloadable(): ReadonlySet<string> {
    const idle = [...this.#residents.values()].filter((r) => r.owned && r.holds === 0 && !r.kept)
    return new Set(idle.map((r) => r.instance.instanceId))
  }

  /**
   * Makes a model resident and holds it. Joins what is loaded already when its window serves.
   * @param evict unload first what may be unloaded, because the two do not fit together
   * @throws MaiError of `failure.ts`
   */
  acquire(wanted: Wanted, evict: boolean): Promise<Hold> {
    const present = this.#present(wanted)
    // Nothing to load: no need to wait behind somebody else's load.
    if (present) return Promise.resolve(this.#hold(present, 0))
    return this.#inOrder(async () => {
      const arrived = this.#present(wanted)
      if (arrived) return this.#hold(arrived, 0)
      wanted.signal.throwIfAborted()
      if (evict) await this.#evictIdle(wanted.model.key, 'make room')
      const began = performance.now()
      const instance = await this.#load(wanted)
      const resident = this.#know(instance, true)
      return this.#hold(resident, performance.now() - began)
    })
  }

  /** Keeps a model in memory until it is unloaded by name. */
  keep(instance: LoadedInstance): void {
    const resident = this.#residents.get(instance.instanceId)
    if (resident) resident.kept = true
  }

  /** Unloads what Mai loaded and nobody needs, except `survivor`. */
  tidy(survivor: ModelKey, reason: string): Promise<void> {
    return this.#inOrder(() => this.#evictIdle(survivor, reason))
  }

  /** Unloads an instance because a person asked, whoever loaded it. */
  unload(instance: LoadedInstance, reason: string): Promise<void> {
    return this.#inOrder(() => this.#unload(instance, reason))
  }

  /** Forgets an instance that turned out to be gone. */
  lost(instance: LoadedInstance, reason: string): void {
    this.#residents.delete(instance.instanceId)
    this.#catalogue.note(instance, false)
    this.#catalogue.invalidate()
    this.#ctx.emit('model.unloaded', { model: instance.model, reason })
    void this.#dropLease(instance)
  }

  /** Ends leases; with `unloadOwned` also what Mai loaded. */
  async close(unloadOwned: boolean): Promise<void> {
    clearInterval(this.#heartbeat)
    await this.#tail
    if (unloadOwned) await this.#evictIdle(undefined, 'shutdown')
    await Promise.all([...this.#residents.values()].map((r) => this.#dropLease(r.instance)))
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.catch(() => {})
    return result
  }

  #present({ model, contextTokens }: Wanted): Resident | undefined {
    const instance = servingInstance(this.#catalogue.find(model.key) ?? model, contextTokens)
    return instance && (this.#residents.get(instance.instanceId) ?? this.#know(instance, false))
  }

  #know(instance: LoadedInstance, owned: boolean): Resident {
    const resident: Resident = { instance, owned, holds: 0, kept: false, lastUsed: this.#now() }
    this.#residents.set(instance.instanceId, resident)
    void this.#lease(resident)
    this.#heartbeat ??= setInterval(() => this.#renew(), HEARTBEAT_MS).unref()
    return resident
  }

  #hold(resident: Resident, loadMs: number): Hold {
    resident.holds++
    resident.lastUsed = this.#now()
    let held = true
    const release = (): void => {
      if (held) resident.holds--
      held = false
    }
    return { instance: resident.instance, loadMs, release }
  }

  async #load({ model, settings, signal, onProgress }: Wanted): Promise<LoadedInstance> {
    const backend = this.#catalogue.backendOf(model)
    const contextLength = settings.contextLength ?? 0
    const idle = new AbortController()
    const late = (): void =>
      idle.abort(backendError('MAI_LOAD_TIMEOUT', `Loading ${model.key} made no progress for ${this.#loadIdleMs / 1000} s.`))
    let timer = setTimeout(late, this.#loadIdleMs)
    const stopped = rejection(AbortSignal.any([signal, idle.signal]))
    this.#ctx.emit('model.loading', { model: model.key, contextLength, fraction: 0 })
    try {
      const progress = (fraction: number): void => {
        clearTimeout(timer)
        timer = setTimeout(late, this.#loadIdleMs)
        onProgress?.(fraction)
        this.#ctx.emit('model.loading', { model: model.key, contextLength, fraction })
      }
      const loading = backend.load(model, settings, progress, stopped.signal)
      loading.then(
        // A load that ends after we gave up must not stay in memory unseen.
        (instance) => stopped.signal.aborted && void backend.unload(instance, AbortSignal.timeout(UNLOAD_LIMIT_MS)).catch(() => {}),
        () => {},
      )
      const instance = await Promise.race([loading, stopped.promise])
      this.#catalogue.note(instance, true)
      return instance
    } finally {
      clearTimeout(timer)
      stopped.end()
    }
  }

  async #evictIdle(survivor: ModelKey | undefined, reason: string): Promise<void> {
    const foreign = await this.#leasedElsewhere()
    for (const { instance, owned, holds, kept } of [...this.#residents.values()].sort((a, b) => a.lastUsed - b.lastUsed)) {
      if (!owned || holds > 0 || kept || instance.model === survivor || foreign.has(instance.instanceId)) continue
      await this.#unload(instance, reason).catch((error: unknown) =>
        this.#ctx.emit('plugin.failed', { plugin: instance.model, during: 'unloading', error: toErrorFact(error) }),
      )
    }
  }

  async #unload(instance: LoadedInstance, reason: string): Promise<void> {
    const model = this.#catalogue.find(instance.model)
    if (model) await this.#catalogue.backendOf(model).unload(instance, AbortSignal.timeout(UNLOAD_LIMIT_MS))
    this.#residents.delete(instance.instanceId)
    this.#catalogue.note(instance, false)
    this.#ctx.emit('model.unloaded', { model: instance.model, reason })
    await this.#dropLease(instance)
  }

  async #leasedElsewhere(): Promise<ReadonlySet<string>> {
    const leases = await this.#store.leases().catch(() => undefined)
    // A store that cannot say who uses what must not lead to an unload under somebody's answer.
    if (!leases) return new Set(this.#residents.keys())
    return new Set(leases.filter((lease) => lease.pid !== process.pid).map((lease) => lease.instanceId))
  }

  async #lease({ instance, owned }: Resident): Promise<void> {
    const model = this.#catalogue.find(instance.model)
    const bytes = model ? memoryOf(model, instance.contextLength, new Map()).totalBytes : 0
    const { instanceId } = instance
    const lease = {
      instanceId,
      model: instance.model,
      pid: process.pid,
      processStart: this.#processStart,
      bytes,
      owned,
      heartbeat: this.#now(),
    }
    await this.#store.putLease(lease).catch((error: unknown) => this.#storeFailed('writing a lease', error))
  }

  #renew(): void {
    for (const resident of this.#residents.values()) void this.#lease(resident)
  }

  async #dropLease({ instanceId }: LoadedInstance): Promise<void> {
    await this.#store.dropLease(instanceId, process.pid).catch((error: unknown) => this.#storeFailed('dropping a lease', error))
  }

  #storeFailed(during: string, error: unknown): void {
    this.#ctx.emit('plugin.failed', { plugin: 'store', during, error: toErrorFact(error) })
  }
}

/** A promise that rejects when the signal aborts, and can be let go. */
function rejection(signal: AbortSignal): { signal: AbortSignal; promise: Promise<never>; end(): void } {
  let onAbort = (): void => {}
  const promise = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  promise.catch(() => {})
  return { signal, promise, end: () => signal.removeEventListener('abort', onAbort) }
}
