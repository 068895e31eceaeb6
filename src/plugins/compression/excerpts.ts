/**
 * Excerpts of what lies just before the recent messages: the sentences that say most, word for word. They stand where
 * the ledger will, until a model has written one.
 *
 * Greedy: each step takes the sentence with the rarest terms not yet covered, numbers above all, for its length. They are
 * taken anew only when the recent part has moved on by some messages, so that the head of the prompt stays the same.
 *
 * @module
 */
import { concernsInstructions } from '../../chat/instructions.ts'
import type { Message } from '../../chat/message.ts'
import { textOf } from '../../chat/message.ts'
import type { Tail } from './history.ts'
import { isTelling, termsOf } from './terms.ts'
import type { TokenEstimator } from './tokens.ts'

const HEADER = 'Earlier in this conversation (excerpts, word for word):'
/** Longest sentence considered, in characters; and shortest. */
const LONGEST = 400
const SHORTEST = 4
/** Sentences considered at most, the newest. */
const MOST_SENTENCES = 400
/** Messages that they are taken from. */
const MESSAGES = 96
/** `seq` by which the recent part has to move on, and steps of the budget, in o200k tokens. */
const STEP = 64
const BUDGET_STEP = 32
/** Excerpts remembered. */
const MOST_KEPT = 32
const NUMBER = /\p{N}/u
const NUMBER_WEIGHT = 2
/** So much a sentence is taken to be longer, in o200k tokens. */
const BASE = 4

interface Sentence {
  readonly position: number
  readonly line: string
  readonly terms: readonly string[]
  readonly cost: number
}

/** Messages before the recent ones that are to be at hand, so that the same are chosen from until the next step. */
export const EXCERPT_MESSAGES: number = MESSAGES + STEP

/** Makes excerpts, and remembers the last ones. */
export class Excerpts {
  readonly #tokens: TokenEstimator
  readonly #made: Map<string, string> = new Map()

  constructor(tokens: TokenEstimator) {
    this.#tokens = tokens
  }

  /** Lines under their header, together at most `budget` o200k tokens; empty where there is nothing or no room. */
  of(sessionId: string, { messages, older }: Pick<Tail, 'messages' | 'older'>, budget: number): string {
    const from = messages[0]?.seq ?? Number.POSITIVE_INFINITY
    const edge = Number.isFinite(from) ? Math.floor(from / STEP) * STEP : from
    const room = Math.floor(budget / BUDGET_STEP) * BUDGET_STEP - this.#tokens.raw(HEADER)
    const settled = older.filter(({ seq }) => seq < edge)
    const chosen = (settled.length > 0 ? settled : older).slice(-MESSAGES)
    const key = `${sessionId} ${room} ${chosen[0]?.id ?? ''} ${chosen.at(-1)?.id ?? ''}`
    const known = this.#made.get(key)
    if (known !== undefined) return known
    const lines = excerpts(chosen, room, (line) => this.#tokens.raw(line) + 1)
    const text = lines.length === 0 ? '' : [HEADER, ...lines].join('\n')
    this.#made.set(key, text)
    const [oldest] = this.#made.keys()
    if (this.#made.size > MOST_KEPT && oldest !== undefined) this.#made.delete(oldest)
    return text
  }
}

/** Lines `speaker: sentence` in their old order, together at most `budget`. @param cost of a line */
function excerpts(messages: readonly Message[], budget: number, cost: (line: string) => number): string[] {
  if (budget <= 0) return []
  const sentences = messages
    .flatMap(split)
    .slice(-MOST_SENTENCES)
    .map((line, position): Sentence => ({ position, line, terms: [...new Set(termsOf(line))].filter(isTelling), cost: cost(line) }))
  const frequency = new Map<string, number>()
  for (const { terms } of sentences) for (const term of terms) frequency.set(term, (frequency.get(term) ?? 0) + 1)
  const weight = (term: string): number =>
    Math.log(1 + sentences.length / (frequency.get(term) ?? 1)) * (NUMBER.test(term) ? NUMBER_WEIGHT : 1)
  const covered = new Set<string>()
  const value = ({ terms, cost: tokens }: Sentence): number =>
    terms.reduce((sum, term) => sum + (covered.has(term) ? 0 : weight(term)), 0) / (tokens + BASE)

  // Values only fall as terms are covered: who still leads after being valued anew is the best.
  const queue = sentences.map((sentence) => ({ sentence, worth: value(sentence) })).sort((a, b) => a.worth - b.worth)
  const chosen: Sentence[] = []
  let room = budget
  for (let top = queue.pop(); top; top = queue.pop()) {
    if (top.sentence.cost > room) continue
    const worth = value(top.sentence)
    if (worth <= 0) continue
    if (worth < (queue.at(-1)?.worth ?? 0)) {
      queue.splice(placeOf(queue, worth), 0, { sentence: top.sentence, worth })
      continue
    }
    chosen.push(top.sentence)
    room -= top.sentence.cost
    for (const term of top.sentence.terms) covered.add(term)
  }
  return chosen.sort((a, b) => a.position - b.position).map(({ line }) => line)
}

function placeOf(queue: readonly { readonly worth: number }[], worth: number): number {
  let [low, high] = [0, queue.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((queue[middle]?.worth ?? 0) < worth) low = middle + 1
    else high = middle
  }
  return low
}

function split({ role, parts }: Message): string[] {
  if (role !== 'user' && role !== 'assistant') return []
  const lines = new Set<string>()
  for (const sentence of textOf(parts).split(/(?<=[.!?。！？])\s*|\n+/u)) {
    const text = sentence
      .trim()
      .slice(0, LONGEST)
      .replace(/[\ud800-\udbff]$/, '')
    // Instructions are pinned while they hold; afterwards they are better not repeated.
    if (text.length >= SHORTEST && !concernsInstructions({ role, parts: [{ type: 'text', text }] }))
      lines.add(`${role === 'assistant' ? 'Assistant' : 'User'}: ${text}`)
  }
  return [...lines]
}
