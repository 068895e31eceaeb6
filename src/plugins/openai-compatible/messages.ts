/**
 * Prompts in OpenAI's form. Reasoning is never sent back. Pure.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import { type Part, textOf } from '../../chat/message.ts'

type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image_url'; readonly image_url: { readonly url: string } }
type Content = string | readonly ContentPart[]

/** A message on the wire. */
export type WireMessage =
  | { readonly role: 'system' | 'user'; readonly content: Content }
  | { readonly role: 'assistant'; readonly content: string; readonly tool_calls?: readonly WireToolCall[] }
  | { readonly role: 'tool'; readonly tool_call_id: string; readonly content: string }

interface WireToolCall {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string; readonly arguments: string }
}

/** The messages as OpenAI takes them: a tool's results are messages of their own. */
export function toWire(messages: readonly PromptMessage[]): WireMessage[] {
  return messages.flatMap(({ role, parts }) => {
    const results = parts.flatMap((part): WireMessage[] =>
      part.type === 'tool-result' ? [{ role: 'tool', tool_call_id: part.callId, content: part.text }] : [],
    )
    const said = parts.filter((part) => part.type === 'text' || part.type === 'image')
    switch (role) {
      case 'assistant':
        return [assistant(parts), ...results]
      case 'tool':
        // What is no result, a tool cannot say in this form.
        return [...results, ...(said.length > 0 ? [{ role: 'user' as const, content: content(said) }] : [])]
      default:
        return [...results, ...(results.length > 0 && said.length === 0 ? [] : [{ role, content: content(said) }])]
    }
  })
}

function assistant(parts: readonly Part[]): WireMessage {
  const calls = parts.flatMap((part): WireToolCall[] =>
    part.type === 'tool-call' ? [{ id: part.callId, type: 'function', function: { name: part.name, arguments: part.arguments } }] : [],
  )
  return { role: 'assistant', content: textOf(parts), ...(calls.length > 0 ? { tool_calls: calls } : {}) }
}

function content(parts: readonly Part[]): Content {
  if (!parts.some((part) => part.type === 'image')) return textOf(parts)
  return parts.flatMap((part): ContentPart[] => {
    if (part.type === 'text') return [{ type: 'text', text: part.text }]
    if (part.type === 'image') return [{ type: 'image_url', image_url: { url: `data:${part.mediaType};base64,${part.data}` } }]
    return []
  })
}
