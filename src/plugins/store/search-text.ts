/**
 * What of a message is indexed, and how a person's words become a query. Both cut text alike.
 *
 * @module
 */
import type { Part } from '../../chat/message.ts'

/** Words written without spaces: each sign is a token of its own, and a query looks for pairs of them. */
const IDEOGRAPH = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu
const WORD = /[\p{L}\p{N}\p{M}]+/gu
const IDEOGRAPH_RUN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+|[^\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu
/** What is no word here is none in the index either: SQLite's own idea of a letter is that of an older Unicode. */
const NO_WORD = /[^\p{L}\p{N}\p{M}]+/gu

/** More words cost time and find little more; the longest say most. */
export const MAX_TERMS = 16

/** Text of a message for the index: what was said, asked of tools and answered by them; neither images nor reasoning. */
export function indexText(parts: readonly Part[]): string {
  const texts = parts.flatMap((part) => {
    switch (part.type) {
      case 'text':
      case 'tool-result':
        return [part.text]
      case 'tool-call':
        return [part.name, part.arguments]
      default:
        return []
    }
  })
  // SQLite folds the case of fewer letters than a query here does.
  return texts.join('\n').toLowerCase().replace(NO_WORD, ' ').replace(IDEOGRAPH, ' $& ')
}

/** Stands in the index for a session. */
export function placeToken(session: number): string {
  return `s${session}`
}

/** A full-text query for terms, in one session or in all. */
export function inBody(terms: string, session?: number): string {
  return session === undefined ? `body : (${terms})` : `body : (${terms}) AND place : ${placeToken(session)}`
}

/** The words of a query, the longest first, so many at most. Each is quoted for a full-text query, so nothing in it is syntax. */
export function queryTerms(query: string, most: number = MAX_TERMS): string[] {
  const terms = new Set<string>()
  for (const [word] of query.toLowerCase().matchAll(WORD)) {
    for (const [run] of word.matchAll(IDEOGRAPH_RUN)) for (const term of termsOf(run)) terms.add(`"${term}"`)
  }
  return [...terms].sort((a, b) => b.length - a.length).slice(0, most)
}

function termsOf(run: string): string[] {
  const signs = run.match(IDEOGRAPH)
  if (!signs) return [run]
  if (signs.length === 1) return signs
  return signs.slice(1).map((sign, index) => `${signs[index]} ${sign}`)
}
