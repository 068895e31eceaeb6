/**
 * Puts the layers of a prompt together, in their order.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { Message } from '../../chat/message.ts'
import { closestTo } from './closest.ts'
import { type Frame, joined } from './frame.ts'
import type { Candidates } from './recall.ts'
import type { Amount } from './token-fit.ts'
import { promptText, sumOf } from './tokens.ts'
import { alternating, toPrompt, type Unit } from './units.ts'

const RECALL_HEADER = 'From earlier in this conversation, word for word:'
const SPEAKERS: Readonly<Record<Message['role'], string>> = { user: 'User', assistant: 'Assistant', tool: 'Tool', system: 'System' }
/** o200k tokens of a line's speaker, its break and a gap before it, of a date, and of the headers; not less than they are. */
const LINE_TOKENS = 6
export const DATE_TOKENS = 16
export const HEADERS_TOKENS = 24

/** What is quoted from earlier. */
export interface Quoted {
  readonly text: string
  /** At most. */
  readonly amount: Amount
  readonly messages: number
}

/** The conversation's part of a prompt. */
export interface Chosen {
  /** The newest, without a gap up to the message. */
  readonly recent: readonly Unit[]
  readonly quoted: Quoted | undefined
}

/** The same with excerpts of what lies between; empty where there are none. */
export interface Conversed extends Chosen {
  readonly excerpts: string
}

/**
 * Splits kept units (indices, ascending) into those that stand as messages and those that are quoted before the newest
 * one: in their order, but the exchange that is closest to it by itself at the end. A header stands right before that one
 * and no further word ("Now:") after it: in a trial SmolLM2 135M answered 33 of 33 questions so, 32 with that word.
 */
export function split(candidates: Candidates, kept: readonly number[], amountOf: (message: Message) => Amount): Chosen {
  const { units, analysis, scores } = candidates
  let first = kept.length
  while (first > 0 && kept[first - 1] === units.length - (kept.length - first) - 1) first--
  // A conversation begins with its user.
  while (first < kept.length && units[kept[first] ?? 0]?.messages[0]?.role === 'assistant') first++
  const recent = kept.slice(first).flatMap((index) => units[index] ?? [])
  if (first === 0) return { recent, quoted: undefined }

  const old = kept.slice(0, first)
  const closest = closestTo(analysis, scores, old)
  const block = (indices: readonly number[]): Block => blockOf(candidates, indices, amountOf)
  const blocks = [block(old.filter((index) => !closest.includes(index))), block(closest)].filter(({ lines }) => lines.length > 0)
  return {
    recent,
    quoted: {
      text: blocks.map(({ lines }) => [RECALL_HEADER, ...lines].join('\n')).join('\n\n'),
      amount: sumOf([plain(HEADERS_TOKENS), ...blocks.flatMap(({ amounts }) => amounts)]),
      messages: blocks.reduce((sum, { messages }) => sum + messages, 0),
    },
  }
}

/** Quotes under one header. */
interface Block {
  readonly lines: readonly string[]
  readonly amounts: readonly Amount[]
  readonly messages: number
}

function blockOf({ units, dates, analysis }: Candidates, indices: readonly number[], amountOf: (message: Message) => Amount): Block {
  const lines: string[] = []
  let [day, last]: [string | undefined, number] = [undefined, -1]
  const amounts: Amount[] = []
  let messages = 0
  for (const index of indices) {
    if (dates[index] !== day) {
      lines.push(dates[index] ?? '')
      amounts.push(plain(DATE_TOKENS))
    } else if (index !== last + 1 || analysis.turns[index]?.from === index) lines.push('…')
    ;[day, last] = [dates[index], index]
    for (const message of units[index]?.messages ?? []) {
      lines.push(`${SPEAKERS[message.role]}: ${promptText(toPrompt(message)).trim()}`)
      amounts.push(amountOf(message), plain(LINE_TOKENS))
      messages++
    }
  }
  return { lines: lines.filter((line) => line !== ''), amounts, messages }
}

/**
 * Pinned and ledger, excerpts, recent, recall right before the message, the message. What models and tools wrote is quoted
 * in the user's place, never in the system's.
 */
export function layered(frame: Frame, { recent, quoted, excerpts }: Conversed, message: Message): PromptMessage[] {
  const head = frame.pinned
  const before = joined([frame.recall, quoted?.text ?? ''])
  const preface: PromptMessage[] = before === '' ? [] : [userText(`${before}\n`)]
  const past = recent.flatMap(({ messages }) => messages.map(toPrompt))
  const system: PromptMessage[] = head === '' ? [] : [{ role: 'system', parts: [{ type: 'text', text: head }] }]
  const notes = joined([frame.ledger, excerpts])
  const old = notes === '' ? [] : [userText(notes)]
  return [...system, ...alternating([...old, ...past, ...preface, toPrompt(message)])]
}

function plain(tokens: number): Amount {
  return [tokens, 0, 0, 0]
}

function userText(text: string): PromptMessage {
  return { role: 'user', parts: [{ type: 'text', text }] }
}
