/**
 * The models in memory that this process knows: who holds them, who loaded them, and how they leave.
 *
 * @module
 */
import { toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import type { Clock } from '../clock.ts'
import type { LoadedInstance, ModelInfo, ModelKey } from '../model.ts'
import type { ResourceSample } from '../resources.ts'
import type { Store } from '../store.ts'
import type { Catalogue } from './catalogue.ts'
import { Leases } from './leases.ts'
import { unloadInstance } from './load.ts'
import { type ResidentState, type Room, roomOf } from './residency-plan.ts'

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
  /** @param maxAgeMs how old it may be, in ms */
  readonly resources: (maxAgeMs?: number) => ResourceSample
  /** Memory that a model takes with a window, in bytes. */
  readonly needBytes: (model: ModelInfo, contextLength: number) => number
  /** Longest load without progress, in ms. */
  readonly loadIdleMs: number
  readonly clock: Clock
}

/** A model in memory. */
export interface Resident {
  readonly instance: LoadedInstance
  readonly owned: boolean
  readonly bytes: number
  /** Other processes can see that it is used here. */
  leased: boolean
  holds: number
  kept: boolean
  lastUsed: number
}

/** The instances, and their leases. */
export class Residents {
  readonly #parts: ResidencyParts
  readonly #onReleased: () => void
  readonly #leases: Leases
  readonly #known: Map<string, Resident> = new Map()
  /** Instances that Mai loaded, behind a line that broke. */
  readonly #outOfSight: Set<string> = new Set()

  /** @param onReleased called when a hold ends or an instance goes */
  constructor(parts: ResidencyParts, onReleased: () => void) {
    this.#parts = parts
    this.#onReleased = onReleased
    this.#leases = new Leases(parts.store, parts.emit, () => parts.clock.now())
  }

  get(instanceId: string): Resident | undefined {
    return this.#known.get(instanceId)
  }

  /** Instances that may be unloaded to make room, as far as this process can tell. */
  idle(): ReadonlySet<string> {
    const idle = [...this.#known.values()].filter(({ owned, holds, kept }) => owned && holds === 0 && !kept)
    return new Set(idle.map(({ instance }) => instance.instanceId))
  }

  /** Memory for models as things are now. */
  room(): Room {
    const own = [...this.#known.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    return roomOf(this.#parts.resources(), own)
  }

  /** @param foreign instances that other processes use */
  states(foreign: ReadonlySet<string>): ResidentState[] {
    return [...this.#known.values()].map(({ instance: { instanceId, model }, owned, kept, bytes, holds, lastUsed }) => ({
      instanceId,
      model,
      bytes,
      holds,
      lastUsed,
      evictable: owned && !kept && !foreign.has(instanceId),
    }))
  }

  /** Instances that other processes use. A store that cannot say must not lead to an unload under somebody's answer: all of them. */
  async foreign(): Promise<ReadonlySet<string>> {
    return (await this.#leases.elsewhere()) ?? new Set(this.#known.keys())
  }

  /** One that was found in memory: somebody else's, unless Mai had only lost sight of it. */
  find(instance: LoadedInstance): Resident {
    return this.#known.get(instance.instanceId) ?? this.know(instance, this.#outOfSight.delete(instance.instanceId))
  }

  /** @param owned whether Mai loaded it */
  know(instance: LoadedInstance, owned: boolean): Resident {
    const model = this.#parts.catalogue.find(instance.model)
    const bytes = model && !model.remote ? this.#parts.needBytes(model, instance.contextLength) : 0
    const resident: Resident = { instance, owned, bytes, leased: owned, holds: 0, kept: false, lastUsed: this.#parts.clock.now() }
    this.#known.set(instance.instanceId, resident)
    if (owned) void this.#leases.take(resident)
    return resident
  }

  /** Held at once; what another process may unload is used only after it can see the lease. */
  async hold(resident: Resident, loadMs: number): Promise<Hold> {
    resident.holds++
    resident.lastUsed = this.#parts.clock.now()
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      resident.holds--
      resident.lastUsed = this.#parts.clock.now()
      this.#onReleased()
    }
    if (!resident.leased) {
      resident.leased = true
      await this.#leases.take(resident)
    }
    return { instance: resident.instance, loadMs, release }
  }

  /** What the engine let go of by itself is no longer here. */
  forgetVanished(): void {
    for (const { instance, holds } of [...this.#known.values()]) {
      const model = this.#parts.catalogue.find(instance.model)
      if (holds > 0 || !model || model.instances.some(({ instanceId }) => instanceId === instance.instanceId)) continue
      this.#known.delete(instance.instanceId)
      void this.#leases.drop(instance)
    }
  }

  /** Lets go of what others loaded and this process no longer uses. */
  async forgetUnused(current: ModelKey | undefined): Promise<void> {
    for (const { instance, owned, holds } of [...this.#known.values()]) {
      if (owned || holds > 0 || instance.model === current) continue
      this.#known.delete(instance.instanceId)
      await this.#leases.drop(instance)
    }
  }

  /** Forgets an instance that turned out to be gone. */
  lost(instance: LoadedInstance, reason: string): void {
    const resident = this.#known.get(instance.instanceId)
    if (!resident) return
    this.#known.delete(instance.instanceId)
    // A line that broke says nothing of the model: seen again, it is still ours to unload.
    if (resident.owned && reason === 'backend-lost') this.#outOfSight.add(instance.instanceId)
    this.#parts.catalogue.note(instance, false)
    this.#parts.catalogue.invalidate()
    this.#parts.emit('model.unloaded', { model: instance.model, reason })
    void this.#leases.drop(instance)
    this.#onReleased()
  }

  /** Unloads what Mai loaded and nobody needs, least recently used first. */
  async evictIdle(survivor: ModelKey | undefined, reason: string): Promise<void> {
    const idle = this.states(new Set()).filter(({ evictable, holds, model }) => evictable && holds === 0 && model !== survivor)
    for (const { instanceId } of idle.sort((a, b) => a.lastUsed - b.lastUsed)) await this.evict(instanceId, reason)
  }

  /** Unloads it unless somebody uses it. @returns the memory that it took; 0 when it stays */
  async evict(instanceId: string, reason: string): Promise<number> {
    // Asked again each time: unloading the one before may have taken long.
    const foreign = await this.foreign()
    const resident = this.#known.get(instanceId)
    if (!resident?.owned || resident.kept || resident.holds > 0 || foreign.has(instanceId)) return 0
    await this.unload(resident.instance, reason).catch((error: unknown) =>
      this.#parts.emit('plugin.failed', { plugin: resident.instance.model, during: 'unloading', error: toErrorFact(error) }),
    )
    return resident.bytes
  }

  /** Unloads it, whoever uses it. @throws MaiError */
  async unload(instance: LoadedInstance, reason: string): Promise<void> {
    const { catalogue, emit, clock } = this.#parts
    const model = catalogue.find(instance.model)
    const owned = this.#known.get(instance.instanceId)?.owned === true
    // Nobody may join it from here on.
    this.#known.delete(instance.instanceId)
    catalogue.note(instance, false)
    try {
      if (model) await unloadInstance(catalogue.backendOf(model), instance, clock)
    } catch (error) {
      // What is really there is asked again; seen again, it is still ours to unload, and no lease of this process keeps others from it.
      if (owned) this.#outOfSight.add(instance.instanceId)
      catalogue.invalidate()
      await this.#leases.drop(instance)
      throw error
    }
    emit('model.unloaded', { model: instance.model, reason })
    await this.#leases.drop(instance)
  }

  /** Ends the leases. */
  close(): Promise<void> {
    return this.#leases.close()
  }
}
