/**
 * One line of the log, before it is written: redacted, bounded, plain data.
 *
 * @module
 */
import type { EventType, MaiEvents } from '../../core/events.ts'
import { isSecretKey, REDACTED, redactText } from './neutral.ts'

/** From chatty to grave. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** What a line says beside level, time and event. */
export interface LogLine {
  readonly level: LogLevel
  /** For people. */
  readonly msg: string
  /** For programs: ids and numbers. */
  readonly fields?: Readonly<Record<string, unknown>>
}

/** Makes the line of an event; undefined: not worth one. */
export type Describe<T extends EventType> = (payload: MaiEvents[T]) => LogLine | undefined

/** A line waiting to be written. */
export interface LogEntry {
  readonly level: LogLevel
  readonly data: Readonly<Record<string, unknown>>
  readonly msg: string
}

/** Longer strings are cut: an error may carry a whole page of a server. UTF-16 units. */
const MAX_TEXT = 2000
/** Longer lists are cut. */
const MAX_ITEMS = 32
const MAX_DEPTH = 6

/** `value` without secrets and within bounds, safe to keep and to serialise. */
export function cleaned(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return cleanedText(value)
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) return '[…]'
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => cleaned(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, isSecretKey(key) && item !== undefined ? REDACTED : cleaned(item, depth + 1)]),
  )
}

/** The same for one string. */
export function cleanedText(text: string): string {
  // Cut with room to spare before the patterns run, so that a huge text costs little and no secret is cut in two at the end.
  const clean = redactText(text.length > 2 * MAX_TEXT ? text.slice(0, 2 * MAX_TEXT) : text)
  return clean.length > MAX_TEXT ? `${clean.slice(0, MAX_TEXT)}…` : clean
}
