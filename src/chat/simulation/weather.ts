/**
 * What a trace says of a moment: memory, faults, outages.
 *
 * @module
 */
import type { StruggleKind } from '../policy.ts'
import type { Trace, TraceEvent, TraceModel } from './trace.ts'

/** Smallest window that a model is loaded with, in tokens. */
export const SHORTEST_WINDOW = 2048

type Memory = Extract<TraceEvent, { readonly type: 'memory' }>
type Fault = Extract<TraceEvent, { readonly type: 'fault' }>
type Outage = Extract<TraceEvent, { readonly type: 'outage' }>

/** Answers questions about moments. */
export class Weather {
  readonly memory: readonly Memory[]
  readonly #faults: readonly Fault[]
  readonly #outages: readonly Outage[]
  readonly #totalBytes: number

  constructor({ machine, events }: Trace) {
    this.memory = events.filter((event) => event.type === 'memory')
    this.#faults = events.filter((event) => event.type === 'fault')
    this.#outages = events.filter((event) => event.type === 'outage')
    this.#totalBytes = machine.totalBytes
  }

  /** Bytes that are free but for Mai's own models. */
  freeAt(at: number): number {
    let low = 0
    let high = this.memory.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.memory[middle]?.at ?? 0) <= at) low = middle + 1
      else high = middle
    }
    return this.memory[low - 1]?.freeBytes ?? this.#totalBytes
  }

  /** How the model fails at this moment, if it does. */
  faultOf({ model }: TraceModel, at: number): StruggleKind | undefined {
    return this.#faults.find((fault) => fault.model === model && fault.at <= at && at < fault.until)?.kind
  }

  /** Whether its backend is away. */
  isAway({ model }: TraceModel, at: number): boolean {
    const backend = model.slice(0, model.indexOf('/'))
    return this.#outages.some((outage) => outage.backend === backend && outage.at <= at && at < outage.until)
  }

  /** When its backend goes away next, ms since the beginning. */
  nextOutage({ model }: TraceModel, after: number): number {
    const backend = model.slice(0, model.indexOf('/'))
    return this.#outages.find((outage) => outage.backend === backend && outage.at > after)?.at ?? Number.POSITIVE_INFINITY
  }
}
