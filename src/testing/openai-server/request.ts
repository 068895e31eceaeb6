/**
 * Requests to the stand-in OpenAI server, read as strictly as the true servers do.
 *
 * @module
 */
import { invalid, type WireRefusal } from './refusals.ts'

/** A message as it came. */
export interface StandInMessage {
  readonly role: string
  /** Its text; pieces of it are joined, images left out. */
  readonly text: string
  readonly images: number
}

/** A request for an answer, as far as the stand-in looks at it. */
export interface StandInRequest {
  readonly model: string
  readonly messages: readonly StandInMessage[]
  readonly stream: boolean
  readonly usage: boolean
  readonly maxTokens: number | undefined
  readonly tools: boolean
  /** The body itself. */
  readonly body: Readonly<Record<string, unknown>>
}

const ROLES: ReadonlySet<string> = new Set(['system', 'developer', 'user', 'assistant', 'tool'])

/** @returns the request, or why it is none */
export function readRequest(text: string): StandInRequest | WireRefusal {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return invalid('We could not parse the JSON body of your request.')
  }
  if (!isRecord(body)) return invalid('The body of the request is no object.')
  const { model, messages, stream, stream_options: options } = body
  if (typeof model !== 'string') return invalid('you must provide a model parameter', 'model')
  if (!Array.isArray(messages) || messages.length === 0) return invalid("[] is too short - 'messages'", 'messages')
  if (options !== undefined && stream !== true) return invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
  const read: StandInMessage[] = []
  for (const [index, message] of messages.entries()) {
    const one = readMessage(message)
    if (typeof one === 'string') return invalid(one, `messages[${index}]`)
    read.push(one)
  }
  const limit = body.max_completion_tokens ?? body.max_tokens
  return {
    model,
    messages: read,
    stream: stream === true,
    usage: isRecord(options) && options.include_usage === true,
    maxTokens: typeof limit === 'number' ? limit : undefined,
    tools: Array.isArray(body.tools) && body.tools.length > 0,
    body,
  }
}

function readMessage(value: unknown): StandInMessage | string {
  if (!isRecord(value) || typeof value.role !== 'string' || !ROLES.has(value.role)) return 'Invalid value for the role of a message.'
  if (value.role === 'tool' && typeof value.tool_call_id !== 'string') return "Missing parameter 'tool_call_id'."
  const { content } = value
  if (typeof content === 'string') return { role: value.role, text: content, images: 0 }
  if (content === null && value.role === 'assistant') return { role: value.role, text: '', images: 0 }
  if (!Array.isArray(content)) return 'Invalid type for the content of a message.'
  const parts = content.filter(isRecord)
  const texts = parts.map((part) => (part.type === 'text' && typeof part.text === 'string' ? part.text : ''))
  return { role: value.role, text: texts.join(''), images: parts.filter((part) => part.type === 'image_url').length }
}

/** Any JSON object. */
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
