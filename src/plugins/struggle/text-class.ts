/**
 * What a stretch of text is made of: how much repetition is normal in it depends on that.
 *
 * @module
 */
import { hashOf, IDEOGRAPH, NEWLINE, NUMBER, WORD } from './lexer.ts'
import type { RecentUnits } from './recent-units.ts'

/**
 * Sentences; verse and lists of short lines; text between prose and code; code; tables and other data; data without blanks; next to
 * nothing but signs.
 */
export type TextClass = 'prose' | 'verse' | 'mixed' | 'code' | 'data' | 'packed' | 'signs'

/** Fluency from which on text is prose, mixed or code. In 15,000 files no prose that repeats itself is below the first. */
const PROSE_FLUENCY = 0.32
const MIXED_FLUENCY = 0.2
/** Below this no sentence is in it. */
export const CODE_FLUENCY = 0.08
/** Share of units that stand apart, below which data is packed. */
export const APART_SHARE = 0.1
/** With so few different units, or without a word, a stretch says nothing. */
const SIGNS_VARIETY = 5
/** Lines shorter than this, in units, are verses or items of a list. */
const VERSE_UNITS = 24

/** Judges the units from `from` to before `to`, which must be remembered still. */
export function classify(recent: RecentUnits, from: number, to: number): TextClass {
  const fluent = fluency(recent, from, to)
  if (fluent >= PROSE_FLUENCY) return isVerse(recent, from, to) ? 'verse' : 'prose'
  if (fluent >= MIXED_FLUENCY) return 'mixed'
  if (variety(recent, from, to) <= SIGNS_VARIETY || wordShare(recent, from, to) === 0) return 'signs'
  if (fluent >= CODE_FLUENCY) return 'code'
  return apartness(recent, from, to) >= APART_SHARE ? 'data' : 'packed'
}

/** Different units. */
export function variety(recent: RecentUnits, from: number, to: number): number {
  const different = new Set<number>()
  for (let at = from; at < to; at++) different.add(recent.hashAt(at))
  return different.size
}

/** Share of the units from `from` to before `to` that follow a word as in a sentence, 0 to 1: prose has a half, code a tenth. */
export function fluency(recent: RecentUnits, from: number, to: number): number {
  let fluent = 0
  for (let at = from; at < to; at++) if (recent.followsAt(at)) fluent++
  return fluent / Math.max(1, to - from)
}

/** Share of the units that stand apart from the one before, 0 to 1: prose has most, packed data next to none. */
export function apartness(recent: RecentUnits, from: number, to: number): number {
  let apart = 0
  for (let at = from; at < to; at++) if (recent.isApartAt(at)) apart++
  return apart / Math.max(1, to - from)
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
function isVerse(recent: RecentUnits, from: number, to: number): boolean {
  const lines = countLines(recent, from, to)
  return lines > 0 && (to - from) / lines < VERSE_UNITS
}

/** Line breaks. */
export function countLines(recent: RecentUnits, from: number, to: number): number {
  let lines = 0
  for (let at = from; at < to; at++) if (recent.kindAt(at) === NEWLINE) lines++
  return lines
}

const COLON = hashOf(':')

/** Whether there are lines and each has a time of day, as those of logs. */
export function isStamped(recent: RecentUnits, from: number, to: number): boolean {
  let times = 0
  for (let at = from; at < to - 4; at++) if (isTime(recent, at)) times++
  return times > 0 && times >= countLines(recent, from, to)
}

/** `12:34:56` */
function isTime(recent: RecentUnits, at: number): boolean {
  const isColon = (other: number): boolean => recent.hashAt(other) === COLON
  const isNumber = (other: number): boolean => recent.kindAt(other) === NUMBER
  return isNumber(at) && isColon(at + 1) && isNumber(at + 2) && isColon(at + 3) && isNumber(at + 4)
}
