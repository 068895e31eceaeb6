/**
 * Where memory is going, and how soon to look again. Pure.
 *
 * @module
 */
import type { MemoryTrend, PressureLevel } from '../../chat/resources.ts'

/** A change counts half after so long, in ms: shorter than what a person does between two programs. */
const HALF_LIFE_MS = 20_000

/** The trend after another look: an exponentially weighted mean of the rate at which memory gets free. */
export function nextTrend(
  before: MemoryTrend | undefined,
  look: { readonly ms: number; readonly gainedBytes: number; readonly availableBytes: number },
): MemoryTrend {
  const { ms, gainedBytes, availableBytes } = look
  const rate = before?.bytesPerSecond ?? 0
  const share = ms > 0 ? 1 - 0.5 ** (ms / HALF_LIFE_MS) : 0
  const bytesPerSecond = share === 0 ? rate : rate + share * ((gainedBytes * 1000) / ms - rate)
  const secondsLeft = bytesPerSecond < 0 ? availableBytes / -bytesPerSecond : Number.POSITIVE_INFINITY
  return { bytesPerSecond, ...(secondsLeft < MOST_SECONDS ? { secondsLeft } : {}) }
}

/** Further ahead nothing is foretold, in s. */
const MOST_SECONDS = 3600

/** What the pace depends on. */
export interface PaceReading {
  readonly level: PressureLevel
  /** Share of memory that is free, 0 to 1. */
  readonly freeShare: number
  readonly trend: MemoryTrend | undefined
  /** Busy share of all cores, 0 to 1. */
  readonly load: number
  readonly discharging: boolean
}

/** Less free than this share is little. */
const LITTLE = 0.3
/** Memory that lasts no longer than this is watched closely, in s. */
const SOON_SECONDS = 120
/** Less busy than this share is idle. */
const IDLE = 0.05
/** A change slower than this is none, in bytes a second. */
const STILL = 1e6
/** Never faster than this, in ms, unless asked for. */
const FASTEST_MS = 250
/** Never slower than this, in ms, unless asked for. */
const SLOWEST_MS = 15_000

/** Fastest that a machine is looked at, in ms. */
export function fastest(intervalMs: number): number {
  return Math.min(intervalMs, Math.max(FASTEST_MS, intervalMs / 4))
}

/** How soon to look again, in ms: fast while memory is short or going, slowly while nothing happens or a battery runs down. */
export function nextInterval({ level, freeShare, trend, load, discharging }: PaceReading, intervalMs: number): number {
  const going = (trend?.secondsLeft ?? Number.POSITIVE_INFINITY) < SOON_SECONDS
  if (level !== 'normal' || going || (freeShare < LITTLE && (trend?.bytesPerSecond ?? 0) < -STILL)) return fastest(intervalMs)
  const still = Math.abs(trend?.bytesPerSecond ?? 0) < STILL
  return (load < IDLE && still) || discharging ? Math.max(intervalMs, Math.min(SLOWEST_MS, intervalMs * 4)) : intervalMs
}
