/**
 * Residency: who is in memory. It alone calls load and unload, in one loop, one at a time.
 *
 * Order: join a running load → already loaded → queue behind a busy victim → swap. An instance with an answer in flight
 * is held and never unloaded; one that Mai did not load, or that another living process uses, is not evicted.
 *
 * @module
 */
import { toErrorFact } from '../core/errors.ts'
import type { PluginContext } from '../core/plugin.ts'
import type { Catalogue } from './catalogue.ts'
import { type Clock, pause } from './clock.ts'
import { chatErrors, traitsOf } from './failure.ts'
import { Leases } from './leases.ts'
import { loadModel, unloadInstance } from './load.ts'
import type { LoadedInstance, LoadSettings, ModelInfo, ModelKey } from './model.ts'
import { type Demand, planStep, type ResidentState, type Room, roomOf } from './residency-plan.ts'
import type { ResourceSample } from './resources.ts'
import { servingInstance } from './situation.ts'
import type { Store } from './store.ts'

/** How often to look whether an unload gave its memory back, and for how long, in ms. */
const RETURN_POLL_MS = 250
const RETURN_LIMIT_MS = 5000
/** Share of the predicted memory that counts as given back. */
const RETURN_SHARE = 0.75

/** What to have in memory. */
export interface Wanted {
  readonly model: ModelInfo
  readonly settings: LoadSettings
  /** Smallest window that serves, in tokens. */
  readonly contextTokens: number
  /** Nobody waits for it: it evicts nothing, and gives way to whoever does. */
  readonly background?: boolean
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

/** What residency works with. */
export interface ResidencyParts {
  readonly catalogue: Pick<Catalogue, 'find' | 'note' | 'invalidate' | 'backendOf'>
  readonly store: Pick<Store, 'putLease' | 'dropLease' | 'leases'>
  readonly emit: PluginContext['emit']
  readonly resources: () => ResourceSample
  /** Memory that a model takes with a window, in bytes. */
  readonly needBytes: (model: ModelInfo, contextLength: number) => number
  /** Longest load without progress, in ms. */
  readonly loadIdleMs: number
  readonly clock: Clock
}

interface Resident {
  readonly instance: LoadedInstance
  readonly owned: boolean
  readonly bytes: number
  /** Other processes can see that it is used here. */
  leased: boolean
  holds: number
  kept: boolean
  lastUsed: number
}

/** Somebody who waits for a model. */
interface Claim {
  readonly wanted: Wanted
  settled: boolean
  resolve(hold: Hold): void
  reject(error: unknown): void
}

/** Work that needs the loop for itself, once the instance it concerns is idle. */
interface Task {
  readonly drain: string | undefined
  run(): Promise<void>
  reject(error: unknown): void
}

interface Loading {
  readonly model: ModelKey
  readonly contextLength: number
  readonly claims: Set<Claim>
  readonly stop: AbortController
}

const NONE: ReadonlySet<string> = new Set()

/** The instances this process knows and uses. */
export class Residency {
  readonly #parts: ResidencyParts
  readonly #leases: Leases
  readonly #residents: Map<string, Resident> = new Map()
  /** Instances that Mai loaded behind a line that broke. */
  readonly #outOfSight: Set<string> = new Set()
  #queue: (Claim | Task)[] = []
  /** Instances that somebody waits for to become idle: nobody new may join. */
  #draining: ReadonlySet<string> = NONE
  /** The same, one step ago: who waits sticks to its victims, or newcomers could keep all of them busy. */
  #drained: ReadonlySet<string> = NONE
  #loading: Loading | undefined
  #loop: Promise<void> | undefined
  #changes = 0
  #onChange: () => void = () => {}
  #closed = false

  constructor(parts: ResidencyParts) {
    this.#parts = parts
    this.#leases = new Leases(parts.store, parts.emit, () => parts.clock.now())
  }

