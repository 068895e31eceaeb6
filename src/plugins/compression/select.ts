/**
 * Which turns stay word for word: the one selection behind every condensed prompt, and what `bench:context` measures.
 *
 * @module
 */
import { type Analysis, rarity } from './analysis.ts'
import { relevance } from './relevance.ts'
import { salience } from './salience.ts'
import { questionTerms } from './terms.ts'

/** The newest turns that stay whatever is asked, and the most they may take of the budget together. */
const LAST_TURNS = 2
const LAST_SHARE = 0.25
/** So many fully rare terms found in the conversation, and a question stands on its own: then nothing is kept for being recent. */
const SURE_TERMS = 1
/** Less than this share of the best score is noise: what is recent is worth more. */
const GATE = 0.05

/**
 * Indices of the turns to keep, ascending, together with the headers of their sittings at most `budget` tokens.
 *
 * With a question: the last exchange, recent turns (the more, the less of the question is found), then what is relevant,
 * then again what is recent. Without one: what says most for its length.
 *
 * @param scores of relevance to the question by turn, where they are known
 */
export function selectTurns(analysis: Analysis, budget: number, question?: string, scores?: Float64Array): number[] {
  const selection = new Selection(analysis, budget)
  if (question === undefined) {
    selection.takeBest(salience(analysis), 0)
    return selection.indices()
  }
  const terms = questionTerms(question)
  selection.takeNewest(budget * LAST_SHARE, LAST_TURNS)
  selection.takeNewest(budget * recentShare(analysis, terms))
  selection.takeBest(scores ?? relevance(analysis, terms), GATE)
  selection.takeNewest(budget)
  return selection.indices()
}

/** From 1, when nothing of the question is found, to 0, when it stands on its own. */
function recentShare({ total, turnsWith, find, frequency, headers }: Analysis, question: ReadonlyMap<string, number>): number {
  const most = rarity(total, 1)
  let found = 0
  find(question.keys())
  for (const [term, weight] of question) {
    if (turnsWith(term).turns.length > 0) found += (weight * rarity(total, frequency(term))) / most
    else if (headers.some((header) => header.has(term))) found += weight
  }
  return Math.max(0, 1 - found / SURE_TERMS)
}

class Selection {
  readonly #analysis: Analysis
  readonly #kept: Set<number> = new Set()
  readonly #sittings: Set<number> = new Set()
  #left: number
  readonly #budget: number

  constructor(analysis: Analysis, budget: number) {
    this.#analysis = analysis
    this.#budget = budget
    this.#left = budget
  }

  indices(): number[] {
    return [...this.#kept].sort((a, b) => a - b)
  }

  /** Goes back from the newest turn until `most` tokens are spent in all, or a turn does not fit. */
  takeNewest(most: number, turns: number = Number.POSITIVE_INFINITY): void {
    const { length } = this.#analysis.turns
    for (let index = length - 1; index >= 0 && length - index <= turns; index--) {
      if (this.#kept.has(index)) continue
      if (this.#budget - this.#left + this.#cost(index) > most || !this.#take(index)) return
    }
  }

  /** Takes what fits, highest score first, of equal ones the newer. @param gate share of the best score below which nothing is taken */
  takeBest(scores: Float64Array, gate: number): void {
    const least = gate * scores.reduce((most, score) => Math.max(most, score), 0)
    const worthy = [...scores.keys()].filter((index) => (scores[index] ?? 0) > 0 && (scores[index] ?? 0) >= least)
    for (const index of worthy.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || b - a)) this.#take(index)
  }

  #cost(index: number): number {
    const turn = this.#analysis.turns[index]?.turn
    if (!turn) return 0
    const header = this.#sittings.has(turn.session) ? 0 : (this.#analysis.conversation.sessions[turn.session]?.tokens ?? 0)
    return turn.tokens + header
  }

  #take(index: number): boolean {
    const cost = this.#cost(index)
    const turn = this.#analysis.turns[index]?.turn
    if (!turn || cost > this.#left) return false
    if (this.#kept.has(index)) return true
    this.#left -= cost
    this.#kept.add(index)
    this.#sittings.add(turn.session)
    return true
  }
}
