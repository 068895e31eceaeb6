/**
 * A trace from this machine's own log: the days as they were, for other policies to try.
 *
 * @module
 */

import { RecordReader } from '../decisions/selection-record.ts'
import type { ModelKey } from '../model.ts'
import type { Candidate, RecordedEvent } from '../policy.ts'
import type { Store } from '../store.ts'
import type { Trace, TraceEvent, TraceMessage, TraceModel } from './trace.ts'

const PAGE = 1000
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
  #asked: { at: number; message: Omit<TraceMessage, 'answerTokens'> } | undefined

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
        this.#unfinished()
        this.#asked = { at, message: { type: 'message', at, session: request.sessionId ?? '', needs: request.needs } }
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
        if (!event.payload.memory) this.#fault(at, event.payload.model, 'load-failed')
        return
      case 'generation.failed':
        this.#fault(at, event.payload.model, event.payload.kind)
        return
      case 'generation.finished': {
        const { model, ms, firstTokenMs, completionTokens } = event.payload
        const seen = this.#seenOf(model)
        seen.tokens += completionTokens
        seen.writingMs += Math.max(0, ms - firstTokenMs)
        if (this.#asked) this.#events.push({ ...this.#asked.message, answerTokens: Math.max(1, completionTokens) })
        this.#asked = undefined
        return
      }
      default:
        return
    }
  }

  trace(name: string): Trace | undefined {
    this.#unfinished()
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
  #fault(at: number, model: ModelKey, kind: Extract<TraceEvent, { readonly type: 'fault' }>['kind']): void {
    this.#events.push({ type: 'fault', at: this.#asked?.at ?? at, until: at + FAULT_MS, model, kind })
  }

  #unfinished(): void {
    if (this.#asked) this.#events.push({ ...this.#asked.message, answerTokens: UNKNOWN_ANSWER })
    this.#asked = undefined
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
