/**
 * Small models lose the thread in long answers: they are asked to be brief, unless the conversation says how to answer.
 *
 * @module
 */
import type { TemplateMessage } from './template.ts'

/**
 * SmolLM2 135M answers "What is the capital of France?" with a song under the system prompt of its own template, with
 * "Paris" under this one, and "Why is the sky blue?" in a third of the tokens.
 */
const BRIEF = 'You are a helpful assistant. Answer briefly.'
/** In a smaller window, in tokens, each one counts. */
const SMALLEST_WINDOW = 2048

/** @param small whether the model is; see the driver @param contextLength tokens */
export function askedBriefly(messages: readonly TemplateMessage[], small: boolean, contextLength: number): readonly TemplateMessage[] {
  if (!small || contextLength < SMALLEST_WINDOW || messages.some(({ role }) => role === 'system')) return messages
  return [{ role: 'system', content: BRIEF }, ...messages]
}
