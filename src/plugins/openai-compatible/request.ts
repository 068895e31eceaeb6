/**
 * The body of a request, and how it changes when a server refuses a field that it does not know. Pure.
 *
 * @module
 */
import type { GenerateRequest } from '../../chat/backend.ts'
import type { WireMessage } from './messages.ts'
import type { Dialect } from './options.ts'

/** A body for `/chat/completions`. */
export interface ChatBody extends Readonly<Record<string, unknown>> {
  readonly model: string
  readonly messages: readonly WireMessage[]
  readonly stream: true
}

/** What is asked beside the messages. */
export type Asked = Pick<GenerateRequest, 'sampling' | 'tools' | 'responseSchema'>

/** What a server has turned out not to take. */
export interface Quirks {
  readonly dropped: readonly string[]
  /** OpenAI's own newer models know the limit of an answer by another name only. */
  readonly completionTokens: boolean
}

/** Nothing refused so far. */
export const NO_QUIRKS: Quirks = { dropped: [], completionTokens: false }

/** The field of the repeat penalty, where the server has one. OpenAI refuses fields that it does not know. */
const REPEAT_PENALTY: Readonly<Partial<Record<Dialect, string>>> = { vllm: 'repetition_penalty', 'llama.cpp': 'repeat_penalty' }

/** What a request can do without. */
const OPTIONAL: readonly string[] = [
  'stream_options',
  'return_progress',
  'seed',
  'repetition_penalty',
  'repeat_penalty',
  'temperature',
  'top_p',
  'max_tokens',
]

/** The body for a request. */
export function chatBody(model: string, messages: readonly WireMessage[], asked: Asked, dialect: Dialect, quirks: Quirks): ChatBody {
  const { sampling, tools = [], responseSchema } = asked
  const { temperature, topP, repeatPenalty, maxTokens, stop, seed } = sampling
  const penalty = REPEAT_PENALTY[dialect]
  const fields: Record<string, unknown> = {
    stream_options: { include_usage: true },
    ...(dialect === 'llama.cpp' ? { return_progress: true } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { top_p: topP }),
    ...(repeatPenalty === undefined || penalty === undefined ? {} : { [penalty]: repeatPenalty }),
    ...(maxTokens === undefined ? {} : { [quirks.completionTokens ? 'max_completion_tokens' : 'max_tokens']: maxTokens }),
    ...(stop === undefined ? {} : { stop }),
    ...(seed === undefined ? {} : { seed }),
    ...(tools.length === 0
      ? {}
      : { tools: tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } })) }),
    ...(responseSchema === undefined
      ? {}
      : { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: responseSchema, strict: true } } }),
  }
  for (const field of quirks.dropped) delete fields[field]
  return { model, messages, stream: true, ...fields }
}

/** What to leave out next after a refusal that names a field of ours; undefined where that would not help. */
export function quirksAfter(refusal: string, body: ChatBody, quirks: Quirks): Quirks | undefined {
  if (
    !/unsupported|unrecogni[sz]ed|unknown|unexpected|not (supported|permitted|allowed)|extra (inputs|fields|field)|does not support/i.test(
      refusal,
    )
  )
    return undefined
  const named = OPTIONAL.find((field) => field in body && refusal.includes(field))
  if (named === undefined) return undefined
  if (named === 'max_tokens' && refusal.includes('max_completion_tokens')) return { ...quirks, completionTokens: true }
  return { ...quirks, dropped: [...quirks.dropped, named] }
}
