/**
 * How bad it is: the pressure level, with hysteresis so that a value at a threshold does not flap.
 * Pure.
 *
 * @module
 */
import type { PressureLevel } from '../../chat/resources.ts'

/** When memory counts as short. */
export interface LevelThresholds {
  /** Share of memory in use, 0 to 1. */
  readonly pressuredAt: number
  /** Share of memory in use, 0 to 1. */
  readonly criticalAt: number
  /** Less free than this is critical, however large the machine. Bytes. */
  readonly criticalFreeBytes: number
  /** Memory stall (`full avg10`) that counts as pressure, in percent. */
  readonly stallPercent: number
}

/** What the level is judged by. Bytes and percent. */
export interface LevelReading {
  readonly totalBytes: number
  readonly availableBytes: number
  readonly stallPercent: number | undefined
}

/** A level is left only this far below the threshold that entered it: 5 points, of memory or of stall. */
const RECOVERY_MARGIN = 0.05

/** On small machines a fixed floor would be critical from the start, so it is at most this share of all memory. */
const FLOOR_SHARE = 1 / 8

/** The least that must stay free, in bytes: {@link LevelThresholds.criticalFreeBytes}, scaled down on small machines. */
export function criticalFloor(totalBytes: number, criticalFreeBytes: number): number {
  return Math.min(criticalFreeBytes, totalBytes * FLOOR_SHARE)
}

/**
 * The level after `previous`. Worse levels are entered at their threshold;
 * a level is left once the reading is 5 points (of memory, of stall) better than that.
 */
export function nextLevel(previous: PressureLevel, reading: LevelReading, thresholds: LevelThresholds): PressureLevel {
  if (entersCritical(reading, thresholds)) return 'critical'
  if (previous === 'critical' && staysCritical(reading, thresholds)) return 'critical'
  if (entersPressured(reading, thresholds)) return 'pressured'
  if (previous !== 'normal' && staysPressured(reading, thresholds)) return 'pressured'
  return 'normal'
}

function entersCritical(reading: LevelReading, { criticalAt, criticalFreeBytes }: LevelThresholds): boolean {
  return usedShare(reading) >= criticalAt || reading.availableBytes < criticalFloor(reading.totalBytes, criticalFreeBytes)
}

function staysCritical(reading: LevelReading, { criticalAt, criticalFreeBytes }: LevelThresholds): boolean {
  const floor = criticalFloor(reading.totalBytes, criticalFreeBytes) + RECOVERY_MARGIN * reading.totalBytes
  return usedShare(reading) > criticalAt - RECOVERY_MARGIN || reading.availableBytes < floor
}

function entersPressured(reading: LevelReading, { pressuredAt, stallPercent }: LevelThresholds): boolean {
  return usedShare(reading) >= pressuredAt || (reading.stallPercent ?? 0) >= stallPercent
}

function staysPressured(reading: LevelReading, { pressuredAt, stallPercent }: LevelThresholds): boolean {
  // Half of a small threshold, so that a threshold under 5 % can be left at all.
  const calm = Math.max(stallPercent - RECOVERY_MARGIN * 100, stallPercent / 2)
  return usedShare(reading) > pressuredAt - RECOVERY_MARGIN || (reading.stallPercent ?? 0) > calm
}

function usedShare({ totalBytes, availableBytes }: LevelReading): number {
  return totalBytes > 0 ? 1 - availableBytes / totalBytes : 0
}
