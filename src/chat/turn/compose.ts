/**
 * Composing a prompt: the sections that plugins contribute, and the conversation, fitted to a model's window.
 *
 * @module
 */
import type { PluginContext } from '../../core/plugin.ts'
import type { Backend } from '../backend.ts'
import { type AssembledPrompt, defaultReserve, type HistoryReader, type PromptSection } from '../context.ts'
import { IMAGE_TOKENS } from '../decisions/needs.ts'
import type { TurnIds } from '../events.ts'
import type { Message } from '../message.ts'
import type { LoadedInstance, ModelInfo } from '../model.ts'
import type { SendOptions } from '../reply.ts'
import { withoutImages } from './without-images.ts'

/** Longest wait for the engine's own count, in ms. */
const COUNT_LIMIT_MS = 5000

/** What to compose, and for whom. */
export interface ComposeRequest {
  readonly ctx: PluginContext
  readonly history: HistoryReader
  readonly backend: Backend
  readonly ids: TurnIds
  readonly model: ModelInfo
  readonly instance: LoadedInstance
  readonly message: Message
  readonly options: SendOptions
  /** The part of the answer that exists already. */
  readonly partial: string
}

/** @throws MaiError `MAI_CONTEXT_OVERFLOW` when what may not be dropped does not fit */
export async function composePrompt({
  ctx,
  history,
  backend,
  ids,
  model: info,
  instance,
  message,
  options,
  partial,
}: ComposeRequest): Promise<AssembledPrompt> {
  const { contextLength, model } = instance
  const { vision } = info.abilities
  const answerTokens = Math.min(options.sampling?.maxTokens ?? Infinity, defaultReserve(contextLength))
  const toolTokens = options.tools?.length ? ctx.use('context').estimateTokens(model, JSON.stringify(options.tools)) : 0
  const imageTokens = vision ? IMAGE_TOKENS * message.parts.filter(({ type }) => type === 'image').length : 0
  const reserveTokens = answerTokens + toolTokens + imageTokens
  const budgetTokens = Math.floor((contextLength - reserveTokens) / 4)
  const { system } = options
  const own: PromptSection[] = system ? [{ id: 'system', layer: 'pinned', text: system, priority: 100, maxTokens: contextLength }] : []
  const sections = await ctx.runHook(
    'prompt.compose',
    { ...ids, model, message, budgetTokens, sections: own },
    (composed) => composed.sections,
  )
  const prompt = await ctx.use('context').assemble({
    ...ids,
    model,
    window: { contextLength, reserveTokens },
    sections,
    message,
    history,
    partial,
    exactCount: (messages) => {
      const seen = vision ? messages : withoutImages(messages)
      return backend.countTokens(instance, seen, AbortSignal.timeout(COUNT_LIMIT_MS)).catch(() => undefined)
    },
  })
  const { tokens, usableTokens, exact, verbatimMessages, totalMessages } = prompt
  ctx.emit('context.assembled', { ...ids, model, tokens, usableTokens, exact })
  if (prompt.condensed) ctx.emit('context.compressed', { ...ids, model, verbatimMessages, totalMessages })
  return prompt
}
