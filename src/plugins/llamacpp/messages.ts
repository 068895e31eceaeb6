/**
 * An assembled prompt as templates know it.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { TemplateMessage } from './template.ts'

export function hasImages(messages: readonly PromptMessage[]): boolean {
  return messages.some(({ parts }) => parts.some(({ type }) => type === 'image'))
}

/** Tools are not offered to embedded models; what they once said stays in the conversation as text. */
export function toTemplateMessages(messages: readonly PromptMessage[]): TemplateMessage[] {
  return messages.map(({ role, parts }) => ({
    role,
    content: parts
      .flatMap((part) => {
        if (part.type === 'text' || part.type === 'tool-result') return [part.text]
        return part.type === 'tool-call' ? [`${part.name}(${part.arguments})`] : []
      })
      .join('\n'),
  }))
}
