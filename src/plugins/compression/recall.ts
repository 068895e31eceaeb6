/**
 * The parts of a session that may stay word for word in a condensed prompt: the newest messages, and what the index
 * finds for the message to answer.
 *
 * @module
 */
import type { AssembleRequest } from '../../chat/context.ts'
import { type Message, textOf } from '../../chat/message.ts'
import type { RecallStore } from '../../chat/recall.ts'
import { type Analysis, analyse, type Sitting, type TextTerms, type Turn, type Whole } from './analysis.ts'
import { DATE_TOKENS } from './layers.ts'
import { relevance } from './relevance.ts'
import type { Remembered } from './remembered.ts'
import { isTelling, questionTerms, termsOf } from './terms.ts'
import { capped, type Unit, unitsOf } from './units.ts'

/** Units with their analysis, index by index. */
export interface Candidates {
  readonly units: readonly Unit[]
  readonly analysis: Analysis
  /** Sitting by unit. */
  readonly dates: readonly string[]
  /** What the message is about. */
  readonly question: string
  /** How much each unit has to do with that. */
  readonly scores: Float64Array
  /** Messages of the session, where that is known. */
  readonly total: number | undefined
}

/** Of a long message its beginning says what it is about, in characters. */
const QUESTION_LENGTH = 4000
/** A pause that begins a new sitting, in ms. */
const PAUSE_MS = 4 * 60 * 60 * 1000
/** Messages that are read for recall: about twice what fits, within these bounds. */
const LEAST_READ = 48
const MOST_READ = 256
/** A short message, in tokens: for how many might fit. */
const SHORT_TOKENS = 50
/** Neighbours that are read on either side of a hit. */
const MOST_AROUND = 16

const date: Intl.DateTimeFormat = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full' })

/**
 * @param newest the newest messages before the one to answer, without a gap
 * @param cost tokens of a unit's messages
 */
export async function candidatesFor(
  request: Pick<AssembleRequest, 'sessionId' | 'message'>,
  newest: readonly Message[],
  budget: number,
  store: RecallStore | undefined,
  remembered: Remembered,
  cost: (messages: readonly Message[]) => number,
): Promise<Candidates> {
  const question = textOf(request.message.parts).slice(0, QUESTION_LENGTH)
  const limit = Math.min(MOST_READ, Math.max(LEAST_READ, Math.ceil((2 * budget) / SHORT_TOKENS)))
  const before = newest[0]?.seq ?? request.message.seq
  const found = await store?.recall({ ...reach(limit), sessionId: request.sessionId, words: tellingWords(question), before })
  const units: Unit[] = []
  const gaps = new Set<number>()
  for (const passage of [...(found?.passages ?? []).map((messages) => messages.map(capped)), newest]) {
    if (units.length > 0) gaps.add(units.length)
    units.push(...unitsOf(passage))
  }
  const { turns, sessions, dates } = describe(units, cost)
  const terms = (_: Turn, index: number): TextTerms => termsOfUnit(units[index]?.messages ?? [], remembered)
  const whole: Whole | undefined = found && { turns: found.total, frequencies: byTerm(found.frequencies) }
  const analysis = analyse({ turns, sessions }, terms, whole, gaps)
  return { units, analysis, dates, question, scores: relevance(analysis, questionTerms(question)), total: found?.total }
}

function reach(limit: number): { readonly limit: number; readonly around: number } {
  return { limit, around: Math.min(MOST_AROUND, Math.floor(limit / 8)) }
}

function describe(
  units: readonly Unit[],
  cost: (messages: readonly Message[]) => number,
): { readonly turns: Turn[]; readonly sessions: Sitting[]; readonly dates: string[] } {
  const sessions: Sitting[] = []
  const dates: string[] = []
  let last: number | undefined
  const turns = units.map(({ messages }): Turn => {
    const time = messages[0]?.time ?? 0
    if (last === undefined || time - last > PAUSE_MS) {
      sessions.push({ header: headerOf(time), tokens: 2 * DATE_TOKENS })
    }
    last = messages.at(-1)?.time ?? time
    dates.push(sessions.at(-1)?.header ?? '')
    return {
      session: sessions.length - 1,
      speaker: messages[0]?.role ?? '',
      // Asked for only where there is no question.
      get text() {
        return textOf(messages[0]?.parts ?? [])
      },
      tokens: cost(messages),
    }
  })
  return { turns, sessions, dates }
}

/** Dates by quarters of an hour, which no time zone divides. Emptied when full. */
const headers: Map<number, string> = new Map()
const QUARTER_MS = 15 * 60 * 1000
const MOST_HEADERS = 10_000

function headerOf(time: number): string {
  if (!Number.isFinite(time) || Math.abs(time) >= 8.64e15) return ''
  const quarter = Math.floor(time / QUARTER_MS)
  const known = headers.get(quarter)
  if (known !== undefined) return known
  const made = `[${date.format(time)}]`
  if (headers.size >= MOST_HEADERS) headers.clear()
  headers.set(quarter, made)
  return made
}

/** Words of a question that say what it is about, as they are written. */
function tellingWords(question: string): string[] {
  return (question.match(/[\p{L}\p{N}\p{M}]+/gu) ?? []).filter((word) => termsOf(word).some(isTelling))
}

function termsOfUnit(messages: readonly Message[], remembered: Remembered): TextTerms {
  const [only] = messages
  if (only && messages.length === 1) return remembered.terms(only)
  const all = messages.map((message) => remembered.terms(message))
  const counts = new Map<string, number>()
  for (const each of all) {
    for (const [at, term] of each.terms.entries()) counts.set(term, (counts.get(term) ?? 0) + (each.counts[at] ?? 0))
  }
  return { terms: [...counts.keys()], counts: [...counts.values()], length: all.reduce((sum, { length }) => sum + length, 0) }
}

/** Words of the index by their stems; of several with one stem the commonest, which has all of them by its own stem. */
function byTerm(frequencies: ReadonlyMap<string, number>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const [word, count] of frequencies) for (const term of termsOf(word)) counts.set(term, Math.max(count, counts.get(term) ?? 0))
  return counts
}
