/**
 * Puts the layers of a prompt together, in their order.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { Message } from '../../chat/message.ts'
import { type Amount, sumOf } from './amount.ts'
import { closestTo } from './closest.ts'
import { type Frame, joined } from './frame.ts'
import type { Candidates } from './recall.ts'
import { promptText } from './tokens.ts'
import { alternating, toPrompt, type Unit } from './units.ts'

const RECALL_HEADER = 'From earlier in this conversation, word for word:'
type Speakers = Readonly<Record<Message['role'], string>>
/** The closest exchange is a transcript that the question goes on with; the others are told, or a small model goes on with them. */
const SPEAKERS: Speakers = { user: 'User', assistant: 'Assistant', tool: 'Tool', system: 'System' }
const TOLD: Speakers = { user: 'I said', assistant: 'You said', tool: 'A tool said', system: 'The system said' }
const GAP = '…'
/** Between quotes and message. */
const RULE = '---'
/** o200k tokens of a date and of the headers, not less than they are: to choose what to quote by. */
export const DATE_TOKENS = 16
export const HEADERS_TOKENS = 24

/** What is quoted from earlier. */
export interface Quoted {
  readonly text: string
  readonly amount: Amount
  readonly messages: number
}

/** The conversation's part of a prompt. */
export interface Chosen {
  /** The newest, without a gap up to the message. */
  readonly recent: readonly Unit[]
  readonly quoted: Quoted | undefined
}

/** Sizes that are remembered. */
export interface Sizes {
  amount(message: Message): Amount
  /** Of a text that comes again and again. */
  ofText(text: string): Amount
}

/** The same with excerpts of what lies between; empty where there are none. */
export interface Conversed extends Chosen {
  readonly excerpts: string
}

/**
 * Splits kept units (indices, ascending) into those that stand as messages and those that are quoted before the newest
 * one: in their order, but the exchange that is closest to it by itself at the end. In a trial, where its own answer to
 * something else stood right before, SmolLM2 135M answered 59 of 62 questions so; 51 with all quotes as one kind of
 * transcript and no rule behind them.
 */
export function split(candidates: Candidates, kept: readonly number[], sizes: Sizes): Chosen {
  const { units, analysis, scores } = candidates
  let first = kept.length
  while (first > 0 && kept[first - 1] === units.length - (kept.length - first) - 1) first--
  // A conversation begins with its user.
  while (first < kept.length && units[kept[first] ?? 0]?.messages[0]?.role === 'assistant') first++
  const recent = kept.slice(first).flatMap((index) => units[index] ?? [])
  if (first === 0) return { recent, quoted: undefined }

  const old = kept.slice(0, first)
  const closest = closestTo(analysis, scores, old)
  const others = old.filter((index) => !closest.includes(index))
  const blocks = [blockOf(candidates, others, sizes, TOLD), blockOf(candidates, closest, sizes, SPEAKERS)].filter(
    ({ lines }) => lines.length > 0,
  )
  return {
    recent,
    quoted: {
      text: [...blocks.map(({ lines }) => [RECALL_HEADER, ...lines].join('\n')), RULE].join('\n\n'),
      amount: sumOf([sizes.ofText(`\n\n${RULE}`), ...blocks.flatMap(({ amounts }) => amounts)]),
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

function blockOf({ units, dates, analysis }: Candidates, indices: readonly number[], sizes: Sizes, speakers: Speakers): Block {
  const lines: string[] = []
  let [day, last]: [string | undefined, number] = [undefined, -1]
  const amounts: Amount[] = indices.length === 0 ? [] : [sizes.ofText(`${RECALL_HEADER}\n`)]
  let messages = 0
  for (const index of indices) {
    const date = dates[index] ?? ''
    const gap = date !== day ? date : index !== last + 1 || analysis.turns[index]?.from === index ? GAP : ''
    if (gap !== '') {
      lines.push(gap)
      amounts.push(sizes.ofText(`${gap}\n`))
    }
    ;[day, last] = [date, index]
    for (const message of units[index]?.messages ?? []) {
      const speaker = speakers[message.role]
      lines.push(`${speaker}: ${promptText(toPrompt(message)).trim()}`)
      amounts.push(sizes.ofText(`${speaker}:\n`), sizes.amount(message))
      messages++
    }
  }
  return { lines, amounts, messages }
}

/**
 * Pinned and ledger, excerpts, recent, recall right before the message, the message. What models and tools wrote is quoted
 * in the user's place, never in the system's.
 */
export function layered(frame: Frame, { recent, quoted, excerpts }: Conversed, message: Message): PromptMessage[] {
  const head = frame.pinned
  const before = joined([frame.recall, quoted?.text ?? ''])
  const preface: PromptMessage[] = before === '' ? [] : [userText(quoted ? before : `${before}\n`)]
  const past = recent.flatMap(({ messages }) => messages.map(toPrompt))
  const system: PromptMessage[] = head === '' ? [] : [{ role: 'system', parts: [{ type: 'text', text: head }] }]
  const notes = joined([frame.ledger, excerpts])
  const old = notes === '' ? [] : [userText(notes)]
  return [...system, ...alternating([...old, ...past, ...preface, toPrompt(message)])]
}

function userText(text: string): PromptMessage {
  return { role: 'user', parts: [{ type: 'text', text }] }
}
