/**
 * Cuts text into the terms that turns are compared by: stems, and pairs of signs where words have no spaces between.
 *
 * Close to what the search index does, so that what is scored here is what can be found there.
 *
 * @module
 */
import { stemmer } from 'stemmer'

const WORD = /[\p{L}\p{N}\p{M}]+/gu
/** Scripts without spaces between words. */
const IDEOGRAPH = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u
const RUN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+|[^\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu
const ACCENT = /[\u0300-\u036f]/g
const ASCII_WORD = /^[a-z]+$/

/** Stems by word: stemming is the slow part, and people repeat themselves. Emptied when full. */
const stems: Map<string, string> = new Map()
const MOST_STEMS = 20_000

/** Words that say nothing about what is asked. */
const FUNCTION_WORDS: ReadonlySet<string> = words(
  `a an the and or but if then so of in on at to for from by with about into over after before between through during without within
   is are was were be been being am do does did doing done have has had having can could will would shall should may might must
   i me my mine we us our you your yours he him his she her hers it its they them their theirs this that these those there here
   what which who whom whose when where why how not no nor than too very just also as up down out off again once all any both each few
   more most other some such only own same s t don re ve ll m d`,
)
/** Words about talking: they stand in questions about a talk, seldom in the talk's own subject. */
const TALK_WORDS: ReadonlySet<string> = words(
  `say said says tell told talk talked talking discuss discussed discussing discussion mention mentioned speak spoke ask asked answer
   summarize summarise summary describe explain think thought thinks opinion opinions group meeting conversation attitude towards
   regarding concerning view views`,
)
const TALK_WEIGHT = 0.3

/** Terms in their order, with repetitions. */
export function termsOf(text: string): string[] {
  const terms: string[] = []
  for (const [word] of normal(text).matchAll(WORD)) {
    if (!IDEOGRAPH.test(word)) terms.push(stem(word))
    else for (const [run] of word.matchAll(RUN)) addRun(run, terms)
  }
  return terms
}

function addRun(run: string, terms: string[]): void {
  if (!IDEOGRAPH.test(run)) {
    terms.push(stem(run))
    return
  }
  const signs = [...run]
  if (signs.length === 1) terms.push(run)
  for (let at = 1; at < signs.length; at++) terms.push(`${signs[at - 1]}${signs[at]}`)
}

/** Each term of a question once, by how much it says about what is asked. */
export function questionTerms(text: string): Map<string, number> {
  const weights = new Map<string, number>()
  for (const term of termsOf(text)) if (!FUNCTION_WORDS.has(term)) weights.set(term, TALK_WORDS.has(term) ? TALK_WEIGHT : 1)
  return weights
}

/** Whether a term says something about a subject. */
export function isTelling(term: string): boolean {
  return !FUNCTION_WORDS.has(term) && !TALK_WORDS.has(term)
}

/** A word of the index as a term. */
function stem(word: string): string {
  // Porter's rules are for English; other words stay as they are, as they do in the index.
  if (!ASCII_WORD.test(word)) return word
  const known = stems.get(word)
  if (known !== undefined) return known
  if (stems.size >= MOST_STEMS) stems.clear()
  const made = stemmer(word)
  stems.set(word, made)
  return made
}

function normal(text: string): string {
  // Most text is ASCII and has no accents to take off.
  const lower = text.toLowerCase()
  for (let at = 0; at < lower.length; at++)
    if (lower.charCodeAt(at) > 0xbf) return lower.normalize('NFD').replace(ACCENT, '').normalize('NFC')
  return lower
}

function words(list: string): ReadonlySet<string> {
  return new Set(list.trim().split(/\s+/).map(stem))
}
