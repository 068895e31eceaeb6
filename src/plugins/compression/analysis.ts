/**
 * A conversation as the selection sees it: the terms of each turn, and how common they are.
 *
 * @module
 */
import { termsOf } from './terms.ts'

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
  /** Each once; and how often, by its place. Lists, as they are gone through far more often than asked for one term. */
  readonly terms: readonly string[]
  readonly counts: readonly number[]
  /** All terms, repetitions included. */
  readonly length: number
}

/** A turn with its terms. */
export interface AnalysedTurn {
  readonly turn: Turn
  readonly text: TextTerms
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
  /** Where a term stands. Ask for many by {@link Analysis.find} first. */
  turnsWith(term: string): Posting
  /** Looks for several terms at once: each search goes through all turns. */
  find(terms: Iterable<string>): void
}

/** Indices of the turns that have a term in their text or in their speaker's name, ascending; and how often the text has it. */
export interface Posting {
  readonly turns: readonly number[]
  readonly counts: readonly number[]
}

/** Counts the terms of a text. */
export function countTerms(text: string): TextTerms {
  const counts = new Map<string, number>()
  const terms = termsOf(text)
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1)
  return { terms: [...counts.keys()], counts: [...counts.values()], length: terms.length }
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
      const text = terms(turn, index)
      length += text.length
      analysed.push({ turn, text, speaker: speakerTerms(turn.speaker), from, to })
    }
    from = to
  }
  // What is known of the whole goes before; else the share among the turns that are here stands for it.
  const scale = whole && turns.length > 0 ? Math.max(1, whole.turns / turns.length) : 1
  const postings = new Postings(analysed)
  const turnsWith = (term: string): Posting => postings.of(term)
  return {
    conversation,
    turns: analysed,
    headers: conversation.sessions.map(({ header }) => new Set(termsOf(header))),
    meanLength: Math.max(1, length / Math.max(1, turns.length)),
    total: Math.max(whole?.turns ?? 0, turns.length),
    frequency: (term) => whole?.frequencies.get(term) ?? Math.round(turnsWith(term).turns.length * scale),
    turnsWith,
    find: (terms) => postings.find(terms),
  }
}

interface OpenPosting extends Posting {
  readonly turns: number[]
  readonly counts: number[]
}

function note({ turns, counts }: OpenPosting, turn: number, count: number): void {
  turns.push(turn)
  counts.push(count)
}

/** Where terms stand, of those that were asked for. */
class Postings {
  readonly #turns: readonly AnalysedTurn[]
  readonly #found: Map<string, OpenPosting> = new Map()

  constructor(turns: readonly AnalysedTurn[]) {
    this.#turns = turns
  }

  of(term: string): Posting {
    const known = this.#found.get(term)
    if (known) return known
    this.find([term])
    return this.#found.get(term) ?? { turns: [], counts: [] }
  }

  find(terms: Iterable<string>): void {
    const wanted = new Map<string, OpenPosting>()
    for (const term of terms) if (!this.#found.has(term)) wanted.set(term, { turns: [], counts: [] })
    if (wanted.size === 0) return
    for (const [term, posting] of wanted) this.#found.set(term, posting)
    for (const [index, { text, speaker }] of this.#turns.entries()) {
      for (let at = 0; at < text.terms.length; at++) {
        const posting = wanted.get(text.terms[at] ?? '')
        if (posting) note(posting, index, text.counts[at] ?? 0)
      }
      for (const term of speaker) {
        const posting = wanted.get(term)
        if (posting && posting.turns.at(-1) !== index) note(posting, index, 0)
      }
    }
  }
}

/** How much rarer than common a term is (BM25's inverse document frequency). */
export function rarity(total: number, frequency: number): number {
  return Math.log(1 + (total - Math.min(frequency, total) + 0.5) / (frequency + 0.5))
}
