/**
 * Plays a text to the detectors as a model would write it, and looks at what the person gets.
 *
 * @module
 */
import { Gate, type Struggle } from '../../src/chat/turn/gate.ts'
import type { AnswerStart, Watcher } from '../../src/chat/watcher.ts'
import { Lexer } from '../../src/plugins/struggle/lexer.ts'
import { seeded } from './generated.ts'

/** What came of it. */
export interface Replayed {
  readonly struggle: Struggle | undefined
  /** Characters that were played, all of them unless there was a struggle. */
  readonly played: number
  /** Characters that did not pass in the piece in which they came. */
  readonly held: number
  /** Characters that the person has in the end. */
  readonly released: number
}

const START: AnswerStart = {
  model: 'bench/model',
  promptTokens: 0,
  already: '',
  time: 0,
  shown: { prefillPerSecond: undefined, writingPerSecond: undefined },
  limits: { firstTokenMs: 30_000, gapMs: 15_000 },
}

/** Pieces of 1 to 8 characters, cut anywhere. */
export function replay(text: string, watchers: readonly Watcher[]): Replayed {
  const random = seeded(text.length + 1)
  const gate = new Gate(watchers, START, (_, error) => {
    throw error
  })
  let played = 0
  let released = 0
  let held = 0
  while (played < text.length && !gate.struggle) {
    const piece = text.slice(played, played + 1 + Math.floor(random() * 8))
    const waiting = played - released
    const passed = gate.push(piece, 0).length
    played += piece.length
    released += passed
    held += Math.min(piece.length, Math.max(0, waiting + piece.length - passed))
  }
  released += gate.struggle ? gate.cut().length : gate.end('stop', 0).length
  return { struggle: gate.struggle, played, held, released }
}

/** Lexical units of a text. */
export function unitsOf(text: string): number {
  let units = 0
  new Lexer(() => units++).push(`${text}\n`)
  // The line break is never finished: it only ended the last unit.
  return units
}
