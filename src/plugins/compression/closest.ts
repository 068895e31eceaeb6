/**
 * Which of the quotes stands next to the message: the exchange that has most to do with it.
 *
 * Small models answer from what they read last, and go on in the manner of what surrounds it. Of the cases of
 * `bench:recall`, SmolLM2 135M answered three in ten where the fact began a block of quotes, seven where it ended the
 * block, and nine where it stood behind it under a header of its own.
 *
 * @module
 */
import type { Analysis } from './analysis.ts'
import { asks } from './salience.ts'

/** Of what is less to the point than so much of the best, nothing is set apart. */
const LEAST_SHARE = 0.5
/** From so much of the best on, the newest counts: what was said later holds. A neighbour has less than that by itself. */
const AS_GOOD = 0.8

/**
 * The most relevant of the quoted turns with the one it answers, the one that answers it, and where that asks, what it
 * was told; ascending. Empty where the message has nothing in common with them, or much more with what is not quoted.
 *
 * @param scores of relevance, by turn
 * @param quoted indices of turns, ascending
 */
export function closestTo(analysis: Analysis, scores: Float64Array, quoted: readonly number[]): number[] {
  const best = (indices: Iterable<number>): number => {
    let most = 0
    for (const index of indices) most = Math.max(most, scores[index] ?? 0)
    return most
  }
  const most = best(quoted)
  if (most === 0 || most < LEAST_SHARE * best(scores.keys())) return []
  const peak = quoted.findLast((index) => (scores[index] ?? 0) >= AS_GOOD * most) ?? 0
  const { from, to, turn } = analysis.turns[peak] ?? { from: 0, to: 0, turn: undefined }
  const answers = turn?.speaker === 'assistant'
  const first = answers ? peak - 1 : peak
  const last = answers && !asks(turn.text) ? peak : peak + 1
  return quoted.filter((index) => index >= Math.max(first, from) && index <= Math.min(last, to - 1))
}
