/**
 * What an answer is worth: its quality, less the wait.
 *
 * @module
 */
import type { TaskKind } from '../policy.ts'
import type { TraceModel } from './trace.ts'

/** A wait for a whole answer that nobody minds, in s. */
const COMFORTABLE_S = 20
/** Loss for each doubling of the wait beyond that, in doublings of parameters. */
const WAIT_LOSS = 1.2
/** Doublings that halve what is missing to a perfect answer. */
const HALVING = 4

/**
 * From 0 (none) towards 1 (perfect), with diminishing returns: quality − λ · time, as the design of the policy has it.
 * @param seconds from the message to the end of the answer
 */
export function worthOf(model: TraceModel, task: TaskKind, seconds: number): number {
  const quality = model.qualityFor?.[task] ?? model.quality
  const net = quality - WAIT_LOSS * Math.max(0, Math.log2(seconds / COMFORTABLE_S))
  return 1 - 2 ** (-Math.max(0, net) / HALVING)
}

/** Time to read the prompt and write the answer, in s. */
export function writingSeconds(model: TraceModel, promptTokens: number, answerTokens: number): number {
  return promptTokens / model.prefillPerSecond + (answerTokens * (model.reasoning ? 2.5 : 1)) / model.tokensPerSecond
}

/** Slower by so much while memory is exceeded and the system swaps. */
export const SWAPPING = 5
