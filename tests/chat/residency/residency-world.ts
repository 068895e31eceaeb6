/**
 * A residency on a machine that exists in memory only: models take memory, loads take time, and everything can go wrong.
 *
 * @module
 */
import type { Backend } from '../../../src/chat/backend.ts'
import { pause } from '../../../src/chat/clock.ts'
import { backendError } from '../../../src/chat/failure.ts'
import type { LoadedInstance, ModelInfo } from '../../../src/chat/model.ts'
import { Residency } from '../../../src/chat/residency/residency.ts'
import type { ResourceSample } from '../../../src/chat/resources.ts'
import type { Lease } from '../../../src/chat/store.ts'
import { VirtualClock } from '../virtual-clock.ts'

export const GB = 1e9

/** What happens to one load. */
export type LoadFate = 'ok' | 'refuse' | 'fail' | 'hang'

export interface WorldOptions {
  readonly totalBytes: number
  /** Model id → bytes. */
  readonly sizes: Readonly<Record<string, number>>
  readonly loadMs?: (id: string) => number
  readonly fate?: (id: string) => LoadFate
  /** Whether the line to the engine breaks while it is to unload. */
  readonly unloadFails?: () => boolean
  /** How long the memory of an unloaded model takes to come back, in ms. */
  readonly returnMs?: () => number
  /** How old a sample of the machine may be, in ms; default 0. */
  readonly sampleMs?: number
}

export class World {
  readonly clock = new VirtualClock()
  readonly residency: Residency
  readonly loads: string[] = []
  readonly evictions: string[] = []
  /** What must never happen. */
  readonly violations: string[] = []
  readonly foreign: Map<string, Lease> = new Map()
  /** What this process has told the others. */
  readonly leases: Map<string, Lease> = new Map()
  /** Memory of other programs. */
  otherBytes = 0
  readonly #options: WorldOptions
  readonly #models: Map<string, ModelInfo> = new Map()
  readonly #loaded: Map<string, LoadedInstance> = new Map()
  readonly #generating: Map<string, number> = new Map()
  readonly #asked: Set<string> = new Set()
  #usedBytes = 0
  #sampled: ResourceSample | undefined
  #loading = 0
  #next = 1

