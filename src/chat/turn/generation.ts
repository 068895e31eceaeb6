/**
 * One attempt: a model writes, watchers judge, the gate releases, and silence has its limits.
 *
 * @module
 */
import { type ErrorFact, toErrorFact } from '../../core/errors.ts'
import type { Backend, FinishReason, GenerateRequest, GenerationPiece, Usage } from '../backend.ts'
import { backendError, traitsOf } from '../failure.ts'
import type { ToolCallPart } from '../message.ts'
import type { StruggleKind } from '../policy.ts'
import type { AnswerStart, PieceFacts, Watcher } from '../watcher.ts'
import { generateFrom } from './continuation.ts'
import { Gate } from './gate.ts'
import type { Interruption } from './interruption.ts'

/** How often silence is measured, in ms. */
const TICK_MS = 250
/** Prompt reading speed that the slowest legitimate machine shows, tokens/s: what is assumed of a model that has shown none. */
const COLD_PREFILL = 20
/** How long a backend may take to settle after an abort, in ms. */
const SETTLE_LIMIT_MS = 2000

/** What one attempt needs. */
export interface GenerationInput {
  readonly backend: Backend
  readonly request: Omit<GenerateRequest, 'signal'>
  readonly promptTokens: number
  readonly shown: AnswerStart['shown']
  readonly watchers: readonly Watcher[]
  readonly firstTokenMs: number
  readonly gapMs: number
  /** The person's stop and the turn's deadline. */
  readonly interruption: Interruption
  readonly now: () => number
  /** Text for the person, in order. */
  readonly release: (text: string) => void
  readonly reasoning: (text: string) => void
  readonly toolCall: (call: ToolCallPart) => void
  readonly onWatcherBroken: (watcher: string, error: unknown) => void
}

/** An answer in trouble. */
export interface Trouble {
  readonly kind: StruggleKind
  readonly evidence: string
  readonly error: ErrorFact | undefined
  readonly transient: boolean
  readonly retryAfterMs: number | undefined
  readonly cause: unknown
}

/** How an attempt ended. */
export interface GenerationOutcome {
  readonly finish: FinishReason
  readonly usage: Usage
  /** Whether the prompt's tokens are the engine's own figure, not what the caller took them for. */
  readonly counted: boolean
  /** To the first content, in ms; the whole time where there was none. */
  readonly firstTokenMs: number
  readonly ms: number
  readonly trouble: Trouble | undefined
}

/**
 * Longest wait for the first token, in ms: four times what reading the prompt should take.
 * @param prefillPerSecond tokens/s that the model has shown here; undefined: as slow as it may be
 */
export function firstTokenLimit(leastMs: number, promptTokens: number, prefillPerSecond: number | undefined): number {
  return Math.max(leastMs, (4 * promptTokens * 1000) / (prefillPerSecond ?? COLD_PREFILL))
}

