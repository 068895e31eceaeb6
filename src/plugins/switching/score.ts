/**
 * How good a model is for this machine: capability, less the wait for an answer.
 *
 * @module
 */
import type { Candidate } from '../../chat/policy.ts'
import type { ResourceSample } from '../../chat/resources.ts'

/** Bytes/s at which weights are read while writing: ordinary memory, and a discrete graphics card. */
const MEMORY_BANDWIDTH = 40e9
const GPU_BANDWIDTH = 400e9
/** Tokens of a usual answer. */
const ANSWER_TOKENS = 300
/** A wait for a whole answer that nobody minds, in seconds. */
const COMFORTABLE_S = 20
/** Loss for each doubling of the wait beyond that; a doubling of parameters gains 1. */
const WAIT_WEIGHT = 1.2
/** Loss for a model that must be loaded first. */
const LOAD_COST = 1

/** Higher is better. Writing speed is bound by reading all weights once a token. */
export function score(candidate: Candidate, { gpus }: ResourceSample): number {
  const weights = candidate.memory.weightsBytes
  const onGpu = gpus.some((gpu) => gpu.unified || gpu.totalBytes >= candidate.memory.totalBytes)
  const seconds = (ANSWER_TOKENS * weights) / (onGpu ? GPU_BANDWIDTH : MEMORY_BANDWIDTH)
  const wait = WAIT_WEIGHT * Math.max(0, Math.log2(Math.max(seconds, 1e-9) / COMFORTABLE_S))
  return quality(candidate) - wait - (candidate.loadedContextLength === undefined ? LOAD_COST : 0)
}

/** A prior in doublings of parameters, with a little for finer quantisation. */
function quality({ quality: configured, parameters, memory, quantisationBits }: Candidate): number {
  const bits = quantisationBits ?? 4.5
  const billions = configured ?? (parameters ?? (memory.weightsBytes * 8) / bits) / 1e9
  return Math.log2(1 + 8 * Math.max(0, billions)) + 0.1 * (Math.min(bits, 8) - 4)
}
