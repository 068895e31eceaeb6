/**
 * Memory of one model, from the best that is known of it without asking anybody: its header, a table of families, its size.
 *
 * @module
 */

import type { MemoryEstimate, ModelInfo } from '../model.ts'
import { estimateFromHeader, type HeaderFacts, type HoldSettings } from './header-estimate.ts'
import { estimateFromTable } from './known-models.ts'
import { estimateFromSize } from './size-estimate.ts'

/** What a header says, and what was worked out from it. Not written to JSON: it is thousands of numbers. */
export class HeaderMemory {
  readonly #facts: HeaderFacts
  readonly #known: Map<string, MemoryEstimate> = new Map()

  constructor(facts: HeaderFacts) {
    this.#facts = facts
  }

  /** Worked out once for each way to hold the model: a few milliseconds. */
  estimate(hold: HoldSettings): MemoryEstimate {
    const { contextLength, kvType, flashAttention, gpuLayers, gpus, gpuKind, microBatch } = hold
    const key = [contextLength, kvType, flashAttention, gpuLayers, gpus, gpuKind, microBatch].join()
    const known = this.#known.get(key) ?? estimateFromHeader(this.#facts, hold)
    this.#known.set(key, known)
    return known
  }

  toJSON(): undefined {
    return undefined
  }
}

/** By trust: header, table, size. */
export function estimateModel(model: ModelInfo, hold: HoldSettings & { readonly contextLength: number }): MemoryEstimate {
  const facts = { ...model, quantisationBits: model.quantisation?.bits }
  return model.memory?.estimate(hold) ?? estimateFromTable(facts, hold) ?? estimateFromSize(facts, hold.contextLength)
}
