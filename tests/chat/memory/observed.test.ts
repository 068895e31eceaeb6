import { describe, expect, it } from 'vitest'
import { estimateModel } from '../../../src/chat/memory/model-memory.ts'
import { correctedBy } from '../../../src/chat/memory/observed-memory.ts'
import type { MemoryEstimate, ModelInfo } from '../../../src/chat/model.ts'

const estimate: MemoryEstimate = {
  weightsBytes: 800,
  kvBytes: 100,
  computeBytes: 100,
  totalBytes: 1000,
  source: 'header',
  confidence: 0.95,
}

describe('an estimate corrected by a load that was seen', () => {
  it('becomes what was seen, in all its parts', () => {
    expect(correctedBy(estimate, 1200)).toMatchObject({
      totalBytes: 1200,
      weightsBytes: 800,
      kvBytes: 100,
      computeBytes: 300,
      source: 'observed',
    })
  })

  it('sinks only a little below a header, as what is mapped from a file is not seen at once; more below a guess', () => {
    expect(correctedBy(estimate, 100).totalBytes).toBe(950)
    expect(correctedBy({ ...estimate, source: 'size' }, 100)).toMatchObject({ totalBytes: 700, kvBytes: 0, weightsBytes: 700 })
  })

  it('does not believe the impossible', () => {
    expect(correctedBy(estimate, 1e9).totalBytes).toBe(2000)
  })
})

describe('the order of trust', () => {
  const model: ModelInfo = {
    key: 'a/m',
    backend: 'a',
    id: 'm',
    name: 'm',
    remote: false,
    sizeBytes: 4.9e9,
    parameters: 8.03e9,
    quantisation: undefined,
    architecture: 'llama',
    maxContextLength: 8192,
    abilities: { vision: false, tools: false, reasoning: false },
    path: undefined,
    instances: [],
  }

  it('takes a table of families before the size alone', () => {
    expect(estimateModel(model, { contextLength: 4096 }).source).toBe('table')
    expect(estimateModel({ ...model, architecture: undefined }, { contextLength: 4096 }).source).toBe('size')
  })
})
