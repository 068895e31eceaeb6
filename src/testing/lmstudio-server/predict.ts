/**
 * Answering: the channels `predict` and `completeRawText`.
 *
 * @module
 */
import { z } from 'zod'
import type { EngineMessage, LoadedEngine } from '../engine.ts'
import { type Answer, engineAnswer, faultyAnswer } from './answer.ts'
import { wireErrors } from './errors.ts'
import { type Instance, instanceInfo } from './instances.ts'
import { Marks } from './marks.ts'
import { pause } from './pause.ts'
import type { ChannelContext, ChannelHandler, Studio } from './studio.ts'
import {
  collapse,
  history,
  type KvConfigStack,
  kvConfigStack,
  type PredictionSettings,
  predictionSettings,
  specifier,
  toEngineMessages,
} from './wire.ts'

const predictParameter = z.object({ modelSpecifier: specifier, history, predictionConfigStack: kvConfigStack })
const completeParameter = z.object({ modelSpecifier: specifier, rawPrompt: z.string(), predictionConfigStack: kvConfigStack })

interface Order {
  readonly instance: Instance
  readonly stack: KvConfigStack
  readonly settings: PredictionSettings
  /** A string is a raw prompt. */
  readonly prompt: readonly EngineMessage[] | string
}

/** Answers a conversation, or (SDK 1.x) continues a raw prompt. */
export const predict: ChannelHandler = async (studio, channel) => {
  const parameter = predictParameter.parse(channel.parameter)
  const stack = parameter.predictionConfigStack
  const settings = predictionSettings(stack)
  const messages = toEngineMessages(parameter.history)
  const prompt = settings.raw ? messages.map(({ text }) => text).join('') : messages
  await answer(studio, channel, { instance: studio.instances.resolve(parameter.modelSpecifier), stack, settings, prompt })
}

/** Continues a raw prompt (SDK 2.x). */
export const completeRawText: ChannelHandler = async (studio, channel) => {
  const { modelSpecifier, rawPrompt, predictionConfigStack: stack } = completeParameter.parse(channel.parameter)
  const settings = predictionSettings(stack)
  await answer(studio, channel, { instance: studio.instances.resolve(modelSpecifier), stack, settings, prompt: rawPrompt })
}

async function answer(studio: Studio, channel: ChannelContext, order: Order): Promise<void> {
  const { instance } = order
  const signal = AbortSignal.any([channel.signal, instance.ended.signal])
  await instance.use(signal, () => produce(studio, channel, order, signal))
  studio.instances.touch(instance)
}

async function produce(studio: Studio, channel: ChannelContext, order: Order, signal: AbortSignal): Promise<void> {
  const { instance, settings, stack } = order
  const { engine } = instance
  const started = performance.now()
  const { ending, slowPrefill } = studio.faults.takeAnswer(instance.model.key)
  const prompt = fitPrompt(engine, order.prompt, settings.overflow)
  const promptTokens = engine.tokenize(prompt).length
  if (promptTokens >= engine.contextLength) throw wireErrors.contextOverflow(promptTokens, engine.contextLength)
  const reportPrefill = prefillReporter(channel, promptTokens)
  reportPrefill(0)
  for (let step = 1; slowPrefill && step < 10 && !signal.aborted; step++) {
    await pause(slowPrefill.ms / 9, signal)
    reportPrefill(step / 10)
  }
  const { maxTokens, temperature, stop } = settings
  const request = { prompt, maxTokens, temperature, stop, signal }
  const plain = engineAnswer(engine, request)
  const pieces = ending ? faultyAnswer(plain, ending, { studio, channel, instance, request, promptTokens, signal }) : plain
  const delivered = await deliver(pieces, new Marks(settings.tools), channel, signal, () => reportPrefill(1))
  if (channel.closed.aborted) return
  const { reason: gone } = instance.ended.signal
  if (delivered.stopReason === 'userStopped' && gone instanceof Error) throw gone
  const unloaded = delivered.stopReason === 'userStopped' && instance.ended.signal.aborted
  const seconds = Math.max((performance.now() - started) / 1_000, 1e-6)
  channel.send({
    type: 'success',
    stats: {
      stopReason: unloaded ? 'modelUnloaded' : delivered.stopReason,
      tokensPerSecond: delivered.tokens / seconds,
      numGpuLayers: 0,
      timeToFirstTokenSec: ((delivered.firstAt ?? performance.now()) - started) / 1_000,
      totalTimeSec: seconds,
      promptTokensCount: promptTokens,
      predictedTokensCount: delivered.tokens,
      totalTokensCount: promptTokens + delivered.tokens,
    },
    modelInfo: instanceInfo(instance),
    loadModelConfig: instance.config,
    predictionConfig: collapse(stack),
  })
}

interface Delivered {
  readonly stopReason: string
  readonly tokens: number
  readonly firstAt: number | undefined
}

/** Sends each piece as it comes, until the answer ends or the signal aborts. */
async function deliver(
  pieces: Answer,
  marks: Marks,
  channel: ChannelContext,
  signal: AbortSignal,
  onFirst: () => void,
): Promise<Delivered> {
  let tokens = 0
  let firstAt: number | undefined
  for (;;) {
    const step = await pieces.next()
    if (step.done) {
      const called = marks.calls > 0 && step.value === 'eosFound'
      return { stopReason: called ? 'toolCalls' : step.value, tokens, firstAt }
    }
    if (signal.aborted) {
      await pieces.return('userStopped')
      return { stopReason: 'userStopped', tokens, firstAt }
    }
    if (firstAt === undefined) {
      firstAt = performance.now()
      onFirst()
    }
    tokens += step.value.tokens
    await channel.congestion()
    for (const message of marks.messages(step.value)) channel.sendJson(message)
  }
}

function prefillReporter(channel: ChannelContext, promptTokens: number): (fraction: number) => void {
  return (fraction) => {
    const processed = Math.round(promptTokens * fraction)
    const details = {
      cachedTokenCount: 0,
      totalPromptTokenCount: promptTokens,
      processedPromptTokenCount: processed,
      unprocessedPromptTokenCount: promptTokens - processed,
    }
    channel.send({ type: 'promptProcessingProgress', progress: fraction, details })
  }
}

/** The prompt as text; where the policy allows it, without messages that have no room. A raw prompt is never cut. */
function fitPrompt(engine: LoadedEngine, prompt: Order['prompt'], overflow: PredictionSettings['overflow']): string {
  if (typeof prompt === 'string') return prompt
  const messages = [...prompt]
  for (;;) {
    const text = engine.applyTemplate(messages)
    if (overflow === 'stopAtLimit' || engine.tokenize(text).length < engine.contextLength) return text
    const system = messages.findIndex(({ role }) => role !== 'system')
    const drop = overflow === 'truncateMiddle' ? system + 1 : system
    if (system < 0 || drop >= messages.length - 1) return text
    messages.splice(drop, 1)
  }
}
