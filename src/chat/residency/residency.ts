/**
 * Residency: who is in memory. It alone calls load and unload, in one loop, one at a time.
 *
 * Order: join a running load → already loaded → queue behind a busy victim → swap. An instance with an answer in flight
 * is held and never unloaded; one that Mai did not load, or that another living process uses, is not evicted.
 *
 * @module
 */
import { pause } from '../clock.ts'
import { servingInstance } from '../decisions/situation.ts'
import { chatErrors, traitsOf } from '../failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo, ModelKey } from '../model.ts'
import { loadModel } from './load.ts'
import { type Demand, planStep, type ResidentState, type Room } from './residency-plan.ts'
import { type Hold, type ResidencyParts, type Resident, Residents } from './residents.ts'

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

/** Plans and makes all loads and unloads of this process. */
export class Residency {
  readonly #parts: ResidencyParts
  readonly #residents: Residents
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
    this.#residents = new Residents(parts, () => this.#changed())
  }

  /** Instances that may be unloaded to make room. */
  unloadable(): ReadonlySet<string> {
    return this.#residents.idle()
  }

  /** Memory for models as things are now. */
  room(): Room {
    return this.#residents.room()
  }

  /**
   * Makes a model resident and holds it.
   * @throws MaiError of `failure.ts`; `MAI_LOAD_REFUSED` at once for what cannot fit; `MAI_LOAD_YIELDED` in the background; the signal's reason
   */
  acquire(wanted: Wanted): Promise<Hold> {
    if (wanted.signal.aborted) return Promise.reject(wanted.signal.reason)
    if (this.#closed) return Promise.reject(chatErrors.closed())
    return this.present(wanted) ?? this.#claimed(wanted)
  }

  /** Holds a model that is resident already, so that nobody has to wait behind somebody else's load; undefined where it is not. */
  present(wanted: Pick<Wanted, 'model' | 'contextTokens'>): Promise<Hold> | undefined {
    const present = this.#closed ? undefined : this.#present(wanted)
    return present && this.#residents.hold(present, 0)
  }

  #claimed(wanted: Wanted): Promise<Hold> {
    return new Promise((resolve, reject) => {
      const leave = (): void => this.#leave(claim, wanted.signal.reason)
      const settle = (): boolean => {
        if (claim.settled) return false
        claim.settled = true
        wanted.signal.removeEventListener('abort', leave)
        return true
      }
      const claim: Claim = {
        wanted,
        settled: false,
        // Who has left meanwhile must not keep it.
        resolve: (hold) => (settle() ? resolve(hold) : hold.release()),
        reject: (error) => void (settle() && reject(error)),
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
    return this.#do(undefined, () => this.#residents.evictIdle(survivor, reason))
  }

  /** After a change of model: lets go of what others loaded, and where memory is short unloads what is not needed. */
  trim(survivor: ModelKey | undefined, reason: string): Promise<void> {
    return this.#do(undefined, async () => {
      await this.#residents.forgetUnused(survivor)
      if (this.room().spareBytes < 0) await this.#residents.evictIdle(survivor, reason)
    })
  }

  /** Unloads an instance because a person asked, whoever loaded it; waits for an answer in flight. */
  unload(instance: LoadedInstance, reason: string): Promise<void> {
    return this.#do(instance.instanceId, () => this.#residents.unload(instance, reason))
  }

  /** Unloads an instance that Mai loaded, unless somebody uses it. */
  release(instance: LoadedInstance, reason: string): Promise<void> {
    return this.#do(undefined, async () => void (await this.#residents.evict(instance.instanceId, reason)))
  }

  /** Forgets an instance that turned out to be gone. */
  lost(instance: LoadedInstance, reason: string): void {
    this.#residents.lost(instance, reason)
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
    if (unloadOwned) await this.#residents.evictIdle(undefined, 'shutdown')
    await this.#residents.close()
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
    this.#dequeue(claim)
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

  #dequeue(entry: Claim | Task): void {
    this.#queue = this.#queue.filter((other) => other !== entry)
  }

  /** Something may be possible now that was not before. */
  #changed(): void {
    this.#changes++
    this.#onChange()
    this.#loop ??= this.#run()
  }

  async #run(): Promise<void> {
    // Callers finish what they are doing first: requests made together are seen together.
    await undefined
    for (;;) {
      this.#residents.forgetVanished()
      this.#serve()
      const seen = this.#changes
      const next = this.#next()
      this.#drained = this.#draining
      this.#draining = NONE
      if (!next) {
        // At once: what comes before this promise settles would find a loop that no longer looks.
        this.#loop = undefined
        return
      }
      const drain = await this.#step(next)
      if (drain.length === 0) continue
      this.#draining = new Set(drain)
      if (this.#changes === seen)
        await new Promise<void>((resolve) => {
          this.#onChange = resolve
        })
    }
  }

  /** Who waits longest; whoever nobody waits for comes last. */
  #next(): Claim | Task | undefined {
    return this.#queue.find((entry) => !isBackground(entry)) ?? this.#queue[0]
  }

  /** Gives what is loaded to all who wait for it. */
  #serve(): void {
    this.#queue = this.#queue.filter((entry) => {
      if (!isClaim(entry)) return true
      const present = entry.settled ? undefined : this.#present(entry.wanted)
      if (present) void this.#residents.hold(present, 0).then(entry.resolve)
      return !present && !entry.settled
    })
  }

  /** @returns who must become idle first */
  async #step(entry: Claim | Task): Promise<readonly string[]> {
    try {
      return await (isClaim(entry) ? this.#advance(entry) : this.#perform(entry))
    } catch (error) {
      this.#dequeue(entry)
      entry.reject(error)
      return []
    }
  }

  async #perform(task: Task): Promise<readonly string[]> {
    const busy = task.drain === undefined ? undefined : this.#residents.get(task.drain)
    if (busy && busy.holds > 0) return [busy.instance.instanceId]
    this.#dequeue(task)
    await task.run()
    return []
  }

  async #advance(claim: Claim): Promise<readonly string[]> {
    const { model, background = false } = claim.wanted
    const demand: Demand = { model: model.key, needBytes: this.#needOf(claim.wanted), background }
    const awaited = new Set(this.#queue.flatMap((entry) => (isClaim(entry) ? [entry.wanted.model.key] : [])))
    const plan = (foreign: ReadonlySet<string>): ReturnType<typeof planStep> =>
      planStep(demand, this.#residents.states(foreign), this.room(), { awaited, draining: this.#drained })
    let step = plan(NONE)
    if (step.do === 'wait' || (step.do === 'load' && step.evict.length > 0)) {
      const foreign = await this.#residents.foreign()
      if (claim.settled) return []
      step = plan(foreign)
    }
    if (step.do === 'wait') return step.drain
    if (step.do === 'load') {
      await this.#swap(claim, step.evict, demand.needBytes)
      return []
    }
    const { spareBytes, capacityBytes } = this.room()
    throw chatErrors.doesNotFit(model.key, demand.needBytes, background ? spareBytes : capacityBytes)
  }

  /** Loads for the claim and all that a load with this window serves. */
  async #swap(claim: Claim, evict: readonly string[], needBytes: number): Promise<void> {
    const { model, settings } = claim.wanted
    const contextLength = settings.contextLength ?? model.maxContextLength
    const joins = (entry: Claim | Task): entry is Claim =>
      isClaim(entry) && entry.wanted.model.key === model.key && entry.wanted.contextTokens <= contextLength
    const loading = { model: model.key, contextLength, claims: new Set([claim, ...this.#queue.filter(joins)]), stop: new AbortController() }
    this.#queue = this.#queue.filter((entry) => entry !== claim && !joins(entry))
    this.#loading = loading
    try {
      await this.#makeRoom(evict, needBytes, loading.stop.signal)
      const began = performance.now()
      const instance = await this.#load(claim.wanted, loading)
      const loadMs = performance.now() - began
      const resident = this.#residents.know(instance, true)
      for (const waiting of loading.claims) void this.#residents.hold(resident, waiting === claim ? loadMs : 0).then(waiting.resolve)
    } catch (error) {
      for (const waiting of loading.claims) waiting.reject(error)
    } finally {
      this.#loading = undefined
    }
  }

  /** A refusal for memory while idle models still hold some of it costs them, once: predictions err. */
  async #load(wanted: Wanted, loading: Loading): Promise<LoadedInstance> {
    try {
      return await this.#loadOnce(wanted, loading)
    } catch (error) {
      const { signal } = loading.stop
      if (!traitsOf(error).memory || wanted.background || signal.aborted) throw error
      const idle = this.#residents.states(await this.#residents.foreign()).filter(isIdle)
      if (idle.length === 0) throw error
      await this.#makeRoom(
        idle.map(({ instanceId }) => instanceId),
        this.#needOf(wanted),
        signal,
      )
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

  /** Evicts, then waits until the memory is really back or there is enough of it. */
  async #makeRoom(evict: readonly string[], needBytes: number, signal: AbortSignal): Promise<void> {
    const { clock, resources } = this.#parts
    // Looked at anew each time: a sample from before the unload would keep the load waiting until the next.
    const available = (): number => resources(0).memory.availableBytes
    const before = available()
    let expected = 0
    for (const instanceId of evict) {
      if (signal.aborted) return
      expected += await this.#residents.evict(instanceId, 'make room')
    }
    if (expected === 0) return
    const until = clock.now() + RETURN_LIMIT_MS
    const isBack = (): boolean => available() >= before + RETURN_SHARE * expected || this.room().spareBytes >= needBytes
    while (!isBack() && clock.now() < until && !signal.aborted) await pause(clock, RETURN_POLL_MS, signal)
  }

  #needOf({ model, settings }: Wanted): number {
    if (model.remote || !this.#parts.catalogue.backendOf(model).abilities.loads) return 0
    return this.#parts.needBytes(model, settings.contextLength ?? model.maxContextLength)
  }

  #present({ model, contextTokens }: Pick<Wanted, 'model' | 'contextTokens'>): Resident | undefined {
    const instance = servingInstance(this.#parts.catalogue.find(model.key) ?? model, contextTokens)
    if (!instance || this.#draining.has(instance.instanceId)) return undefined
    return this.#residents.find(instance)
  }
}

function isClaim(entry: Claim | Task): entry is Claim {
  return 'wanted' in entry
}

function isBackground(entry: Claim | Task): boolean {
  return isClaim(entry) && entry.wanted.background === true
}

function isIdle({ evictable, holds }: ResidentState): boolean {
  return evictable && holds === 0
}
