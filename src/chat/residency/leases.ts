/**
 * Leases: what this process uses, told to the others, and what the others use.
 *
 * @module
 */
import { toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import type { LoadedInstance } from '../model.ts'
import type { Store } from '../store.ts'

/** How often a lease is renewed; a lease older than a minute counts as dead where the process cannot be asked. */
const HEARTBEAT_MS = 20_000

/** What a lease says. */
export interface Leased {
  readonly instance: LoadedInstance
  readonly bytes: number
  /** Whether this process loaded it. */
  readonly owned: boolean
}

/** Writes the leases of this process. A store that fails costs the lease, not the answer. */
export class Leases {
  readonly #store: Pick<Store, 'putLease' | 'dropLease' | 'leases'>
  readonly #emit: PluginContext['emit']
  readonly #now: () => number
  readonly #processStart: number
  readonly #held: Map<string, Leased> = new Map()
  #heartbeat: NodeJS.Timeout | undefined

  constructor(store: Pick<Store, 'putLease' | 'dropLease' | 'leases'>, emit: PluginContext['emit'], now: () => number) {
    this.#store = store
    this.#emit = emit
    this.#now = now
    this.#processStart = Math.round(now() - process.uptime() * 1000)
  }

  /** Resolves when the others can see it. */
  take(leased: Leased): Promise<void> {
    this.#held.set(leased.instance.instanceId, leased)
    this.#heartbeat ??= setInterval(() => this.#renew(), HEARTBEAT_MS).unref()
    return this.#put(leased)
  }

  async drop({ instanceId }: LoadedInstance): Promise<void> {
    this.#held.delete(instanceId)
    await this.#store.dropLease(instanceId, process.pid).catch((error: unknown) => this.#failed('dropping a lease', error))
  }

  /** Instances that other living processes use; undefined when the store cannot say. */
  async elsewhere(): Promise<ReadonlySet<string> | undefined> {
    const leases = await this.#store.leases().catch(() => undefined)
    return leases && new Set(leases.filter((lease) => lease.pid !== process.pid).map((lease) => lease.instanceId))
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat)
    await Promise.all([...this.#held.values()].map(({ instance }) => this.drop(instance)))
  }

  #renew(): void {
    for (const leased of this.#held.values()) void this.#put(leased)
  }

  async #put({ instance: { instanceId, model }, bytes, owned }: Leased): Promise<void> {
    const lease = { instanceId, model, pid: process.pid, processStart: this.#processStart, bytes, owned, heartbeat: this.#now() }
    await this.#store.putLease(lease).catch((error: unknown) => this.#failed('writing a lease', error))
  }

  #failed(during: string, error: unknown): void {
    this.#emit('plugin.failed', { plugin: 'store', during, error: toErrorFact(error) })
  }
}
