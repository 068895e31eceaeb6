/**
 * How long a finished answer will take: from speeds seen here, else from the bandwidth that reading the weights needs.
 *
 * @module
 */
import type { Candidate, Needs } from '../../chat/policy.ts'
import type { ResourceSample } from '../../chat/resources.ts'
import { answerTokens, type Learned, type ModelExperience } from './learned.ts'
import { activeShare, traitsOf } from './traits.ts'

/** Bytes/s at which weights are read while writing: ordinary memory, and a discrete graphics card. */
const MEMORY_BANDWIDTH = 40e9
const GPU_BANDWIDTH = 400e9
/** Bytes/s at which weights come from the disk, and what a load takes in any case, in s. */
const DISK_BANDWIDTH = 1e9
const LOAD_S = 1
/** A prompt is read so many times faster than an answer is written: it goes through the weights in batches. */
const PREFILL_GAIN = 10
/** Speed where nothing is known of the weights, in tokens/s. */
const UNKNOWN_SPEED = 30
/** Tokens of a usual prompt. */
const PROMPT_TOKENS = 500
/** A model that thinks first writes so many times as much. */
const THINKING = 2.5

/** Time from the loaded model to the end of its answer, in s. */
export function answerSeconds(
  candidate: Candidate,
  needs: Needs,
  { gpus }: ResourceSample,
  learned: Learned,
  seen: ModelExperience,
): number {
  const thinks = candidate.abilities.reasoning || traitsOf(candidate).specialities.has('reasoning')
  const task = needs.task ?? 'chat'
  const tokens = answerTokens(learned, task) * (thinks ? THINKING : 1)
  const perSecond = seen.tokensPerSecond ?? coldSpeed(candidate, gpus, learned.bandwidth)
  const prefill = seen.prefillPerSecond ?? perSecond * PREFILL_GAIN
  return (needs.promptTokens ?? PROMPT_TOKENS) / prefill + tokens / perSecond
}

/** Time to load it, in s; 0 when it is loaded or on another machine. */
export function loadSeconds(candidate: Candidate, { loadMs: ms }: ModelExperience): number {
  if (candidate.loadedContextLength !== undefined || candidate.remote) return 0
  return ms === undefined ? LOAD_S + candidate.memory.weightsBytes / DISK_BANDWIDTH : ms / 1000
}

/** Tokens/s: every token reads all weights, or of mixed experts those that work. */
function coldSpeed(candidate: Candidate, gpus: ResourceSample['gpus'], seenBandwidth: number | undefined): number {
  const { weightsBytes, totalBytes } = candidate.memory
  if (candidate.remote || weightsBytes <= 0) return UNKNOWN_SPEED
  const read = weightsBytes * activeShare(candidate)
  if (seenBandwidth !== undefined) return seenBandwidth / read
  const discrete = gpus.filter((gpu) => !gpu.unified).reduce((sum, gpu) => sum + gpu.totalBytes, 0)
  const share = gpus.some((gpu) => gpu.unified) ? 1 : Math.min(1, discrete / totalBytes)
  return 1 / ((read * share) / GPU_BANDWIDTH + (read * (1 - share)) / MEMORY_BANDWIDTH)
}
