/**
 * How much each turn says, when nobody knows yet what will be asked.
 *
 * Terms that come again but not everywhere, numbers above all, for each token; more where a question is answered, less
 * where one is asked; averaged over neighbours, so that whole passages stay.
 *
 * @module
 */
import type { Analysis } from './analysis.ts'
import { spread } from './neighbours.ts'
import { isTelling } from './terms.ts'

/** Prices, dates and telephone numbers are what people come back for. */
const NUMBER_WEIGHT = 4
const NUMBER = /\p{N}/u
/** A question, by its mark or by the particles of Chinese. */
const QUESTION = /[?？]|[吗呢么]\s*[。！]?\s*$/u
const ASKS = 0.5
const ANSWERS = 1.5
/** Tokens that every turn is taken to be longer, so that "Yes." does not win by being short; and how much length costs. */
const BASE_TOKENS = 4
const LENGTH_POWER = 1.1
/** How much a turn counts by itself beside its passage. */
const OWN = 0.1
/** The end of a conversation is what the recent window holds anyway: the last turn loses so much, the middle nothing. */
const END_DISCOUNT = 0.2

/** Whether a turn ends in a question. */
export function asks(text: string): boolean {
  return QUESTION.test(text)
}

/** Scores by turn. */
export function salience(analysis: Analysis): Float64Array {
  const { turns, total, frequency, find } = analysis
  find(turns.flatMap(({ text }) => text.terms))
  const values = new Map<string, number>()
  const value = (term: string): number => {
    const known = values.get(term)
    if (known !== undefined) return known
    const times = Math.max(1, frequency(term))
    const made = isTelling(term) ? Math.log(1 + total / times) * Math.sqrt(times) * (NUMBER.test(term) ? NUMBER_WEIGHT : 1) : 0
    values.set(term, made)
    return made
  }
  const asking = turns.map(({ turn }) => asks(turn.text))
  const own = Float64Array.from(turns, ({ text, turn, from }, index) => {
    let sum = 0
    for (const term of text.terms) sum += value(term)
    const place = asking[index] ? ASKS : index > from && asking[index - 1] ? ANSWERS : 1
    return (sum * place) / (turn.tokens + BASE_TOKENS) ** LENGTH_POWER
  })
  const around = spread(turns, own, true)
  return around.map((score, index) => (score + OWN * (own[index] ?? 0)) * (1 - END_DISCOUNT * Math.max(0, (2 * index) / turns.length - 1)))
}
