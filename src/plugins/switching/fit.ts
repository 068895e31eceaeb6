/**
 * Whether a model fits into the memory that is free, and with which window.
 *
 * Need ≤ free × margin; free is the lesser of what the system reports and what Mai's own loads must have left of it,
 * because drivers and other programs lag. What is loaded already has its memory.
 *
 * @module
 */
import type { Candidate, SelectionRequest } from '../../chat/policy.ts'
import type { Learned } from './learned.ts'

/** What a discrete graphics card needs beside the model, in bytes: the driver's context is about 455 MiB. */
const GPU_OVERHEAD = 512 * 2 ** 20
/** An estimate that nobody vouches for may be this much too small: need grows by this share of the doubt in it. */
const DOUBT = 0.1
/** Smallest window that a model is loaded with when memory is short, in tokens. */
const SHORTEST_WINDOW = 2048
/** After a load that memory did not allow, nothing as large is tried for so long, in ms. */
const REFUSED_MS = 60_000

/** Less than this share of all memory free is nothing. */
const NOTHING_LEFT = 0.02

/** What a machine has for models. */
export interface Room {
  /** Bytes of ordinary memory beyond the headroom; negative under pressure. */
  readonly memoryBytes: number
  readonly gpuBytes: number
  /** Bytes of all discrete graphics memory. */
  readonly gpuTotalBytes: number
  /** Whether nothing presses: then what is loaded stays. */
  readonly calm: boolean
  /** Needs from here on were refused a short while ago, in bytes. */
  readonly refusedBytes: number
}

/** Where nothing leaves the headroom, a model may take this share of what is free. */
const TIGHT_SHARE = 0.7
/** Less than this share of all memory free, or less than a GiB: the machine is exhausted. As the resources have it. */
const EXHAUSTED_SHARE = 0.1
const EXHAUSTED_BYTES = 2 ** 30

/**
 * The same room without headroom, for when nothing fits with it: a share of what is free once Mai's own models are gone.
 * Undefined: the machine is exhausted.
 */
export function tightRoom(room: Room, { resources: { memory }, candidates }: SelectionRequest, headroom: number): Room | undefined {
  const reclaimableBytes = candidates[0]?.reclaimableBytes ?? 0
  const free = room.memoryBytes + headroom * memory.totalBytes + reclaimableBytes
  if (free < Math.max(EXHAUSTED_SHARE * memory.totalBytes, Math.min(EXHAUSTED_BYTES, memory.totalBytes / 8))) return undefined
  return { ...room, memoryBytes: free * TIGHT_SHARE - reclaimableBytes, calm: false }
}

/** Room of a moment. @param headroom share of all memory that stays free */
export function roomOf(request: SelectionRequest, learned: Learned, headroom: number, calm: boolean): Room {
  const { memory, gpus } = request.resources
  const discrete = gpus.filter((gpu) => !gpu.unified)
  const gpuTotalBytes = discrete.reduce((sum, gpu) => sum + gpu.totalBytes, 0)
  const loaded = request.candidates.reduce((sum, c) => sum + (c.loadedContextLength === undefined || c.remote ? 0 : c.memory.totalBytes), 0)
  const predicted = memory.totalBytes - Math.max(0, loaded - gpuTotalBytes)
  // With nothing left, what was swapped out is a debt: it comes back before anything new has room.
  const debt = memory.availableBytes < NOTHING_LEFT * memory.totalBytes ? memory.swapUsedBytes : 0
  const { refused } = learned
  return {
    memoryBytes: Math.min(memory.availableBytes - debt, Math.max(0, predicted)) - headroom * memory.totalBytes,
    gpuBytes: discrete.reduce((sum, gpu) => sum + Math.max(0, gpu.freeBytes - GPU_OVERHEAD), 0),
    gpuTotalBytes,
    calm,
    refusedBytes: refused && request.time - refused.time < REFUSED_MS ? refused.bytes : Number.POSITIVE_INFINITY,
  }
}

/**
 * The largest window that a model can be loaded with, in tokens: as planned, else half of that and so on.
 * Undefined: it does not fit.
 */
export function fittingWindow(candidate: Candidate, contextTokens: number, room: Room): number | undefined {
  const { plannedContextLength, loadedContextLength, remote } = candidate
  if (remote) return plannedContextLength
  if (loadedContextLength !== undefined) return stays(candidate, room) ? loadedContextLength : undefined
  const shortest = shortestWindow(candidate, contextTokens)
  for (let window = plannedContextLength; ; window = Math.max(shortest, Math.floor(window / 2))) {
    if (loadable(candidate, window, room)) return window
    // Not `<=`: without a number this must end too.
    if (!(window > shortest)) return undefined
  }
}

/** Smallest window worth loading it with, in tokens. */
export function shortestWindow({ plannedContextLength }: Candidate, contextTokens: number): number {
  return Math.min(plannedContextLength, Math.max(SHORTEST_WINDOW, contextTokens))
}

/** Memory it needs at a window, in bytes. Only the KV cache grows with the window. */
export function needAt({ memory, plannedContextLength }: Candidate, window: number): number {
  return memory.totalBytes - memory.kvBytes * (1 - window / Math.max(1, plannedContextLength))
}

function loadable(candidate: Candidate, window: number, { memoryBytes, gpuBytes, refusedBytes }: Room): boolean {
  const need = needAt(candidate, window)
  if (need >= refusedBytes) return false
  // The engine spreads layers over graphics and ordinary memory.
  const room = Math.max(0, memoryBytes + candidate.reclaimableBytes) + gpuBytes
  return need * (1 + DOUBT * (1 - candidate.memory.confidence)) <= room
}

/** Under pressure it goes when that gives memory back: when Mai may unload it, and it does not live on a graphics card. */
function stays(candidate: Candidate, { calm, memoryBytes, gpuTotalBytes }: Room): boolean {
  if (calm || candidate.memory.totalBytes <= gpuTotalBytes) return true
  const { ownBytes, reclaimableBytes } = candidate
  if (ownBytes === undefined) return candidate.memory.totalBytes <= memoryBytes + reclaimableBytes
  return ownBytes === 0 || memoryBytes + reclaimableBytes - ownBytes >= 0
}
