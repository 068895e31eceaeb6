/**
 * The frames and parameters that the SDK sends, and how its layered configuration is read.
 *
 * @module
 */
import { z } from 'zod'
import type { EngineMessage } from '../engine.ts'

/** First frame of a connection. */
export interface AuthFrame {
  readonly clientIdentifier: string
  readonly clientPasskey: string
}
export const authFrame: z.ZodType<AuthFrame> = z.object({
  authVersion: z.literal(1),
  clientIdentifier: z.string(),
  clientPasskey: z.string(),
})

/** Every later frame that the server understands. */
export type ClientFrame =
  | { readonly type: 'rpcCall'; readonly endpoint: string; readonly callId: number; readonly parameter?: unknown }
  | { readonly type: 'channelCreate'; readonly endpoint: string; readonly channelId: number; readonly creationParameter?: unknown }
  | { readonly type: 'channelSend'; readonly channelId: number; readonly message?: unknown }
  | { readonly type: 'channelAck' | 'keepAlive' | 'communicationWarning' }
export const clientFrame: z.ZodType<ClientFrame> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('rpcCall'), endpoint: z.string(), callId: z.number(), parameter: z.unknown().optional() }),
  z.object({ type: z.literal('channelCreate'), endpoint: z.string(), channelId: z.number(), creationParameter: z.unknown().optional() }),
  z.object({ type: z.literal('channelSend'), channelId: z.number(), message: z.unknown().optional() }),
  z.object({ type: z.enum(['channelAck', 'keepAlive', 'communicationWarning']) }),
])

/** `{ key, value }` pairs. */
export interface KvConfig {
  readonly fields: readonly { readonly key: string; readonly value?: unknown }[]
}
const kvConfig = z.object({ fields: z.array(z.object({ key: z.string(), value: z.unknown().optional() })) })

/** Layers of configuration; a later layer wins. */
export interface KvConfigStack {
  readonly layers: readonly { readonly layerName: string; readonly config: KvConfig }[]
}
export const kvConfigStack: z.ZodType<KvConfigStack> = z.object({
  layers: z.array(z.object({ layerName: z.string(), config: kvConfig })),
})

/** How a client names a loaded model. */
export type Specifier =
  | { readonly type: 'query'; readonly query: ModelQuery }
  | { readonly type: 'instanceReference'; readonly instanceReference: string }
/** What a loaded model must be like. */
export interface ModelQuery {
  readonly domain?: string | undefined
  readonly identifier?: string | undefined
  readonly path?: string | undefined
  readonly vision?: boolean | undefined
}
export const specifier: z.ZodType<Specifier> = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('query'),
    query: z.object({
      domain: z.string().optional(),
      identifier: z.string().optional(),
      path: z.string().optional(),
      vision: z.boolean().optional(),
    }),
  }),
  z.object({ type: z.literal('instanceReference'), instanceReference: z.string() }),
])

/** A conversation as the SDK sends it. */
export interface History {
  readonly messages: readonly { readonly role: 'system' | 'user' | 'assistant' | 'tool'; readonly content: readonly HistoryPart[] }[]
}
type HistoryPart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'file'; readonly name: string }
  | { readonly type: 'toolCallRequest'; readonly toolCallRequest?: unknown }
  | { readonly type: 'toolCallResult'; readonly content: string }
const part: z.ZodType<HistoryPart> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text: z.string() }),
  z.object({ type: z.literal('file'), name: z.string() }),
  z.object({ type: z.literal('toolCallRequest'), toolCallRequest: z.unknown().optional() }),
  z.object({ type: z.literal('toolCallResult'), content: z.string() }),
])
export const history: z.ZodType<History> = z.object({
  messages: z.array(z.object({ role: z.enum(['system', 'user', 'assistant', 'tool']), content: z.array(part) })),
})

/** A conversation as engines see it: files by name, tool results as the user's words. */
export function toEngineMessages({ messages }: History): EngineMessage[] {
  return messages.map(({ role, content }) => ({ role: role === 'tool' ? 'user' : role, text: content.map(partText).join('') }))
}

function partText(content: HistoryPart): string {
  switch (content.type) {
    case 'text':
      return content.text
    case 'file':
      return `[file ${content.name}]`
    case 'toolCallRequest':
      return JSON.stringify(content.toolCallRequest)
    case 'toolCallResult':
      return content.content
  }
}

/** All layers as one configuration. */
export function collapse({ layers }: KvConfigStack): KvConfig {
  const values = new Map(layers.flatMap(({ config }) => config.fields.map(({ key, value }) => [key, value] as const)))
  return { fields: [...values].map(([key, value]) => ({ key, value })) }
}

/** A copy with one field replaced. */
export function withField({ fields }: KvConfig, key: string, value: unknown): KvConfig {
  return { fields: [...fields.filter((field) => field.key !== key), { key, value }] }
}

function field<T>({ fields }: KvConfig, key: string, schema: z.ZodType<T>): T | undefined {
  const found = fields.find((candidate) => candidate.key === key)
  return found?.value === undefined ? undefined : schema.parse(found.value)
}

/** The window asked for, in tokens. */
export function askedContextLength(config: KvConfig): number | undefined {
  return field(config, 'llm.load.contextLength', z.number().int().positive())
}

/** What a prediction's configuration asks for. */
export interface PredictionSettings {
  readonly maxTokens: number | undefined
  readonly temperature: number | undefined
  readonly stop: readonly string[]
  /** Whether tools were offered. */
  readonly tools: boolean
  readonly overflow: 'stopAtLimit' | 'truncateMiddle' | 'rollingWindow'
  /** SDK 1.x marks `.complete()` by a layer that switches the template off. */
  readonly raw: boolean
}

/** Reads it. @throws ZodError when a value has the wrong shape */
export function predictionSettings(stack: KvConfigStack): PredictionSettings {
  const config = collapse(stack)
  const max = field(config, 'llm.prediction.maxPredictedTokens', z.object({ checked: z.boolean(), value: z.number().int() }))
  const overflow = z.enum(['stopAtLimit', 'truncateMiddle', 'rollingWindow'])
  return {
    maxTokens: max?.checked ? max.value : undefined,
    temperature: field(config, 'llm.prediction.temperature', z.number()),
    stop: field(config, 'llm.prediction.stopStrings', z.array(z.string())) ?? [],
    tools: field(config, 'llm.prediction.tools', z.object({ type: z.string() }))?.type === 'toolArray',
    overflow: field(config, 'llm.prediction.contextOverflowPolicy', overflow) ?? 'truncateMiddle',
    raw: stack.layers.some(({ layerName }) => layerName === 'completeModeFormatting'),
  }
}