  constructor(options: WorldOptions) {
    this.#options = options
    for (const [id, sizeBytes] of Object.entries(options.sizes)) this.#models.set(`test/${id}`, info(id, sizeBytes))
    const backend: Backend = {
      name: 'test',
      remote: false,
      allowRemote: false,
      abilities: { continuation: 'raw', loads: true },
      list: async () => [...this.#models.values()],
      load: (model, _, onProgress, signal) => this.#load(model, onProgress, signal),
      unload: (instance) => this.#unload(instance),
      generate: () => Promise.reject(new Error('not here')),
      countTokens: async () => undefined,
    }
    this.residency = new Residency({
      catalogue: {
        find: (key) => this.#models.get(key),
        backendOf: () => backend,
        invalidate: () => this.#lookAgain(),
        note: (instance, resident) => {
          const model = this.model(instance.model)
          const others = model.instances.filter((other) => other.instanceId !== instance.instanceId)
          this.#models.set(model.key, { ...model, instances: resident ? [...others, instance] : others })
        },
      },
      store: {
        putLease: async (lease) => void this.leases.set(lease.instanceId, lease),
        dropLease: async (instanceId) => void this.leases.delete(instanceId),
        leases: async () => [...this.leases.values(), ...this.foreign.values()],
      },
      emit: () => {},
      resources: (maxAgeMs) => this.#latest(maxAgeMs),
      needBytes: ({ sizeBytes = 0 }) => sizeBytes,
      loadIdleMs: 60_000,
      clock: this.clock,
    })
  }

  get loaded(): readonly string[] {
    return [...this.#loaded.values()].map(({ model }) => model.slice('test/'.length))
  }

  model(key: string): ModelInfo {
    const model = this.#models.get(key.includes('/') ? key : `test/${key}`)
    if (!model) throw new Error(`no model ${key}`)
    return model
  }

  sample(): ResourceSample {
    const { totalBytes } = this.#options
    return {
      time: this.clock.now(),
      memory: { totalBytes, availableBytes: Math.max(0, totalBytes - this.#usedBytes - this.otherBytes), swapUsedBytes: 0 },
      cpu: { cores: 2, load: 0 },
      gpus: [],
      memoryStall: undefined,
      battery: undefined,
      level: 'normal',
    }
  }

  /** As the plugin does it: not looked at anew for every question. */
  #latest(maxAgeMs = this.#options.sampleMs ?? 0): ResourceSample {
    if (!this.#sampled || maxAgeMs === 0 || this.clock.now() - this.#sampled.time > maxAgeMs) this.#sampled = this.sample()
    return this.#sampled
  }

  /** Holds a model for a time, as an answer does. */
  async answer(id: string, ms: number, signal: AbortSignal = new AbortController().signal, background = false): Promise<'answered'> {
    const hold = await this.residency.acquire({
      model: this.model(id),
      settings: { contextLength: 4096 },
      contextTokens: 1024,
      signal,
      background,
    })
    const { instanceId } = hold.instance
    if (!this.#loaded.has(instanceId)) this.violations.push(`${id} was given unloaded`)
    if (hold.instance.model !== `test/${id}`) this.violations.push(`${id} was given ${hold.instance.model}`)
    this.#generating.set(instanceId, (this.#generating.get(instanceId) ?? 0) + 1)
    await pause(this.clock, background ? 0 : ms, signal)
    this.#generating.set(instanceId, (this.#generating.get(instanceId) ?? 0) - 1)
    hold.release()
    return 'answered'
  }

  /** The instance of a model that another process leases from now on. */
  lease(id: string): void {
    for (const { instanceId, model } of this.#loaded.values()) {
      if (model !== `test/${id}`) continue
      const lease = { instanceId, model, pid: 1, processStart: 0, bytes: 0, owned: false, heartbeat: this.clock.now() }
      this.foreign.set(instanceId, lease)
    }
  }

  /** A person asks for it, whoever uses it. */
  unloadAsked(instance: LoadedInstance): void {
    this.#asked.add(instance.instanceId)
    void this.residency.unload(instance, 'asked')
  }

  instanceOf(id: string): LoadedInstance | undefined {
    return [...this.#loaded.values()].find(({ model }) => model === `test/${id}`)
  }

  /** What is really in memory is listed. */
  #lookAgain(): void {
    for (const model of this.#models.values()) {
      const instances = [...this.#loaded.values()].filter((instance) => instance.model === model.key)
      this.#models.set(model.key, { ...model, instances })
    }
  }

  async #load(model: ModelInfo, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<LoadedInstance> {
    const { id, sizeBytes = 0 } = model
    this.loads.push(id)
    if (++this.#loading > 1) this.violations.push('two loads at once')
    try {
      const fate = this.#options.fate?.(id) ?? 'ok'
      const ms = this.#options.loadMs?.(id) ?? 100
      if (fate === 'hang') await pause(this.clock, 1e9, signal)
      else await pause(this.clock, ms / 2, signal)
      signal.throwIfAborted()
      onProgress(0.5)
      if (fate === 'refuse') throw backendError('MAI_LOAD_REFUSED', 'too large')
      if (fate === 'fail') throw backendError('MAI_LOAD_FAILED', 'broken')
      await pause(this.clock, ms / 2, signal)
      signal.throwIfAborted()
      const instance = { instanceId: `${id}#${this.#next++}`, model: model.key, contextLength: 4096 }
      this.#loaded.set(instance.instanceId, instance)
      this.#usedBytes += sizeBytes
      return instance
    } finally {
      this.#loading--
    }
  }

  async #unload(instance: LoadedInstance): Promise<void> {
    const { instanceId, model } = instance
    if ((this.#generating.get(instanceId) ?? 0) > 0) this.violations.push(`${instanceId} was unloaded under an answer`)
    if (this.foreign.has(instanceId) && !this.#asked.has(instanceId))
      this.violations.push(`${instanceId} was unloaded under another process`)
    if (this.#options.unloadFails?.()) throw backendError('MAI_BACKEND_LOST', 'the line broke')
    if (!this.#loaded.delete(instanceId)) return
    const { sizeBytes = 0 } = this.model(model)
    this.evictions.push(model.slice('test/'.length))
    const back = (): void => {
      this.#usedBytes -= sizeBytes
    }
    const delay = this.#options.returnMs?.() ?? 0
    if (delay > 0) this.clock.after(delay, back)
    else back()
  }
}

function info(id: string, sizeBytes: number): ModelInfo {
  return {
    key: `test/${id}`,
    backend: 'test',
    id,
    name: id,
    remote: false,
    sizeBytes,
    parameters: undefined,
    quantisation: undefined,
    architecture: undefined,
    maxContextLength: 4096,
    abilities: { vision: false, tools: false, reasoning: false },
    path: undefined,
    instances: [],
  }
}
