/**
 * A conversation as the selection sees it: the terms of each turn, and how common they are.
 *
 * @module
 */
import { termsOf } from './terms.ts'

/** Terms that are looked for one by one before an index is worth it. */
const MOST_LOOKED_FOR = 64

/** One turn. */
export interface Turn {
  /** Index of its sitting in {@link Conversation.sessions}. */
  readonly session: number
  readonly speaker: string
  readonly text: string
  /** What it costs to keep, in tokens. */
  readonly tokens: number
}

/** Turns that belong together by time. */
export interface Sitting {
  /** Stands before its turns, in the prompt too; mostly a date. */
  readonly header: string
  /** What the header costs, in tokens. */
  readonly tokens: number
}

/** A whole conversation, or the parts of a longer one that may matter. */
export interface Conversation {
  readonly turns: readonly Turn[]
  readonly sessions: readonly Sitting[]
}

/** What the whole of a conversation is like, of which only parts are looked at. */
export interface Whole {
  /** All its turns. */
  readonly turns: number
  /** How many of them have a term, where that is known. */
  readonly frequencies: ReadonlyMap<string, number>
}

/** The terms of a text. */
export interface TextTerms {
  readonly counts: ReadonlyMap<string, number>
  /** All terms, repetitions included. */
  readonly length: number
}

/** A turn with its terms. */
export interface AnalysedTurn extends TextTerms {
  readonly turn: Turn
  readonly speaker: ReadonlySet<string>
  /** First and behind-last index of the turns without a gap around it. */
  readonly from: number
  readonly to: number
}

/** A conversation with its terms. */
export interface Analysis {
  readonly conversation: Conversation
  readonly turns: readonly AnalysedTurn[]
  /** Terms of each sitting's header. */
  readonly headers: readonly ReadonlySet<string>[]
  readonly meanLength: number
  /** Turns that a term's rarity is judged by, and how many of them have it. */
  readonly total: number
  frequency(term: string): number
  /** Indices of the turns that have a term in their text or in their speaker's name. */
  turnsWith(term: string): readonly number[]
}

/** Counts the terms of a text. */
export function countTerms(text: string): TextTerms {
  const counts = new Map<string, number>()
  const terms = termsOf(text)
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1)
  return { counts, length: terms.length }
}

/**
 * @param terms of a turn's text; replaced where they are remembered
 * @param gaps indices of turns before which something was left out
 */
export function analyse(
  conversation: Conversation,
  terms: (turn: Turn, index: number) => TextTerms = (turn) => countTerms(turn.text),
  whole?: Whole,
  gaps: ReadonlySet<number> = new Set(),
): Analysis {
  const { turns } = conversation
  const speakers = new Map<string, ReadonlySet<string>>()
  const speakerTerms = (name: string): ReadonlySet<string> => {
    const known = speakers.get(name) ?? new Set(termsOf(name))
    speakers.set(name, known)
    return known
  }
  const analysed: AnalysedTurn[] = []
  let length = 0
  for (let from = 0; from < turns.length; ) {
    let to = from + 1
    while (to < turns.length && turns[to]?.session === turns[from]?.session && !gaps.has(to)) to++
    for (let index = from; index < to; index++) {
      const turn = turns[index]
      if (!turn) continue
      const counted = terms(turn, index)
      const speaker = speakerTerms(turn.speaker)
      length += counted.length
      analysed.push({ ...counted, turn, speaker, from, to })
    }
    from = to
  }
  // What is known of the whole goes before; else the share among the turns that are here stands for it.
  const scale = whole && turns.length > 0 ? Math.max(1, whole.turns / turns.length) : 1
  const turnsWith = postings(analysed)
  return {
    conversation,
    turns: analysed,
    headers: conversation.sessions.map(({ header }) => new Set(termsOf(header))),
    meanLength: Math.max(1, length / Math.max(1, turns.length)),
    total: Math.max(whole?.turns ?? 0, turns.length),
    frequency: (term) => whole?.frequencies.get(term) ?? Math.round(turnsWith(term).length * scale),
    turnsWith,
  }
}

/** A few terms are looked for in each turn; whoever asks for many gets an index of all. */
function postings(turns: readonly AnalysedTurn[]): (term: string) => readonly number[] {
  const lists = new Map<string, number[]>()
  let complete = false
  return (term) => {
    const known = lists.get(term)
    if (known || complete) return known ?? []
    if (lists.size < MOST_LOOKED_FOR) {
      const list = [...turns.keys()].filter((index) => turns[index]?.counts.has(term) || turns[index]?.speaker.has(term))
      lists.set(term, list)
      return list
    }
    lists.clear()
    for (const [index, { counts, speaker }] of turns.entries()) {
      for (const each of counts.keys()) post(lists, each, index)
      for (const each of speaker) if (!counts.has(each)) post(lists, each, index)
    }
    complete = true
    return lists.get(term) ?? []
  }
}

function post(lists: Map<string, number[]>, term: string, index: number): void {
  const list = lists.get(term)
  if (list) list.push(index)
  else lists.set(term, [index])
}

/** How much rarer than common a term is (BM25's inverse document frequency). */
export function rarity(total: number, frequency: number): number {
  return Math.log(1 + (total - Math.min(frequency, total) + 0.5) / (frequency + 0.5))
}
