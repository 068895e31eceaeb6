/**
 * Prompts in the SDK's form. Pure.
 *
 * @module
 */
import type { ChatMessageData, LLMPredictionConfigInput, LLMTool } from '@lmstudio/sdk'
import type { GenerateRequest, PromptMessage, ToolDefinition } from '../../chat/backend.ts'
import type { ImagePart, Part, ToolCallPart } from '../../chat/message.ts'

/** A part of the SDK that stands for a file. */
export type FilePart = Extract<Extract<ChatMessageData, { role: 'user' }>['content'][number], { type: 'file' }>

/** Images of a prompt, each once. */
export function imagesOf(messages: readonly PromptMessage[]): ImagePart[] {
  return [...new Set(messages.flatMap(({ parts }) => parts.filter((part) => part.type === 'image')))]
}

/**
 * The messages as LM Studio takes them. Reasoning is never sent back.
 * @param files what was uploaded for an image; an image without is named in brackets
 */
export function toChat(
  messages: readonly PromptMessage[],
  files: ReadonlyMap<ImagePart, FilePart> = new Map(),
): { messages: ChatMessageData[] } {
  return { messages: messages.flatMap(({ role, parts }) => toMessages(role, parts, files)) }
}

function toMessages(role: PromptMessage['role'], parts: readonly Part[], files: ReadonlyMap<ImagePart, FilePart>): ChatMessageData[] {
  const text = textOf(parts, files)
  const said = text === '' ? [] : [{ type: 'text' as const, text }]
  const images = parts.flatMap((part) => (part.type === 'image' ? (files.get(part) ?? []) : []))
  const results = parts.flatMap((part) =>
    part.type === 'tool-result' ? [{ type: 'toolCallResult' as const, content: part.text, toolCallId: part.callId }] : [],
  )
  const answered: ChatMessageData[] = results.length > 0 ? [{ role: 'tool', content: results }] : []
  switch (role) {
    case 'assistant': {
      const calls = parts.flatMap((part) =>
        part.type === 'tool-call' ? [{ type: 'toolCallRequest' as const, toolCallRequest: toCall(part) }] : [],
      )
      return [{ role, content: [...said, ...images, ...calls] }, ...answered]
    }
    case 'tool':
      // What is no result, a tool cannot say in LM Studio's form.
      return [...answered, ...(said.length + images.length > 0 ? [{ role: 'user' as const, content: [...said, ...images] }] : [])]
    default:
      return [
        ...answered,
        ...(results.length > 0 && said.length + images.length === 0 ? [] : [{ role, content: [...orEmpty(said), ...images] }]),
      ]
  }
}

/** A message needs some content. */
function orEmpty<T extends { type: 'text'; text: string }>(said: readonly T[]): readonly (T | { type: 'text'; text: string })[] {
  return said.length > 0 ? said : [{ type: 'text', text: '' }]
}

function textOf(parts: readonly Part[], files: ReadonlyMap<ImagePart, FilePart>): string {
  return parts
    .flatMap((part) => {
      if (part.type === 'text' && part.text !== '') return [part.text]
      return part.type === 'image' && !files.has(part) ? [`[image ${part.mediaType}]`] : []
    })
    .join('\n\n')
}

function toCall({ callId, name, arguments: json }: ToolCallPart): {
  type: 'function'
  id: string
  name: string
  arguments?: Record<string, unknown>
} {
  const call = { type: 'function' as const, id: callId, name }
  try {
    const parsed: unknown = JSON.parse(json)
    // JSON objects are records of JSON.
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return { ...call, arguments: parsed as Record<string, unknown> }
  } catch {
    // The model wrote something that is not JSON; the call stands without arguments.
  }
  return call
}

/** A file name for an image, by which LM Studio knows its kind. */
export function imageName({ mediaType }: ImagePart, index: number): string {
  const kind = /^image\/([a-z0-9]+)/i.exec(mediaType)?.[1]?.toLowerCase() ?? 'png'
  return `image-${index + 1}.${kind === 'jpeg' ? 'jpg' : kind}`
}

/** Tools as LM Studio takes them. */
export function toTools(tools: readonly ToolDefinition[]): LLMTool[] {
  return tools.map(({ name, description, parameters }) => {
    const { properties, required, additionalProperties, $defs } = parameters
    const object = {
      type: 'object' as const,
      properties: isRecord(properties) ? properties : {},
      ...(Array.isArray(required) ? { required: required.map(String) } : {}),
      // The SDK takes a yes or no here, not a schema.
      ...(typeof additionalProperties === 'boolean' ? { additionalProperties } : {}),
      ...(isRecord($defs) ? { $defs } : {}),
    }
    return { type: 'function', function: { name, description, parameters: object } }
  })
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How to predict. Overflow is ours to handle, so LM Studio must not cut the prompt. */
export function predictionConfig({ sampling, responseSchema, tools = [] }: GenerateRequest): LLMPredictionConfigInput {
  const { temperature, topP, repeatPenalty, maxTokens, stop, seed } = sampling
  return {
    contextOverflowPolicy: 'stopAtLimit',
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topPSampling: topP }),
    ...(repeatPenalty === undefined ? {} : { repeatPenalty }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stop === undefined ? {} : { stopStrings: [...stop] }),
    // The SDK has no field of its own for it, and passes raw ones on.
    ...(seed === undefined ? {} : { raw: { fields: [{ key: 'llm.prediction.seed', value: { checked: true, value: seed } }] } }),
    ...(responseSchema === undefined ? {} : { structured: { type: 'json' as const, jsonSchema: responseSchema } }),
    ...(tools.length === 0 ? {} : { rawTools: { type: 'toolArray' as const, tools: toTools(tools) } }),
  }
}
