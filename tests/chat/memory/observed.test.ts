import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { CHAT_HOOKS, CHAT_LISTS } from '../../../src/chat/events.ts'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import type { HoldSettings } from '../../../src/chat/memory/header-estimate.ts'
import { estimateModel } from '../../../src/chat/memory/model-memory.ts'
import { correctedBy, ObservedMemory } from '../../../src/chat/memory/observed-memory.ts'
import type { MemoryEstimate, ModelInfo } from '../../../src/chat/model.ts'
import { createKernel } from '../../../src/core/kernel.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { llamacpp } from '../../../src/plugins/llamacpp/index.ts'
import { resources } from '../../../src/plugins/resources/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'

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

  it('does not sink below a header, as what is mapped from a file is not seen at once; but below a guess', () => {
    expect(correctedBy(estimate, 100).totalBytes).toBe(1000)
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

describe('what was learned of a model', () => {
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

  it('with one type of cache says nothing of another', async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-learned-'))
    onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
    await using kernel = createKernel({ plugins: [store({ file: path.join(folder, 'mai.db') })], lists: CHAT_LISTS, hooks: CHAT_HOOKS })
    await kernel.start()
    const ctx = kernel.context
    const kept = ctx.use('store')
    await kept.learn(model.key, { 'memoryBytes@4096': 6e9, 'memoryBytes@4096/q8_0': 5.5e9 })
    const known = async (hold: HoldSettings): Promise<string[]> => {
      const observed = new ObservedMemory({ ctx, store: kept, find: () => model, holdOf: () => hold })
      await observed.remember([model])
      return [...observed.estimates.keys()]
    }
    expect(await known({})).toEqual(['a/m@4096'])
    expect(await known({ kvType: 'q8_0' })).toEqual(['a/m@4096'])
    expect(await known({ kvType: 'q4_0' })).toEqual([])
  })
})

describe('what a load took', () => {
  it('is told by the engine, kept in the store, and known to the next Mai', async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-observed-'))
    const opened: Mai[] = []
    onTestFinished(async () => {
      for (const mai of opened) await mai.shutdown()
      await fs.rm(folder, { recursive: true, force: true })
    })
    await writeRecitingModel(path.join(folder, 'tale.gguf'), { text: 'Once upon a time.', sizeBytes: 96e6 })
    const open = async (): Promise<Mai> => {
      const engine = llamacpp({ paths: [folder], discover: false, threads: 1 })
      const plugins = [store({ file: path.join(folder, 'mai.db') }), resources({ graphics: false }), switching(), compression(), engine]
      const mai = await createMai({ plugins, unloadOnExit: true })
      opened.push(mai)
      return mai
    }
    const first = await open()
    const { memory: before } = await first.models.estimateMemory('tale', { contextLength: 512 })
    expect(before.source).toBe('header')
    const { memoryBytes = 0 } = await first.models.loadModel('tale', { contextLength: 512 })
    expect(memoryBytes).toBeGreaterThan(50e6)
    const key = 'llamacpp/tale'
    await expect.poll(async () => (await first.store.figures(key))['memoryBytes@512'], { timeout: 10_000 }).toBe(memoryBytes)
    await first.shutdown()
    const second = await open()
    const { memory: after } = await second.models.estimateMemory('tale', { contextLength: 512 })
    expect(after.source).toBe('observed')
    expect(after.totalBytes).toBe(before.totalBytes)
  }, 60_000)
})
