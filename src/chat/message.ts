/**
 * Sessions, messages and their parts: what people and models say.
 *
 * @module
 */

/** Who speaks. */
export type Role = 'system' | 'user' | 'assistant' | 'tool'

/** Text. `origin` tells typed text from material (piped, attached): only typed text may ever be pinned. */
export interface TextPart {
  readonly type: 'text'
  readonly text: string
  /** Default `typed` in user messages. */
  readonly origin?: 'typed' | 'material'
}

/** An image, base64. */
export interface ImagePart {
  readonly type: 'image'
  readonly mediaType: string
  readonly data: string
}

/** What a model thought before it answered. Shown dimmed, never sent back to a model. */
export interface ReasoningPart {
  readonly type: 'reasoning'
  readonly text: string
}

/** A model asks for a tool. `arguments` is JSON text as the model wrote it. */
export interface ToolCallPart {
  readonly type: 'tool-call'
  readonly callId: string
  readonly name: string
  readonly arguments: string
}

/** What a tool answered. */
export interface ToolResultPart {
  readonly type: 'tool-result'
  readonly callId: string
  readonly text: string
  readonly isError?: boolean
}

/** One piece of a message. */
export type Part = TextPart | ImagePart | ReasoningPart | ToolCallPart | ToolResultPart

/** A message as the store keeps it; never changed afterwards. */
export interface Message {
  readonly id: string
  /** Position in the store, ascending. */
  readonly seq: number
  readonly sessionId: string
  /** The turn it belongs to: a user's message and its answer share one. */
  readonly turnId: string
  readonly role: Role
  readonly parts: readonly Part[]
  /** Epoch ms. */
  readonly time: number
  /** False for an answer that was stopped or broke off. */
  readonly complete: boolean
}

/** A message before the store has given it its place. */
export type NewMessage = Omit<Message, 'seq'>

/** One conversation. */
export interface Session {
  readonly id: string
  readonly title: string
  /** Epoch ms. */
  readonly createdAt: number
  /** Epoch ms of the last message. */
  readonly updatedAt: number
  readonly messageCount: number
}

/** Which model wrote which characters of an answer (UTF-16 offsets into its text, end exclusive). */
export interface Span {
  readonly messageId: string
  readonly start: number
  readonly end: number
  readonly model: string
  /** Why this model wrote them: the decision's reason. */
  readonly reason: string
}

/** The text of a message: its text parts, joined by blank lines. */
export function textOf(parts: readonly Part[]): string {
  return parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n\n')
}
