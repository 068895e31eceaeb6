/**
 * A trace from this machine's own log: the days as they were, for other policies to try.
 *
 * @module
 */

import { RecordReader } from '../decisions/selection-record.ts'
import type { ModelKey } from '../model.ts'
import type { Candidate, OfTurn, RecordedEvent } from '../policy.ts'
import type { Store } from '../store.ts'
import type { Trace, TraceEvent, TraceMessage, TraceModel } from './trace.ts'

const PAGE = 250
/** Length of an answer that was not finished, in tokens. */
const UNKNOWN_ANSWER = 300
/** How long a failure is taken to last, in ms. */
const FAULT_MS = 30_000
/** Bytes of weights read each second, where no answer of a model was seen; loading likewise. */
const BANDWIDTH = 40e9
const DISK = 1e9
/** A prompt is read so many times faster than an answer is written. */
const PREFILL_GAIN = 10

/** Speeds as they were seen. */
interface Seen {
  tokens: number
  writingMs: number
  loads: number
  loadMs: number
}

/** Gathers a trace while records pass by. */
class Recording {
  readonly #since: number
  readonly #events: TraceEvent[] = []
  readonly #models: Map<ModelKey, Candidate> = new Map()
  readonly #seen: Map<ModelKey, Seen> = new Map()
  #totalBytes = 0
  #heldBytes = 0
  /** Messages whose answer is still to come, by turn, oldest first. */
  readonly #asked: Map<string, Omit<TraceMessage, 'answerTokens'>> = new Map()

  constructor(since: number) {
    this.#since = since
  }

  take(event: RecordedEvent): void {
    const at = Math.max(0, event.time - this.#since)
    switch (event.type) {
      case 'model.selected': {
        const { request } = event.payload
        if (request.candidates.length === 0) return
        for (const candidate of request.candidates) if (!candidate.remote) this.#models.set(candidate.model, candidate)
        const { memory } = request.resources
        this.#totalBytes = memory.totalBytes
        this.#heldBytes = request.candidates.reduce(
          (sum, c) => sum + (c.loadedContextLength === undefined || c.remote ? 0 : c.memory.totalBytes),
          0,
        )
        this.#memory(at, memory.availableBytes)
        if (request.purpose !== 'turn') return
        const session = request.sessionId ?? ''
        for (const [turn, message] of this.#asked) if (message.session === session) this.#answered(turn, UNKNOWN_ANSWER)
        this.#asked.set(request.turnId ?? '', { type: 'message', at, session, needs: request.needs })
        return
      }
      case 'resources.pressured':
      case 'resources.recovered':
        this.#memory(at, event.payload.availableBytes)
        return
      case 'model.loaded': {
        const seen = this.#seenOf(event.payload.model)
        seen.loads++
        seen.loadMs += event.payload.ms
        return
      }
      case 'model.load.failed':
        if (!event.payload.memory) this.#fault(at, event.payload, 'load-failed')
        return
      case 'generation.failed':
        this.#fault(at, event.payload, event.payload.kind)
        return
      case 'generation.finished': {
        const { turnId, model, ms, firstTokenMs, completionTokens } = event.payload
        const seen = this.#seenOf(model)
        seen.tokens += completionTokens
        seen.writingMs += Math.max(0, ms - firstTokenMs)
        this.#answered(this.#turn(turnId), Math.max(1, completionTokens))
        return
      }
      default:
        return
    }
  }

  trace(name: string): Trace | undefined {
    for (const turn of this.#asked.keys()) this.#answered(turn, UNKNOWN_ANSWER)
    const events = this.#events.sort((a, b) => a.at - b.at)
    if (!events.some(({ type }) => type === 'message')) return undefined
    return {
      machine: { type: 'machine', version: 1, name, totalBytes: this.#totalBytes },
      models: [...this.#models.values()].map((candidate) => this.#model(candidate)),
      events: [...events, { type: 'end', at: events.at(-1)?.at ?? 0 }],
    }
  }

  #memory(at: number, availableBytes: number): void {
    this.#events.push({ type: 'memory', at, freeBytes: Math.min(this.#totalBytes, availableBytes + this.#heldBytes) })
  }

  /** From the question on: another policy would have met it too. */
  #fault(
    at: number,
    { turnId, model }: OfTurn & { readonly model: ModelKey },
    kind: Extract<TraceEvent, { readonly type: 'fault' }>['kind'],
  ): void {
    this.#events.push({ type: 'fault', at: this.#asked.get(this.#turn(turnId))?.at ?? at, until: at + FAULT_MS, model, kind })
  }

  /** Where a record does not say of which turn it is: the newest. */
  #turn(turnId: string | undefined): string {
    return turnId ?? [...this.#asked.keys()].at(-1) ?? ''
  }

  #answered(turn: string, answerTokens: number): void {
    const message = this.#asked.get(turn)
    if (message) this.#events.push({ ...message, answerTokens })
    this.#asked.delete(turn)
  }

  #seenOf(model: ModelKey): Seen {
    const seen = this.#seen.get(model) ?? { tokens: 0, writingMs: 0, loads: 0, loadMs: 0 }
    this.#seen.set(model, seen)
    return seen
  }

  #model({ model, memory, parameters, quantisationBits, quality, plannedContextLength, abilities }: Candidate): TraceModel {
    const { weightsBytes, kvBytes, computeBytes } = memory
    const bits = quantisationBits ?? 4.5
    const all = parameters ?? (weightsBytes * 8) / bits
    const seen = this.#seenOf(model)
    const tokensPerSecond =
      seen.writingMs > 0 && seen.tokens > 0 ? (seen.tokens * 1000) / seen.writingMs : BANDWIDTH / Math.max(1, weightsBytes)
    return {
      type: 'model',
      model,
      weightsBytes,
      kvBytes,
      computeBytes,
      parameters: all,
      bits,
      contextLength: plannedContextLength,
      quality: Math.log2(1 + 8 * (quality ?? all / 1e9)),
      tokensPerSecond,
      prefillPerSecond: tokensPerSecond * PREFILL_GAIN,
      loadMs: seen.loads > 0 ? Math.round(seen.loadMs / seen.loads) : Math.round(1000 + (weightsBytes * 1000) / DISK),
      ...abilities,
    }
  }
}

/**
 * What the log says happened since a moment. How good a model is the log does not know: its size stands for it.
 * @param since epoch ms
 * @returns undefined when no message was recorded
 */
export async function recordedTrace(store: Store, since: number): Promise<Trace | undefined> {
  const reader = new RecordReader(store)
  let recording: Recording | undefined
  for (let after = 0; ; ) {
    const page = await store.records({ after, limit: PAGE })
    for (const event of await reader.whole(page)) {
      if (event.time < since) continue
      recording ??= new Recording(event.time)
      recording.take(event)
    }
    const last = page.at(-1)
    if (!last || page.length < PAGE) break
    after = last.seq
  }
  return recording?.trace('recorded')
}
