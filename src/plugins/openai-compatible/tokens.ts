/**
 * Counting by the server's own tokenizer, where it has calls for it beside the protocol.
 *
 * @module
 */
import type { Endpoint } from './endpoint.ts'
import { isRecord } from './errors.ts'
import type { WireMessage } from './messages.ts'

/** Tokens of a whole prompt, template included; undefined where the server cannot say. @throws MaiError */
export async function countTokens(
  endpoint: Endpoint,
  model: string,
  messages: readonly WireMessage[],
  signal: AbortSignal,
): Promise<number | undefined> {
  // What an image takes only the engine knows.
  if (messages.some(({ content }) => typeof content !== 'string')) return undefined
  if (endpoint.dialect === 'vllm') {
    const counted = await endpoint.post('/tokenize', { model, messages, add_generation_prompt: true }, signal)
    return isRecord(counted) && typeof counted.count === 'number' ? counted.count : undefined
  }
  const applied = await endpoint.post('/apply-template', { messages }, signal)
  if (!isRecord(applied) || typeof applied.prompt !== 'string') return undefined
  const counted = await endpoint.post('/tokenize', { content: applied.prompt, add_special: true, parse_special: true }, signal)
  return isRecord(counted) && Array.isArray(counted.tokens) ? counted.tokens.length : undefined
}