  /** Instances that may be unloaded to make room. */
  unloadable(): ReadonlySet<string> {
    return new Set([...this.#residents.values()].filter(isIdle).map((r) => r.instance.instanceId))
  }

  /** Memory for models as things are now. */
  room(): Room {
    const own = [...this.#residents.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    return roomOf(this.#parts.resources(), own)
  }

  /**
   * Makes a model resident and holds it.
   * @throws MaiError of `failure.ts`; `MAI_LOAD_REFUSED` at once for what cannot fit; `MAI_LOAD_YIELDED` in the background; the signal's reason
   */
  acquire(wanted: Wanted): Promise<Hold> {
    if (wanted.signal.aborted) return Promise.reject(wanted.signal.reason)
    if (this.#closed) return Promise.reject(chatErrors.closed())
    // Nothing to load: no need to wait behind somebody else's load.
    const present = this.#present(wanted)
    if (present) return this.#hold(present, 0)
    return new Promise((resolve, reject) => {
      const leave = (): void => this.#leave(claim, wanted.signal.reason)
      const settle = (act: () => void): void => {
        if (claim.settled) return
        claim.settled = true
        wanted.signal.removeEventListener('abort', leave)
        act()
      }
      const claim: Claim = {
        wanted,
        settled: false,
        resolve: (hold) => settle(() => resolve(hold)),
        reject: (error) => settle(() => reject(error)),
      }
      wanted.signal.addEventListener('abort', leave, { once: true })
      this.#enter(claim)
    })
  }

  /** Keeps a model in memory until it is unloaded by name. */
  keep(instance: LoadedInstance): void {
    const resident = this.#residents.get(instance.instanceId)
    if (resident) resident.kept = true
  }

  /** Unloads what Mai loaded and nobody needs, except `survivor`. */
  tidy(survivor: ModelKey | undefined, reason: string): Promise<void> {
    return this.#do(undefined, () => this.#evictIdle(survivor, reason))
  }

  /** After a change of model: lets go of what others loaded, and where memory is short unloads what is not needed. */
  trim(survivor: ModelKey | undefined, reason: string): Promise<void> {
    return this.#do(undefined, async () => {
      for (const { instance, owned, holds } of [...this.#residents.values()]) {
        if (owned || holds > 0 || instance.model === survivor) continue
        this.#residents.delete(instance.instanceId)
        await this.#leases.drop(instance)
      }
      if (this.room().spareBytes < 0) await this.#evictIdle(survivor, reason)
    })
  }

  /** Unloads an instance because a person asked, whoever loaded it; waits for an answer in flight. */
  unload(instance: LoadedInstance, reason: string): Promise<void> {
    return this.#do(instance.instanceId, () => this.#unload(instance, reason))
  }

  /** Unloads an instance that Mai loaded, unless somebody uses it. */
  release(instance: LoadedInstance, reason: string): Promise<void> {
    return this.#do(undefined, async () => {
      const own = this.#states(NONE).some((r) => r.instanceId === instance.instanceId && r.evictable)
      if (own) await this.#evict(instance.instanceId, reason)
    })
  }

  /** Forgets an instance that turned out to be gone. */
  lost(instance: LoadedInstance, reason: string): void {
    const resident = this.#residents.get(instance.instanceId)
    if (!resident) return
    this.#residents.delete(instance.instanceId)
    // A line that broke says nothing of the model: seen again, it is still ours to unload.
    if (resident.owned && reason === 'backend-lost') this.#outOfSight.add(instance.instanceId)
    this.#parts.catalogue.note(instance, false)
    this.#parts.catalogue.invalidate()
    this.#parts.emit('model.unloaded', { model: instance.model, reason })
    void this.#leases.drop(instance)
    this.#changed()
  }

  /** Ends what waits, and leases; with `unloadOwned` also what Mai loaded. */
  async close(unloadOwned: boolean): Promise<void> {
    this.#closed = true
    const closed = chatErrors.closed()
    for (const entry of this.#queue) entry.reject(closed)
    this.#queue = []
    for (const claim of this.#loading?.claims ?? []) claim.reject(closed)
    this.#loading?.stop.abort(closed)
    this.#changed()
    await this.#loop
    if (unloadOwned) await this.#evictIdle(undefined, 'shutdown')
    await this.#leases.close()
  }

  #enter(claim: Claim): void {
    const { model, contextTokens, background } = claim.wanted
    const loading = this.#loading
    if (loading && !loading.stop.signal.aborted) {
      if (loading.model === model.key && loading.contextLength >= contextTokens) {
        loading.claims.add(claim)
        return
      }
      const alone = [...loading.claims].every(({ wanted }) => wanted.background)
      if (!background && alone) loading.stop.abort(chatErrors.loadYielded(loading.model))
    }
    this.#queue.push(claim)
    this.#changed()
  }

  #leave(claim: Claim, reason: unknown): void {
    claim.reject(reason)
    this.#queue = this.#queue.filter((other) => other !== claim)
    const loading = this.#loading
    if (loading?.claims.delete(claim) && loading.claims.size === 0) loading.stop.abort(reason)
    this.#changed()
  }

  #do(drain: string | undefined, work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(chatErrors.closed())
      this.#queue.push({ drain, run: () => work().then(resolve, reject), reject })
      this.#changed()
    })
  }

  /** Something may be possible now that was not before. */
  #changed(): void {
    this.#changes++
    this.#onChange()
    this.#loop ??= this.#run().finally(() => {
      this.#loop = undefined
    })
  }

  async #run(): Promise<void> {
    // Callers finish what they are doing first: requests made together are seen together.
    await undefined
    for (;;) {
      this.#forgetVanished()
      this.#serve()
      const seen = this.#changes
      const next = this.#next()
      this.#drained = this.#draining
      this.#draining = NONE
      if (!next) return
      const drain = 'wanted' in next ? await this.#advance(next) : await this.#perform(next)
      if (drain.length === 0) continue
      this.#draining = new Set(drain)
      if (this.#changes === seen)
        await new Promise<void>((resolve) => {
          this.#onChange = resolve
        })
    }
  }

  /** What the engine let go of by itself is no longer here. */
  #forgetVanished(): void {
    for (const { instance, holds } of [...this.#residents.values()]) {
      const model = this.#parts.catalogue.find(instance.model)
      if (holds > 0 || !model || model.instances.some(({ instanceId }) => instanceId === instance.instanceId)) continue
      this.#residents.delete(instance.instanceId)
      void this.#leases.drop(instance)
    }
  }

  /** Who waits longest; whoever nobody waits for comes last. */
  #next(): Claim | Task | undefined {
    return this.#queue.find((entry) => !('wanted' in entry && entry.wanted.background)) ?? this.#queue[0]
  }

  /** Gives what is loaded to all who wait for it. */
  #serve(): void {
    this.#queue = this.#queue.filter((entry) => {
      if (!('wanted' in entry)) return true
      const present = entry.settled ? undefined : this.#present(entry.wanted)
      if (present) void this.#hold(present, 0).then(entry.resolve)
      return !present && !entry.settled
    })
  }

  /** @returns who must become idle first */
  async #perform(task: Task): Promise<readonly string[]> {
    const busy = task.drain !== undefined && (this.#residents.get(task.drain)?.holds ?? 0) > 0
    if (busy && task.drain !== undefined) return [task.drain]
    this.#queue = this.#queue.filter((other) => other !== task)
    await task.run()
    return []
  }

  /** One step towards the claim. @returns who must become idle first */
  async #advance(claim: Claim): Promise<readonly string[]> {
    const { model, settings, background = false } = claim.wanted
    const demand: Demand = { model: model.key, needBytes: this.#needOf(claim.wanted), background }
    const awaited = new Set(this.#queue.flatMap((entry) => ('wanted' in entry ? [entry.wanted.model.key] : [])))
    let step = planStep(demand, this.#states(NONE), this.room(), awaited)
    if (step.do === 'wait' || (step.do === 'load' && step.evict.length > 0)) {
      const foreign = await this.#leases.elsewhere()
      // A store that cannot say who uses what must not lead to an unload under somebody's answer.
      step = planStep(demand, this.#states(foreign ?? new Set(this.#residents.keys())), this.room(), awaited)
      if (claim.settled) return []
    }
    if (step.do === 'wait') return step.drain
    if (step.do === 'refuse') {
      this.#queue = this.#queue.filter((other) => other !== claim)
      claim.reject(chatErrors.doesNotFit(model.key, demand.needBytes, background ? this.room().spareBytes : this.room().capacityBytes))
      return []
    }
    const contextLength = settings.contextLength ?? model.maxContextLength
    const joins = (entry: Claim | Task): entry is Claim =>
      'wanted' in entry && entry.wanted.model.key === model.key && entry.wanted.contextTokens <= contextLength
    const loading = { model: model.key, contextLength, claims: new Set(this.#queue.filter(joins)), stop: new AbortController() }
    this.#queue = this.#queue.filter((entry) => !joins(entry))
    this.#loading = loading
    try {
      await this.#makeRoom(step.evict, demand.needBytes, 'make room', loading.stop.signal)
      const began = performance.now()
      const instance = await this.#load(claim.wanted, loading)
      const resident = this.#know(instance, true)
      for (const waiting of loading.claims)
        void this.#hold(resident, waiting === claim ? performance.now() - began : 0).then(waiting.resolve)
    } catch (error) {
      for (const waiting of loading.claims) waiting.reject(error)
    } finally {
      this.#loading = undefined
    }
    return []
  }

  /** A refusal for memory while idle models still hold some of it costs them, once: predictions err. */
  async #load(wanted: Wanted, loading: Loading): Promise<LoadedInstance> {
    try {
      return await this.#loadOnce(wanted, loading)
    } catch (error) {
      const idle = this.#states((await this.#leases.elsewhere()) ?? new Set(this.#residents.keys())).filter(
        (r) => r.evictable && r.holds === 0,
      )
      if (!traitsOf(error).memory || wanted.background || idle.length === 0 || loading.stop.signal.aborted) throw error
      const evict = idle.map(({ instanceId }) => instanceId)
      await this.#makeRoom(evict, this.#needOf(wanted), 'make room', loading.stop.signal)
      return this.#loadOnce(wanted, loading)
    }
  }

  async #loadOnce({ model, settings, onProgress }: Wanted, { contextLength, stop }: Loading): Promise<LoadedInstance> {
    const { catalogue, emit, loadIdleMs, clock } = this.#parts
    emit('model.loading', { model: model.key, contextLength, fraction: 0 })
    const instance = await loadModel({
      backend: catalogue.backendOf(model),
      model,
      settings,
      idleMs: loadIdleMs,
      clock,
      signal: stop.signal,
      onProgress: (fraction) => {
        onProgress?.(fraction)
        emit('model.loading', { model: model.key, contextLength, fraction })
      },
    })
    catalogue.note(instance, true)
    return instance
  }

  #needOf({ model, settings }: Wanted): number {
    if (model.remote || !this.#parts.catalogue.backendOf(model).abilities.loads) return 0
    return this.#parts.needBytes(model, settings.contextLength ?? model.maxContextLength)
  }

  /** @param foreign instances that other processes use */
  #states(foreign: ReadonlySet<string>): ResidentState[] {
    return [...this.#residents.values()].map(({ instance: { instanceId, model }, owned, kept, bytes, holds, lastUsed }) => ({
      instanceId,
      model,
      bytes,
      holds,
      lastUsed,
      evictable: owned && !kept && !foreign.has(instanceId),
      draining: this.#drained.has(instanceId),
    }))
  }

  #present({ model, contextTokens }: Wanted): Resident | undefined {
    const instance = servingInstance(this.#parts.catalogue.find(model.key) ?? model, contextTokens)
    if (!instance || this.#draining.has(instance.instanceId)) return undefined
    return this.#residents.get(instance.instanceId) ?? this.#know(instance, this.#outOfSight.delete(instance.instanceId))
  }

  #know(instance: LoadedInstance, owned: boolean): Resident {
    const model = this.#parts.catalogue.find(instance.model)
    const bytes = model && !model.remote ? this.#parts.needBytes(model, instance.contextLength) : 0
    const resident: Resident = { instance, owned, bytes, leased: owned, holds: 0, kept: false, lastUsed: this.#parts.clock.now() }
    this.#residents.set(instance.instanceId, resident)
    if (owned) void this.#leases.take(resident)
    return resident
  }

  /** Held at once; what another process may unload is used only after it can see the lease. */
  async #hold(resident: Resident, loadMs: number): Promise<Hold> {
    resident.holds++
    resident.lastUsed = this.#parts.clock.now()
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      resident.holds--
      resident.lastUsed = this.#parts.clock.now()
      this.#changed()
    }
    if (!resident.leased) {
      resident.leased = true
      await this.#leases.take(resident)
    }
    return { instance: resident.instance, loadMs, release }
  }

  async #evictIdle(survivor: ModelKey | undefined, reason: string): Promise<void> {
    const idle = this.#states(NONE).filter((r) => r.evictable && r.holds === 0 && r.model !== survivor)
    for (const { instanceId } of idle.sort((a, b) => a.lastUsed - b.lastUsed)) await this.#evict(instanceId, reason)
  }

  /** Evicts, then waits until the memory is really back or there is enough of it. */
  async #makeRoom(evict: readonly string[], needBytes: number, reason: string, signal: AbortSignal): Promise<void> {
    const { clock, resources } = this.#parts
    const before = resources().memory.availableBytes
    let expected = 0
    for (const instanceId of evict) {
      if (signal.aborted) return
      expected += (await this.#evict(instanceId, reason)) ?? 0
    }
    if (expected === 0) return
    const until = clock.now() + RETURN_LIMIT_MS
    const isBack = (): boolean =>
      this.room().spareBytes >= needBytes || resources().memory.availableBytes >= before + RETURN_SHARE * expected
    while (!isBack() && clock.now() < until && !signal.aborted) await pause(clock, RETURN_POLL_MS, signal)
  }

  /** @returns the memory that it took; undefined when it was needed again meanwhile */
  async #evict(instanceId: string, reason: string): Promise<number | undefined> {
    // Asked again each time: unloading the one before may have taken long.
    const foreign = await this.#leases.elsewhere()
    const resident = this.#residents.get(instanceId)
    if (!resident || resident.holds > 0 || !foreign || foreign.has(instanceId)) return undefined
    await this.#unload(resident.instance, reason).catch((error: unknown) =>
      this.#parts.emit('plugin.failed', { plugin: resident.instance.model, during: 'unloading', error: toErrorFact(error) }),
    )
    return resident.bytes
  }

  async #unload(instance: LoadedInstance, reason: string): Promise<void> {
    const { catalogue, emit, clock } = this.#parts
    const model = catalogue.find(instance.model)
    // Nobody may join it from here on.
    this.#residents.delete(instance.instanceId)
    catalogue.note(instance, false)
    try {
      if (model) await unloadInstance(catalogue.backendOf(model), instance, clock)
    } catch (error) {
      // What is really there is asked again.
      catalogue.invalidate()
      throw error
    }
    emit('model.unloaded', { model: instance.model, reason })
    await this.#leases.drop(instance)
  }
}

function isIdle({ owned, holds, kept }: Resident): boolean {
  return owned && holds === 0 && !kept
}
