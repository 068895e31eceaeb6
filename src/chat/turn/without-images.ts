/**
 * Pictures that a model cannot see stand in its prompt as words: an older picture must not end a conversation.
 *
 * @module
 */
import type { PromptMessage } from '../backend.ts'

/** The same messages, each picture named instead. */
export function withoutImages(messages: readonly PromptMessage[]): PromptMessage[] {
  return messages.map(({ role, parts }) => ({
    role,
    parts: parts.map((part) => (part.type === 'image' ? { type: 'text', text: `[image ${part.mediaType}]` } : part)),
  }))
}
