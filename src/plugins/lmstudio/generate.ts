/**
 * One answer through the SDK, pushed piece by piece, and the continuation of a partial one.
 *
 * @module
 */
import type {
  ChatMessageData,
  LLM,
  LLMPredictionConfigInput,
  LLMPredictionFragment,
  LLMPredictionStopReason,
  OngoingPrediction,
  PredictionResult,
} from '@lmstudio/sdk'
import type { FinishReason, GenerateRequest, GenerationResult, PieceSink, PromptMessage } from '../../chat/backend.ts'
import { textOf } from '../../chat/message.ts'
import { bounded } from './deadline.ts'
import { classify } from './errors.ts'

const FINISH: Readonly<Record<LLMPredictionStopReason, FinishReason>> = {
  userStopped: 'cancelled',
  modelUnloaded: 'model-unloaded',
  failed: 'failed',
  eosFound: 'stop',
  stopStringFound: 'stop',
  toolCalls: 'tool-calls',
  maxPredictedTokensReached: 'length',
  contextLengthReached: 'context-full',
}

/** How long a cancelled answer may take to settle, in ms. */
const CANCEL_LIMIT_MS = 1500

/** Prompt messages in the SDK's form. Images need an upload and are left to a vision backend. */
export function toChat(messages: readonly PromptMessage[]): { messages: ChatMessageData[] } {
  return {
    messages: messages.map(({ role, parts }): ChatMessageData => {
      const text = parts
        .map((part) => (part.type === 'tool-result' ? part.text : textOf([part])))
        .filter((t) => t !== '')
        .join('\n\n')
      // A tool's result without a tool definition reads best as what the user reports.
      return { role: role === 'tool' ? 'user' : role, content: [{ type: 'text', text }] }
    }),
  }
}

/** @throws MaiError; an abort resolves with `cancelled` */
export async function generate(model: LLM, request: GenerateRequest, sink: PieceSink, callMs: number): Promise<GenerationResult> {
  const { signal, continueFrom } = request
  let over = signal.aborted
  if (over) return { finish: 'cancelled', usage: { promptTokens: 0, completionTokens: 0 } }
  let written = 0
  const onPredictionFragment = ({ content, tokensCount, reasoningType, isStructural }: LLMPredictionFragment): void => {
    if (over || isStructural) return
    written += tokensCount
    sink({ type: reasoningType === 'reasoning' ? 'reasoning' : 'text', text: content, tokens: tokensCount })
  }
  const options = {
    ...config(request),
    onPredictionFragment,
    onPromptProcessingProgress: (fraction: number): void => {
      if (!over) sink({ type: 'prefill', fraction })
    },
  }
  const chat = toChat(request.messages)
  const prediction: OngoingPrediction =
    continueFrom === undefined
      ? model.respond(chat, options)
      : model.complete(
          (await bounded(model.applyPromptTemplate(chat), 'apply the template', callMs, signal, 'generate')) + continueFrom,
          options,
        )
  const result = await settled(prediction, signal, () => {
    over = true
  })
  if (!result) return { finish: 'cancelled', usage: { promptTokens: 0, completionTokens: written } }
  const { stopReason, promptTokensCount = 0, predictedTokensCount = written } = result.stats
  return { finish: FINISH[stopReason] ?? 'failed', usage: { promptTokens: promptTokensCount, completionTokens: predictedTokensCount } }
}

/** The result; undefined when it was cancelled and does not settle in time. Leaving a prediction does not stop it, cancelling does. */
async function settled(prediction: OngoingPrediction, signal: AbortSignal, onCancel: () => void): Promise<PredictionResult | undefined> {
  let timer: NodeJS.Timeout | undefined
  let cancel = (): void => {}
  const gaveUp = new Promise<undefined>((resolve) => {
    cancel = () => {
      onCancel()
      prediction.cancel().catch(() => {})
      timer = setTimeout(resolve, CANCEL_LIMIT_MS, undefined)
    }
    if (signal.aborted) cancel()
    else signal.addEventListener('abort', cancel, { once: true })
  })
  const result = prediction.result()
  result.catch(() => {})
  try {
    return await Promise.race([result, gaveUp])
  } catch (error) {
    if (signal.aborted) return undefined
    throw classify(error, 'generate')
  } finally {
    onCancel()
    clearTimeout(timer)
    signal.removeEventListener('abort', cancel)
  }
}

function config({ sampling, responseSchema }: GenerateRequest): LLMPredictionConfigInput {
  const { temperature, topP, maxTokens, stop } = sampling
  return {
    contextOverflowPolicy: 'stopAtLimit',
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topPSampling: topP }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stop === undefined ? {} : { stopStrings: [...stop] }),
    ...(responseSchema === undefined ? {} : { structured: { type: 'json' as const, jsonSchema: responseSchema } }),
  }
}
