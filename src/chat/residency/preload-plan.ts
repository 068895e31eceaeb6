/**
 * When a model may be prepared in the background, and when it must give way: decisions without effects.
 *
 * @module
 */
import type { Room } from './residency-plan.ts'

/** A preparation under way, or done and not yet used. */
export interface Preparation {
  readonly needBytes: number
  /** Share of it that is in memory already, 0 to 1. */
  readonly fraction: number
}

/** Whether a model fits into what is left over. It never takes the headroom, and nothing makes room for it. */
export function mayPrepare(needBytes: number, room: Room): boolean {
  return needBytes <= room.spareBytes
}

/** Whether what is still to come of it, or what it holds, is needed by somebody else now. */
export function mustGiveWay({ needBytes, fraction }: Preparation, room: Room): boolean {
  return needBytes * (1 - fraction) > room.spareBytes
}
