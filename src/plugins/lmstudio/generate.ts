/**
 * One answer through the SDK, pushed piece by piece, and the continuation of a partial one.
 *
 * @module
 */
import type { LLM, LLMPredictionFragment, LLMPredictionStopReason, OngoingPrediction, PredictionResult } from '@lmstudio/sdk'
import type { FinishReason, GenerateRequest, GenerationPiece, GenerationResult, PieceSink, PromptMessage } from '../../chat/backend.ts'
import { backendError } from '../../chat/failure.ts'
import type { ImagePart } from '../../chat/message.ts'
import { bounded, tooLate, watch } from './deadline.ts'
import type { LmStudioSettings } from './options.ts'
import { type FilePart, imageName, imagesOf, predictionConfig, toChat, toTools } from './prompt.ts'
import type { Session } from './session.ts'

/** What each of LM Studio's reasons means. */
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
const CANCEL_LIMIT_MS = 1000

/** @throws MaiError; the signal's reason when it aborts before the answer has begun */
export async function generate(
  session: Session,
  request: GenerateRequest,
  sink: PieceSink,
  limits: LmStudioSettings,
  signal: AbortSignal,
): Promise<GenerationResult> {
  const model = await session.handle(request.instance.instanceId, limits.callMs, signal)
  const answer = new Answer(sink, limits.answerIdleMs, signal)
  try {
    const begin = await prepare(session, model, request, limits.callMs, signal, answer)
    const result = await answer.of(untraced(begin), session)
    const { stopReason, promptTokensCount = 0, predictedTokensCount = answer.tokens } = result?.stats ?? { stopReason: 'userStopped' }
    return { finish: FINISH[stopReason] ?? 'failed', usage: { promptTokens: promptTokensCount, completionTokens: predictedTokensCount } }
  } catch (error) {
    // A handle names one load of a model; after a failure it is looked up again.
    session.forget(request.instance.instanceId)
    throw error
  } finally {
    answer.end()
  }
}

/** Everything before the answer. Gives back how to begin it: a prediction is a promise, and would be awaited on its way. */
async function prepare(
  session: Session,
  model: LLM,
  request: GenerateRequest,
  callMs: number,
  signal: AbortSignal,
  answer: Answer,
): Promise<() => OngoingPrediction> {
  const { messages, continueFrom } = request
  const options = { ...predictionConfig(request), ...answer.callbacks }
  if (continueFrom === undefined) {
    const chat = toChat(messages, await upload(session, model, messages, callMs, signal))
    return () => model.respond(chat, options)
  }
  // A raw prompt has no place for images: they are named in it.
  const tools = request.tools?.length ? { toolDefinitions: toTools(request.tools) } : {}
  const prompt = await bounded(model.applyPromptTemplate(toChat(messages), tools), 'apply the template', callMs, signal)
  return () => model.complete(prompt + continueFrom, options)
}

/** Hands the images of a prompt over. @throws MaiError `MAI_REQUEST_INVALID` where the model cannot see */
async function upload(
  { client }: Session,
  model: LLM,
  messages: readonly PromptMessage[],
  callMs: number,
  signal: AbortSignal,
): Promise<Map<ImagePart, FilePart>> {
  const images = imagesOf(messages)
  if (images.length > 0 && !model.vision)
    throw backendError('MAI_REQUEST_INVALID', `"${model.modelKey}" cannot see images.`, {
      cure: 'Choose a model with vision; mai models shows which have it.',
    })
  const files = await Promise.all(
    images.map(async (image, index) => {
      const name = imageName(image, index)
      const file = await bounded(client.files.prepareImageBase64(name, image.data), 'take an image', callMs, signal)
      return [image, { type: 'file', name, identifier: file.identifier, sizeBytes: file.sizeBytes, fileType: file.type }] as const
    }),
  )
  return new Map(files)
}

