/**
 * Which model goes so that another may come: decisions without effects.
 *
 * @module
 */
import type { ModelKey } from '../model.ts'
import type { ResourceSample } from '../resources.ts'

/** Share of all memory that stays free beside models, as the default policy leaves it: 80 % in use is pressure. */
export const HEADROOM = 0.2

/** A model in memory, as far as a plan needs to know. */
export interface ResidentState {
  readonly instanceId: string
  readonly model: ModelKey
  /** Memory it takes, as predicted. */
  readonly bytes: number
  /** Answers in flight. */
  readonly holds: number
  /** Mai loaded it, nobody asked to keep it, and no other process uses it. */
  readonly evictable: boolean
  /** Epoch ms. */
  readonly lastUsed: number
}

/** Memory for models, in bytes. */
export interface Room {
  /** Free now. */
  readonly freeBytes: number
  /** Free now, less the headroom; may be negative. */
  readonly spareBytes: number
  /** All that the machine has. */
  readonly capacityBytes: number
}

/** What shall come. */
export interface Demand {
  readonly model: ModelKey
  readonly needBytes: number
  /** Nobody waits for it: it evicts nothing and leaves the headroom free. */
  readonly background: boolean
}

/** Who else waits. */
export interface Waiting {
  /** Models that others wait for. */
  readonly awaited: ReadonlySet<ModelKey>
  /** Instances that are waited for to become idle already. */
  readonly draining: ReadonlySet<string>
}

/** What to do next. */
export type Step =
  /** It cannot fit, whatever goes. */
  | { readonly do: 'refuse'; readonly missingBytes: number }
  /** These are busy and must go: nobody new may join them. */
  | { readonly do: 'wait'; readonly drain: readonly string[] }
  | { readonly do: 'load'; readonly evict: readonly string[] }

/** Free memory = min(reported, total − own predictions), because drivers and other programs lag. @param ownBytes of all models in memory */
export function roomOf({ memory, gpus }: ResourceSample, ownBytes: number): Room {
  const cards = gpus.filter((gpu) => !gpu.unified)
  const sum = (key: 'totalBytes' | 'freeBytes'): number => cards.reduce((all, gpu) => all + gpu[key], 0)
  const capacityBytes = memory.totalBytes + sum('totalBytes')
  const unclaimed = Math.max(0, capacityBytes - ownBytes)
  const main = Math.min(memory.availableBytes, unclaimed)
  const cardsFree = Math.min(sum('freeBytes'), unclaimed)
  return {
    freeBytes: Math.max(main, cardsFree),
    spareBytes: Math.max(main - HEADROOM * memory.totalBytes, cards.length > 0 ? cardsFree : Number.NEGATIVE_INFINITY),
    capacityBytes,
  }
}

/**
 * The next step towards a demand. What is impossible evicts nothing; what fits evicts nothing; otherwise the least
 * recently used go, those that somebody waits for last, and no more than needed. Where idle models are not enough,
 * busy ones are waited for if that makes it fit; if nothing does, the load is tried all the same, as predictions err.
 */
export function planStep(demand: Demand, residents: readonly ResidentState[], room: Room, { awaited, draining }: Waiting): Step {
  const { needBytes, model } = demand
  if (needBytes > room.capacityBytes) return { do: 'refuse', missingBytes: needBytes - room.capacityBytes }
  if (demand.background) {
    return needBytes <= room.spareBytes ? { do: 'load', evict: [] } : { do: 'refuse', missingBytes: needBytes - room.spareBytes }
  }
  const order = residents
    .filter((resident) => resident.evictable)
    .sort(
      (a, b) =>
        Number(draining.has(b.instanceId)) - Number(draining.has(a.instanceId)) ||
        Number(awaited.has(a.model)) - Number(awaited.has(b.model)) ||
        a.lastUsed - b.lastUsed,
    )
  const idle = order.filter((resident) => resident.holds === 0)
  // A window of it that is too small serves nobody once the larger one is there.
  const replaced = idle.filter((resident) => resident.model === model)
  const others = idle.filter((resident) => resident.model !== model)
  const short = needBytes - room.spareBytes - bytesOf(replaced)
  const chosen = enough(others, short)
  if (chosen) return { do: 'load', evict: ids([...replaced, ...chosen]) }
  const bare = needBytes - room.freeBytes - bytesOf(idle)
  if (bare > 0) {
    const drain = enough(
      order.filter((resident) => resident.holds > 0),
      bare,
    )
    if (drain && drain.length > 0) return { do: 'wait', drain: ids(drain) }
  }
  return { do: 'load', evict: ids(idle) }
}

/** The first of a list that together free so many bytes, without those that turn out not to be needed; undefined: not even all do. */
function enough(residents: readonly ResidentState[], bytes: number): readonly ResidentState[] | undefined {
  let left = bytes
  const chosen: ResidentState[] = []
  for (const resident of residents) {
    if (left <= 0) break
    chosen.push(resident)
    left -= resident.bytes
  }
  if (left > 0) return undefined
  return chosen.filter((resident) => {
    if (left + resident.bytes > 0) return true
    left += resident.bytes
    return false
  })
}

function bytesOf(residents: readonly ResidentState[]): number {
  return residents.reduce((sum, resident) => sum + resident.bytes, 0)
}

function ids(residents: readonly ResidentState[]): string[] {
  return residents.map((resident) => resident.instanceId)
}
