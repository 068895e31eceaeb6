/**
 * A bounded piece of old conversation for a model to read, and the question about it.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { Message } from '../../chat/message.ts'

/** A message as it stands in the question. */
export interface BatchEntry {
  readonly id: string
  /** What the two who talk said: neither material nor what tools answered. */
  readonly text: string
  readonly line: string
}

/** What to read. */
export interface Batch {
  readonly entries: readonly BatchEntry[]
  /** `seq` of the last message it covers, with those that have nothing to read. */
  readonly through: number
  readonly chars: number
}

/** Of a longer message the beginning is read, in characters. */
const LONGEST = 1200
/** Facts asked for at most. */
const MOST_FACTS = 12
/** Longest fact, in characters. */
export const LONGEST_FACT = 200

/**
 * Takes messages while they cost at most `budget` together; at least one.
 * @param messages in ascending order
 * @param cost tokens of a line
 */
export function batchOf(messages: readonly Message[], budget: number, cost: (line: string) => number): Batch {
  const entries: BatchEntry[] = []
  let through = 0
  let spent = 0
  let chars = 0
  for (const message of messages) {
    const text = saidIn(message).slice(0, LONGEST)
    if (text !== '') {
      const line = `[${entries.length + 1}] ${message.role === 'user' ? 'User' : 'Assistant'}: ${text.replace(/\s+/g, ' ')}`
      const tokens = cost(line)
      if (entries.length > 0 && spent + tokens > budget) break
      spent += tokens
      chars += text.length
      entries.push({ id: message.id, text, line })
    }
    through = message.seq
  }
  return { entries, through, chars }
}

/** Only what was typed and answered: a fact from piped text would carry that text's wishes into every prompt to come. */
function saidIn({ role, parts }: Message): string {
  if (role !== 'user' && role !== 'assistant') return ''
  return parts
    .flatMap((part) => (part.type === 'text' && part.origin !== 'material' ? [part.text.trim()] : []))
    .join(' ')
    .trim()
}

const INSTRUCTION = `You keep notes of a conversation. Below is a part of it, each message with its number.
Write down the facts that may matter later: names, numbers, dates, places, preferences, decisions, requests.
Each fact is one short sentence that stands on its own, in the language of the conversation, with the numbers of the messages that state it.
Only what is said there: nothing guessed, nothing summarised, no advice. If nothing is worth keeping, the list is empty.
Answer with JSON only: {"facts": [{"fact": "…", "messages": [1]}]}`

/** JSON Schema of the answer. */
export const ANSWER_SCHEMA: Readonly<Record<string, unknown>> = {
  type: 'object',
  properties: {
    facts: {
      type: 'array',
      maxItems: MOST_FACTS,
      items: {
        type: 'object',
        properties: {
          fact: { type: 'string', maxLength: LONGEST_FACT },
          messages: { type: 'array', maxItems: 4, items: { type: 'integer' } },
        },
        required: ['fact', 'messages'],
      },
    },
  },
  required: ['facts'],
}

/** The question about a batch. */
export function questionOf({ entries }: Batch): PromptMessage[] {
  const text = [INSTRUCTION, '', ...entries.map(({ line }) => line)].join('\n')
  return [{ role: 'user', parts: [{ type: 'text', text }] }]
}
