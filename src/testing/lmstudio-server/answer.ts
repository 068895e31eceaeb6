/**
 * An answer as a stream of pieces, and the faults that change its course.
 *
 * @module
 */
import type { EngineRequest, EngineResult, LoadedEngine } from '../engine.ts'
import { wireErrors } from './errors.ts'
import type { EndingFault } from './faults.ts'
import type { Instance } from './instances.ts'
import { aborted, pause } from './pause.ts'
import type { ChannelContext, Studio } from './studio.ts'

/** One fragment. */
export interface Piece {
  readonly text: string
  readonly tokens: number
}

type StopReason = EngineResult['stopReason']

/** Pieces, then why they ended. */
export type Answer = AsyncGenerator<Piece, StopReason>

/** What an engine generates. Returning early stops the engine and waits for it. */
export async function* engineAnswer(engine: LoadedEngine, request: EngineRequest): Answer {
  const stop = new AbortController()
  let arrived: Piece[] = []
  let wake: () => void = () => {}
  let end: EngineResult | undefined
  let failure: { readonly error: unknown } | undefined
  const running = engine
    .generate({ ...request, signal: AbortSignal.any([request.signal, stop.signal]) }, (text, tokens) => {
      arrived.push({ text, tokens })
      wake()
    })
    .then(
      (result) => {
        end = result
      },
      (error: unknown) => {
        failure = { error }
      },
    )
    .then(() => wake())
  try {
    for (;;) {
      const batch = arrived
      arrived = []
      yield* batch
      if (arrived.length > 0) continue
      if (failure) throw failure.error
      if (end) return end.stopReason
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  } finally {
    stop.abort()
    await running
  }
}

/** What a fault needs to do its work. */
export interface FaultScene {
  readonly studio: Studio
  readonly channel: ChannelContext
  readonly instance: Instance
  readonly request: EngineRequest
  readonly promptTokens: number
  /** Aborts when the answer shall end, for whatever reason. */
  readonly signal: AbortSignal
}

/** Fragments of a `repeat` fault, where it names none. */
const CYCLE = 8

/** The same answer with the fault in it. */
export async function* faultyAnswer(source: Answer, fault: EndingFault, scene: FaultScene): Answer {
  const untouched = fault.afterFragments ?? (fault.kind === 'repeat' ? CYCLE : 0)
  const given: Piece[] = []
  try {
    while (given.length < untouched) {
      const step = await source.next()
      if (step.done) return step.value
      given.push(step.value)
      yield step.value
    }
    return yield* takeOver(fault, source, given, scene)
  } finally {
    await source.return('userStopped')
  }
}

async function* takeOver(fault: EndingFault, source: Answer, given: readonly Piece[], scene: FaultScene): Answer {
  const { studio, channel, instance, signal } = scene
  switch (fault.kind) {
    case 'drop-socket':
      await channel.dropSocket()
      if (fault.refuseForMs !== undefined) studio.vanish({ keepModels: true, backAfterMs: fault.refuseForMs })
      return 'userStopped'
    case 'kill-server':
      await channel.dropSocket()
      studio.vanish({ keepModels: false, backAfterMs: fault.restartAfterMs })
      return 'userStopped'
    case 'stall':
      await aborted(fault.ignoreCancel ? AbortSignal.any([channel.closed, instance.ended.signal]) : signal)
      return 'userStopped'
    case 'unload':
      studio.instances.remove(instance)
      return 'userStopped'
    case 'crash': {
      const error = wireErrors.crashed(fault.exitCode ?? 134)
      studio.instances.remove(instance, error)
      throw error
    }
    case 'repeat':
      return yield* repeat(given.slice(-(fault.fragments ?? CYCLE)), fault.everyMs ?? 1, given, scene)
    case 'slow-answer':
      for (;;) {
        await pause(fault.everyMs, signal)
        const step = await source.next()
        if (step.done) return step.value
        yield step.value
      }
    case 'stop':
      return fault.reason
    case 'answer-error':
      throw wireErrors.loadFailed(fault.message)
    case 'overflow':
      throw wireErrors.contextOverflow(scene.promptTokens, instance.engine.contextLength)
    case 'empty':
      return 'eosFound'
  }
}

/** Goes round for ever, but for a limit of tokens that the client set. */
async function* repeat(cycle: readonly Piece[], everyMs: number, given: readonly Piece[], { request, signal }: FaultScene): Answer {
  const pieces = cycle.length > 0 ? cycle : [{ text: ' again', tokens: 1 }]
  let tokens = given.reduce((sum, piece) => sum + piece.tokens, 0)
  for (;;) {
    for (const piece of pieces) {
      await pause(everyMs, signal)
      if (signal.aborted) return 'userStopped'
      tokens += piece.tokens
      if (tokens > (request.maxTokens ?? Number.POSITIVE_INFINITY)) return 'maxPredictedTokensReached'
      yield piece
    }
  }
}