/** Runs one attempt to its end. Never rejects: what goes wrong is `trouble`. */
export async function runGeneration(input: GenerationInput): Promise<GenerationOutcome> {
  const { backend, request, now } = input
  const began = now()
  const already = request.continueFrom ?? ''
  const { promptTokens, shown, firstTokenMs, gapMs } = input
  const start = { model: request.instance.model, promptTokens, shown, limits: { firstTokenMs, gapMs }, already, time: began }
  const gate = new Gate(input.watchers, start, input.onWatcherBroken)
  const stop = new AbortController()
  const letGo = input.interruption.onAbort((reason) => stop.abort(reason))
  const { signal } = stop
  const firstLimit = firstTokenLimit(input.firstTokenMs, input.promptTokens, input.shown.prefillPerSecond)
  let completionTokens = 0
  let wrote = false
  let called = false
  let firstAt: number | undefined
  let lastAt = began
  let prefill = 0
  let over = false

  /** Reasoning and the like: no text to judge, but no silence either. */
  const alive = (facts: PieceFacts): void => {
    lastAt = now()
    input.release(gate.alive(lastAt, facts))
    if (gate.struggle) stop.abort()
  }
  const sink = (piece: GenerationPiece): void => {
    if (over) return
    if (piece.type === 'prefill') {
      // Only progress counts as life: a server that repeats the same figure is silent.
      if (piece.fraction > prefill) alive({ tokens: 0 })
      prefill = Math.max(prefill, piece.fraction)
      return
    }
    firstAt ??= now()
    if (piece.type === 'tool-call') {
      // What nobody offered, nobody can do.
      called ||= request.tools !== undefined && request.tools.length > 0
      alive({ tokens: 0, toolCall: true })
      return input.toolCall(piece)
    }
    completionTokens += piece.tokens
    if (piece.type === 'reasoning') {
      alive({ tokens: piece.tokens })
      return input.reasoning(piece.text)
    }
    wrote ||= piece.text !== ''
    lastAt = now()
    input.release(gate.push(piece.text, lastAt, piece))
    if (gate.struggle) stop.abort()
  }
  const tick = setInterval(() => {
    const time = now()
    input.release(gate.tick(time))
    if (gate.struggle) stop.abort()
    const limit = firstAt === undefined ? firstLimit : input.gapMs
    if (time - lastAt > limit)
      stop.abort(backendError('MAI_BACKEND_TIMEOUT', `${request.instance.model} sent nothing for ${Math.round(limit / 1000)} s.`))
  }, TICK_MS)

  const finished = (finish: FinishReason, usage: Usage | undefined, trouble: Trouble | undefined): GenerationOutcome => {
    over = true
    const ms = now() - began
    // A server that does not count says nothing, or 0.
    const counted = usage !== undefined && usage.promptTokens > 0
    const used = counted ? usage : { promptTokens: input.promptTokens, completionTokens: usage?.completionTokens || completionTokens }
    return { finish, usage: used, counted, firstTokenMs: (firstAt ?? now()) - began, ms, trouble }
  }
  try {
    const result = await settledAfter(generateFrom(backend, { ...request, signal }, sink), signal)
    if (gate.struggle) return finished('failed', result?.usage, confirmed(gate, input))
    if (input.interruption.aborted) return finished('cancelled', result?.usage, undefined)
    if (stop.signal.aborted) return finished('failed', result?.usage, troubleOf(stop.signal.reason))
    const finish = result?.finish ?? 'failed'
    input.release(gate.end(finish, now()))
    if (gate.struggle) return finished(finish, result?.usage, confirmed(gate, input))
    return finished(finish, result?.usage, badEnd(finish, wrote || called))
  } catch (error) {
    input.release(gate.cut())
    if (input.interruption.aborted) return finished('cancelled', undefined, undefined)
    return finished('failed', undefined, troubleOf(stop.signal.aborted && stop.signal.reason instanceof Error ? stop.signal.reason : error))
  } finally {
    over = true
    clearInterval(tick)
    letGo()
  }
}

/** The result, or undefined when the backend does not settle in time after an abort. */
async function settledAfter<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  let onAbort = (): void => {}
  const gaveUp = new Promise<undefined>((resolve) => {
    onAbort = () => {
      timer = setTimeout(resolve, SETTLE_LIMIT_MS, undefined)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  work.catch(() => {})
  try {
    return await Promise.race([work, gaveUp])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

function confirmed(gate: Gate, input: GenerationInput): Trouble {
  input.release(gate.cut())
  const { kind, evidence } = gate.struggle ?? { kind: 'failed', evidence: '' }
  return { kind, evidence, error: undefined, transient: false, retryAfterMs: undefined, cause: undefined }
}

/** Ends that are struggles, not successes. */
function badEnd(finish: FinishReason, hasContent: boolean): Trouble | undefined {
  const trouble = (kind: StruggleKind, evidence: string, transient: boolean): Trouble => ({
    kind,
    evidence,
    error: undefined,
    transient,
    retryAfterMs: undefined,
    cause: undefined,
  })
  if (finish === 'context-full') return trouble('context-full', 'the window is full', false)
  if (finish === 'model-unloaded') return trouble('model-unloaded', 'the model was unloaded while it answered', true)
  if (finish === 'failed') return trouble('failed', 'the engine gave up', true)
  if (finish === 'content-filter') return troubleOf(backendError('MAI_CONTENT_FILTERED', 'The provider refused to answer.'))
  // Also where it should have gone on with an answer: whether that was whole, one model alone cannot say.
  if (!hasContent && (finish === 'stop' || finish === 'tool-calls')) return trouble('empty', 'the answer has no content', false)
  return undefined
}

function troubleOf(error: unknown): Trouble {
  const { kind, transient } = traitsOf(error)
  const details = typeof error === 'object' && error !== null && 'details' in error ? error.details : undefined
  const wait = typeof details === 'object' && details !== null && 'retryAfterMs' in details ? details.retryAfterMs : undefined
  const fact = toErrorFact(error)
  const retryAfterMs = typeof wait === 'number' ? wait : undefined
  return { kind, evidence: fact.code, error: fact, transient, retryAfterMs, cause: error }
}
