/**
 * What of a model's answer becomes facts: only what the cited messages bear out.
 *
 * @module
 */
import { z } from 'zod'
import { type Batch, LONGEST_FACT } from './batch.ts'
import { coverage, termsOf } from './terms.ts'

/** A fact with the messages that bear it out. */
export interface AcceptedFact {
  readonly text: string
  readonly sources: readonly string[]
}

/** What came of an answer. */
export type Verdict =
  | { readonly ok: true; readonly facts: readonly AcceptedFact[]; readonly refused: number }
  /** Nothing of it is used. */
  | { readonly ok: false; readonly why: 'unreadable' | 'inflated' | 'unfounded' }

/**
 * Share of a fact's terms that a cited message or its neighbours must have. At 0.4, 1.3 % of the sentences about another
 * meeting pass that cite up to four messages of this one (QMSum, validation), and nearly all that say what was said.
 */
const FOUNDED = 0.4
/**
 * The same for a message that the model did not name, which must then bear the fact out by itself: small models name badly.
 * Of the sentences about another meeting, none of 742 passes in a batch of twelve messages.
 */
const PLAIN = 0.8
/** What a chat template could take for its own marks. */
const MARKS = /<\||\|>|<\/?s>|\[\/?INST\]|<\/?(?:system|user|assistant)>/i

const answer = z.object({ facts: z.array(z.object({ fact: z.string(), messages: z.array(z.number()) })) })

/** Reads an answer about a batch. Pure. */
export function accept(text: string, batch: Batch): Verdict {
  const parsed = parse(text)
  if (!parsed) return { ok: false, why: 'unreadable' }
  const chars = parsed.reduce((sum, { fact }) => sum + fact.length, 0)
  // Notes that are no shorter than what they are about save nothing.
  if (chars >= batch.chars) return { ok: false, why: 'inflated' }
  const terms = batch.entries.map((entry) => termsOf(entry.text))
  const facts: AcceptedFact[] = []
  for (const { fact, messages } of parsed) {
    const line = cleaned(fact)
    const cited = messages.map((number) => number - 1).filter((index) => batch.entries[index] !== undefined)
    const sources = line === undefined ? [] : sourcesOf(termsOf(line), cited, terms)
    if (line !== undefined && sources.length > 0 && !facts.some((other) => other.text === line)) {
      facts.push({ text: line, sources: [...new Set(sources)].map((index) => batch.entries[index]?.id ?? '') })
    }
  }
  if (parsed.length > 0 && facts.length === 0) return { ok: false, why: 'unfounded' }
  return { ok: true, facts, refused: parsed.length - facts.length }
}

/** The cited messages that bear a fact out; where none does, the one of all that says it plainly. */
function sourcesOf(fact: ReadonlySet<string>, cited: readonly number[], terms: readonly ReadonlySet<string>[]): number[] {
  // One word is no fact.
  if (fact.size < 2) return []
  const founded = cited.filter((index) => {
    const around = new Set([terms[index - 1], terms[index], terms[index + 1]].flatMap((set) => [...(set ?? [])]))
    return coverage(fact, around) >= FOUNDED
  })
  if (founded.length > 0) return founded
  const plainly = terms.findIndex((each) => coverage(fact, each) >= PLAIN)
  return plainly < 0 ? [] : [plainly]
}

/** One line without control characters; undefined for what is too long, or could pass for more than a sentence. */
function cleaned(fact: string): string | undefined {
  const line = fact
    .replace(/[\p{C}\s]+/gu, ' ')
    .replace(/^[-*•\s]+/, '')
    .trim()
  return line === '' || line.length > LONGEST_FACT || MARKS.test(line) ? undefined : line
}

/** A backend that knows no schema may put words or a fence around the JSON. */
function parse(text: string): z.infer<typeof answer>['facts'] | undefined {
  const [from, to] = [text.indexOf('{'), text.lastIndexOf('}')]
  if (from < 0 || to < from) return undefined
  try {
    const result = answer.safeParse(JSON.parse(text.slice(from, to + 1)))
    return result.success ? result.data.facts : undefined
  } catch {
    // Cut off in the middle, or no JSON at all.
    return undefined
  }
}
