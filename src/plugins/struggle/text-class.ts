/**
 * What a stretch of text is made of: how much repetition is normal in it depends on that.
 *
 * @module
 */
import { IDEOGRAPH, NEWLINE, WORD } from './lexer.ts'
import type { RecentUnits } from './recent-units.ts'

/** Sentences; verse and lists of short lines; text between prose and code; code; tables and other data; next to nothing but signs. */
export type TextClass = 'prose' | 'verse' | 'mixed' | 'code' | 'data' | 'signs'

/** Fluency from which on text is prose, mixed or code. In 15,000 files no prose that repeats itself is below the first. */
const PROSE_FLUENCY = 0.32
const MIXED_FLUENCY = 0.2
const CODE_FLUENCY = 0.08
/** With so few different units, or without a word, a stretch says nothing. */
const SIGNS_VARIETY = 4
/** Lines shorter than this, in units, are verses or items of a list. */
const VERSE_UNITS = 24

/** Judges the units from `from` to before `to`, which must be remembered still. */
export function classify(recent: RecentUnits, from: number, to: number): TextClass {
  const fluent = fluency(recent, from, to)
  if (fluent >= PROSE_FLUENCY) return isVerse(recent, from, to) ? 'verse' : 'prose'
  if (fluent >= MIXED_FLUENCY) return 'mixed'
  const different = new Set<number>()
  for (let at = from; at < to && different.size <= SIGNS_VARIETY; at++) different.add(recent.hashAt(at))
  if (different.size <= SIGNS_VARIETY || wordShare(recent, from, to) === 0) return 'signs'
  return fluent >= CODE_FLUENCY ? 'code' : 'data'
}

/** Share of the units from `from` to before `to` that follow a word as in a sentence, 0 to 1: prose has a half, code a tenth. */
export function fluency(recent: RecentUnits, from: number, to: number): number {
  let fluent = 0
  for (let at = from; at < to; at++) if (recent.followsAt(at)) fluent++
  return fluent / Math.max(1, to - from)
}

/** Share of words, 0 to 1. */
export function wordShare(recent: RecentUnits, from: number, to: number): number {
  let words = 0
  for (let at = from; at < to; at++) {
    const kind = recent.kindAt(at)
    if (kind === WORD || kind === IDEOGRAPH) words++
  }
  return words / Math.max(1, to - from)
}

/** Whether the text is broken into short lines: refrains and lists repeat themselves more than sentences do. */
export function isVerse(recent: RecentUnits, from: number, to: number): boolean {
  const lines = countLines(recent, from, to)
  return lines > 0 && (to - from) / lines < VERSE_UNITS
}

/** Line breaks. */
export function countLines(recent: RecentUnits, from: number, to: number): number {
  let lines = 0
  for (let at = from; at < to; at++) if (recent.kindAt(at) === NEWLINE) lines++
  return lines
}