/** An answer on its way: pieces come until it is over, and none after. */
class Answer {
  /** Of the model, so far. */
  tokens = 0
  readonly callbacks: {
    readonly onPromptProcessingProgress: (fraction: number) => void
    readonly onToolCallRequestEnd: (id: number, info: { toolCallRequest: { id?: string; name: string; arguments?: object } }) => void
    readonly onToolCallRequestFailure: () => void
  }
  readonly #sink: PieceSink
  readonly #signal: AbortSignal
  readonly #silence: ReturnType<typeof watch>
  #over = false
  #prefill = -1
  #fail: (error: unknown) => void = () => {}
  readonly #failed: Promise<never>

  constructor(sink: PieceSink, idleMs: number, signal: AbortSignal) {
    this.#sink = sink
    this.#signal = signal
    this.#silence = watch(idleMs, () => tooLate('MAI_BACKEND_TIMEOUT', 'go on with its answer', idleMs), signal)
    this.#failed = new Promise<never>((_, reject) => {
      this.#fail = reject
    })
    this.#failed.catch(() => {})
    this.callbacks = {
      onPromptProcessingProgress: (fraction) => {
        // A figure that is repeated is no progress.
        if (fraction > this.#prefill) this.#deliver({ type: 'prefill', fraction })
        this.#prefill = Math.max(this.#prefill, fraction)
      },
      onToolCallRequestEnd: (id, { toolCallRequest: { id: callId = `call-${id}`, name, arguments: given = {} } }) =>
        this.#deliver({ type: 'tool-call', callId, name, arguments: JSON.stringify(given) }),
      onToolCallRequestFailure: () => this.#fail(backendError('MAI_BACKEND_ERROR', 'The model wrote a tool call that cannot be read.')),
    }
  }

  /** Waits for the end. Leaving a prediction does not stop it: whatever ends it early cancels it. Undefined: cancelled, without a result. */
  async of(prediction: OngoingPrediction, session: Session): Promise<PredictionResult | undefined> {
    const result = this.#follow(prediction)
    let settled = false
    const settle = (): void => {
      settled = true
    }
    result.then(settle, settle)
    try {
      return await Promise.race([result, this.#silence.stopped, this.#failed])
    } catch (error) {
      this.#over = true
      // After an error of its own there is nothing left to cancel.
      if (!settled && session.reachable) prediction.cancel().catch(() => {})
      if (!this.#signal.aborted) throw error
      return await inTime(result)
    }
  }

  end(): void {
    this.#over = true
    this.#silence.end()
  }

  /** By the iterator: a callback for fragments is checked anew by the SDK's schema at each of them, which costs half as much as the rest. */
  async #follow(prediction: OngoingPrediction): Promise<PredictionResult> {
    for await (const fragment of prediction) this.#fragment(fragment)
    return await prediction.result()
  }

  #fragment({ content, tokensCount, reasoningType, isStructural }: LLMPredictionFragment): void {
    this.tokens += tokensCount
    // Tags round the reasoning belong to neither side.
    if (isStructural || reasoningType === 'reasoningStartTag' || reasoningType === 'reasoningEndTag') return void this.#silence.alive()
    this.#deliver({ type: reasoningType === 'reasoning' ? 'reasoning' : 'text', text: content, tokens: tokensCount })
  }

  #deliver(piece: GenerationPiece): void {
    // Frames that came together are handed over in one go, the rest of them even after an abort.
    if (this.#over || !this.#silence.alive()) return
    try {
      this.#sink(piece)
    } catch (error) {
      // The SDK would swallow it.
      this.#over = true
      this.#fail(error)
    }
  }
}

/**
 * Calls the SDK without the stack traces that it takes of its caller, three for each answer: they would say what is known, and
 * take 0.3 ms of the time to the first token.
 */
function untraced<T>(call: () => T): T {
  const { stackTraceLimit } = Error
  Reflect.set(Error, 'stackTraceLimit', 0)
  try {
    return call()
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
  }
}

/** The statistics of a cancelled answer, if they come soon. */
async function inTime(result: Promise<PredictionResult>): Promise<PredictionResult | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, CANCEL_LIMIT_MS, undefined)
  })
  try {
    return await Promise.race([result.catch(() => undefined), late])
  } finally {
    clearTimeout(timer)
  }
}
