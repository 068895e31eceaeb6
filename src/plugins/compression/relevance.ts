/**
 * How much each turn has to do with a question.
 *
 * BM25 over text, speaker and the sitting's header; spread over neighbours; a bonus for the sittings that match best;
 * and once again with the terms that the best turns have in common with each other.
 *
 * @module
 */
import { type Analysis, rarity, type TextTerms } from './analysis.ts'
import { spread } from './neighbours.ts'
import { isTelling } from './terms.ts'

/** BM25: how soon repetitions stop to count, and how much long turns are held back. */
const K1 = 0.9
const B = 0.4
/** A speaker's name counts as half a mention. */
const SPEAKER = 0.5
/** What a turn gets of the best score in its sitting. */
const SITTING = 0.3
/** Feedback: so many of the best turns give so many terms, at most at this weight. Few, so that it cannot drift. */
const FEEDBACK_TURNS = 5
const FEEDBACK_TERMS = 5
/** Terms whose rarity is looked up for that. */
const FEEDBACK_CANDIDATES = 40
const FEEDBACK_WEIGHT = 0.25
const NOTHING: TextTerms = { terms: [], counts: [], length: 0 }

/** Scores by turn; 0 is nothing in common. @param question weights of its terms */
export function relevance(analysis: Analysis, question: ReadonlyMap<string, number>): Float64Array {
  analysis.find(question.keys())
  const first = once(analysis, question)
  const more = feedback(analysis, first, question)
  return more.size === 0 ? first : once(analysis, new Map([...question, ...more]))
}

function once(analysis: Analysis, weights: ReadonlyMap<string, number>): Float64Array {
  const scores = new Float64Array(analysis.turns.length)
  for (const [term, weight] of weights) {
    addText(analysis, term, weight, scores)
    addHeaders(analysis, term, weight, scores)
  }
  return withSittings(analysis, spread(analysis.turns, scores))
}

function addText({ turns, turnsWith, meanLength, total, frequency }: Analysis, term: string, weight: number, scores: Float64Array): void {
  const rare = weight * rarity(total, frequency(term)) * (K1 + 1)
  const found = turnsWith(term)
  for (const [at, index] of found.turns.entries()) {
    const turn = turns[index]
    if (!turn) continue
    const count = (found.counts[at] ?? 0) + (turn.speaker.has(term) ? SPEAKER : 0)
    scores[index] = (scores[index] ?? 0) + (rare * count) / (count + K1 * (1 - B + (B * turn.text.length) / meanLength))
  }
}

function addHeaders({ turns, headers }: Analysis, term: string, weight: number, scores: Float64Array): void {
  const frequency = headers.filter((header) => header.has(term)).length
  if (frequency === 0 || headers.length < 2) return
  const rare = weight * rarity(headers.length, frequency)
  for (const [index, { turn }] of turns.entries()) if (headers[turn.session]?.has(term)) scores[index] = (scores[index] ?? 0) + rare
}

function withSittings({ turns, conversation }: Analysis, scores: Float64Array): Float64Array {
  if (conversation.sessions.length < 2) return scores
  const best = new Float64Array(conversation.sessions.length)
  for (const [index, { turn }] of turns.entries()) best[turn.session] = Math.max(best[turn.session] ?? 0, scores[index] ?? 0)
  return scores.map((score, index) => score + SITTING * (best[turns[index]?.turn.session ?? 0] ?? 0))
}

function feedback(analysis: Analysis, scores: Float64Array, known: ReadonlyMap<string, number>): Map<string, number> {
  const { turns, total, frequency, turnsWith, find } = analysis
  const weights = new Map<string, number>()
  for (const index of best(scores, FEEDBACK_TURNS)) {
    const score = scores[index] ?? 0
    const { terms, counts } = turns[index]?.text ?? NOTHING
    for (const [at, term] of terms.entries()) {
      const count = counts[at] ?? 0
      if (!known.has(term) && isTelling(term)) weights.set(term, (weights.get(term) ?? 0) + score * (count / (count + 1)))
    }
  }
  const byValue = ([a, x]: readonly [string, number], [b, y]: readonly [string, number]): number => y - x || (a < b ? -1 : 1)
  const candidates = [...weights].sort(byValue).slice(0, FEEDBACK_CANDIDATES)
  find(candidates.map(([term]) => term))
  const top = candidates
    // A term of one turn only leads nowhere else.
    .filter(([term]) => turnsWith(term).turns.length > 1)
    .map(([term, weight]): [string, number] => [term, weight * Math.log(Math.max(1, total / Math.max(1, frequency(term))))])
    .sort(byValue)
    .slice(0, FEEDBACK_TERMS)
  const most = top[0]?.[1] ?? 0
  return most > 0 ? new Map(top.map(([term, gain]) => [term, (FEEDBACK_WEIGHT * gain) / most])) : new Map()
}

/** Indices of the highest scores above 0, highest first; of equal ones the later turn. */
function best(scores: Float64Array, count: number): number[] {
  const top: number[] = []
  for (const [index, score] of scores.entries()) {
    if (score <= 0 || (top.length === count && score < (scores[top[count - 1] ?? 0] ?? 0))) continue
    const place = top.findIndex((other) => (scores[other] ?? 0) <= score)
    top.splice(place < 0 ? top.length : place, 0, index)
    top.length = Math.min(top.length, count)
  }
  return top
}
