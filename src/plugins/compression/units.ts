/**
 * What stays or goes together: a message, or a model's tool calls with all their results.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { Message, Part } from '../../chat/message.ts'

/** Messages that are never split; mostly one. */
export interface Unit {
  /** At least one. */
  readonly messages: readonly Message[]
}

/** Characters of old tool output that stay in a condensed prompt: about 200 tokens, three quarters from its beginning. */
const TOOL_OUTPUT = 800

/** Groups messages in ascending order. Results without their call, which no template takes, are left out. */
export function unitsOf(messages: readonly Message[]): Unit[] {
  const units: { messages: Message[] }[] = []
  let open: ReadonlySet<string> = NONE
  for (const message of messages) {
    if (message.role !== 'tool') {
      units.push({ messages: [message] })
      open = callsOf(message)
    } else if (message.parts.some((part) => part.type === 'tool-result' && open.has(part.callId))) units.at(-1)?.messages.push(message)
  }
  return units
}

const NONE: ReadonlySet<string> = new Set()

/** Ids of the tools' answers that a message waits for. */
function callsOf({ parts }: Message): ReadonlySet<string> {
  if (!parts.some(({ type }) => type === 'tool-call')) return NONE
  return new Set(parts.flatMap((part) => (part.type === 'tool-call' ? [part.callId] : [])))
}

/** As it goes to a model: without reasoning. */
export function toPrompt({ role, parts }: Pick<Message, 'role' | 'parts'>): PromptMessage {
  return { role, parts: parts.some(isReasoning) ? parts.filter((part) => !isReasoning(part)) : parts }
}

function isReasoning({ type }: Part): boolean {
  return type === 'reasoning'
}

/** A message whose long tool output is cut in the middle, with a note on where all of it is. */
export function capped(message: Message): Message {
  if (!message.parts.some((part) => part.type === 'tool-result' && part.text.length > TOOL_OUTPUT)) return message
  const parts = message.parts.map(
    (part): Part => (part.type === 'tool-result' ? { ...part, text: cappedText(part.text, message.id) } : part),
  )
  return { ...message, parts }
}

function cappedText(text: string, messageId: string): string {
  if (text.length <= TOOL_OUTPUT) return text
  // Half of a surrogate pair is no text.
  const head = text.slice(0, (TOOL_OUTPUT * 3) / 4).replace(/[\ud800-\udbff]$/, '')
  const tail = text.slice(-TOOL_OUTPUT / 4).replace(/^[\udc00-\udfff]/, '')
  return `${head}\n[… ${text.length - TOOL_OUTPUT} characters left out; all of it is in message ${messageId} …]\n${tail}`
}

/** Templates want user and assistant to alternate, the user first: neighbours of one role are joined. */
export function alternating(messages: readonly PromptMessage[]): PromptMessage[] {
  const joined: PromptMessage[] = []
  for (const message of messages) {
    if (isEmpty(message)) continue
    const last = joined.at(-1)
    if (last && last.role === message.role && message.role !== 'tool') {
      joined[joined.length - 1] = { role: last.role, parts: [...last.parts, ...message.parts] }
    } else joined.push(message)
  }
  // An answer whose question was dropped cannot stand first.
  const first = joined.findIndex((message) => message.role === 'user')
  return joined.slice(Math.max(0, first))
}

function isEmpty({ parts }: PromptMessage): boolean {
  return parts.every((part) => (part.type === 'text' || part.type === 'tool-result') && part.text === '')
}
