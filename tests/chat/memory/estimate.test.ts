import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { GgufInsights, getLlama, type Llama, LlamaLogLevel, readGgufFileInfo } from 'node-llama-cpp'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readGgufHeader } from '../../../src/chat/gguf/header.ts'
import { estimateFromHeader, type HeaderFacts, type HoldSettings, headerFacts } from '../../../src/chat/memory/header-estimate.ts'
import { estimateFromTable } from '../../../src/chat/memory/known-models.ts'
import { type GgufShape, writeShape } from '../../../src/testing/gguf-shapes.ts'

/** One of each kind, small so that the engine's dry run is quick. */
const SHAPES: Readonly<Record<string, GgufShape>> = {
  dense: {
    architecture: 'llama',
    layers: 6,
    embedding: 1024,
    heads: 16,
    kvHeads: 4,
    feedForward: 2816,
    vocabulary: 32_000,
    trainedContext: 32_768,
  },
  tied: {
    architecture: 'qwen3',
    layers: 5,
    embedding: 512,
    heads: 8,
    kvHeads: 2,
    headLength: 128,
    feedForward: 1536,
    vocabulary: 151_936,
    trainedContext: 32_768,
    tied: true,
  },
  windows: {
    architecture: 'gemma3',
    layers: 12,
    embedding: 640,
    heads: 4,
    kvHeads: 1,
    headLength: 256,
    feedForward: 2048,
    vocabulary: 65_536,
    trainedContext: 32_768,
    tied: true,
    slidingWindow: 512,
  },
  experts: {
    architecture: 'qwen3moe',
    layers: 4,
    embedding: 512,
    heads: 8,
    kvHeads: 2,
    headLength: 128,
    feedForward: 1536,
    vocabulary: 20_000,
    trainedContext: 32_768,
    experts: { count: 32, used: 4, inner: 384 },
  },
  latent: {
    architecture: 'deepseek2',
    layers: 4,
    embedding: 1024,
    heads: 16,
    feedForward: 4096,
    vocabulary: 50_000,
    trainedContext: 32_768,
    experts: { count: 16, used: 2, inner: 512 },
    latent: { queryRank: 768, rank: 512, rotated: 64, key: 192, value: 128 },
  },
  recurrent: {
    architecture: 'mamba2',
    layers: 6,
    embedding: 1024,
    heads: 0,
    feedForward: 0,
    vocabulary: 30_000,
    trainedContext: 1_000_000,
    recurrent: { kind: 'mamba2', convolution: 4, inner: 2048, state: 128, rank: 32, groups: 1 },
  },
  hybrid: {
    architecture: 'qwen3next',
    layers: 8,
    embedding: 1024,
    heads: 8,
    kvHeads: 2,
    headLength: 256,
    feedForward: 2048,
    vocabulary: 60_000,
    trainedContext: 262_144,
    experts: { count: 64, used: 6, inner: 256, shared: 256 },
    recurrent: { kind: 'delta', convolution: 4, inner: 2048, state: 128, rank: 16, groups: 8, attends: (layer) => layer % 4 === 3 },
  },
}

/** As node-llama-cpp numbers them. */
const KV_TYPES = { f16: 1, q8_0: 8, q4_0: 2 } as const

let folder: string
let llama: Llama
const facts = new Map<string, HeaderFacts>()

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-memory-'))
  const logger = (level: LlamaLogLevel, message: string): void => {
    // Its dry run would fall back on a formula of its own.
    if (level === LlamaLogLevel.warn && message.includes('simulating')) throw new Error(message)
  }
  llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.warn, logger })
  for (const [name, shape] of Object.entries(SHAPES)) {
    await writeShape(path.join(folder, `${name}.gguf`), shape)
    const read = headerFacts(await readGgufHeader(path.join(folder, `${name}.gguf`), { headerOnly: true }))
    if (read) facts.set(name, read)
  }
}, 60_000)

afterAll(() => fs.rm(folder, { recursive: true, force: true }))

const factsOf = (name: string): HeaderFacts => facts.get(name) ?? expect.fail(`no facts of ${name}`)

/** What llama.cpp itself reckons for context and computing, without allocating it. */
async function reckoned(name: string, { contextLength = 0, kvType = 'f16', flashAttention = true }: HoldSettings): Promise<number> {
  const insights = await GgufInsights.from(await readGgufFileInfo(path.join(folder, `${name}.gguf`)), llama)
  const { cpuRam } = await insights.estimateContextResourceRequirementsV2({
    contextSize: contextLength,
    modelGpuLayers: 0,
    batchSize: 512,
    flashAttention,
    useMmap: false,
    kvCacheKeyType: KV_TYPES[kvType],
    kvCacheValueType: KV_TYPES[kvType],
  })
  return cpuRam
}

describe('an estimate from the header', () => {
  it.each(Object.keys(SHAPES))('agrees with what llama.cpp reckons: %s', async (name) => {
    for (const hold of [{ contextLength: 2048 }, { contextLength: 16_384 }]) {
      const { kvBytes, computeBytes } = estimateFromHeader(factsOf(name), hold)
      const truth = await reckoned(name, hold)
      expect((kvBytes + computeBytes) / truth).toBeGreaterThan(0.99)
      expect((kvBytes + computeBytes) / truth).toBeLessThan(1.02)
    }
  })

  it.each(['dense', 'windows', 'latent'])('agrees without flash attention and with a smaller cache: %s', async (name) => {
    for (const hold of [{ flashAttention: false }, { kvType: 'q8_0' }, { kvType: 'q4_0' }] as const) {
      const asked = { contextLength: 8192, ...hold }
      const { kvBytes, computeBytes } = estimateFromHeader(factsOf(name), asked)
      const ratio = (kvBytes + computeBytes) / (await reckoned(name, asked))
      expect(ratio).toBeGreaterThan(0.97)
      expect(ratio).toBeLessThan(1.03)
    }
  })

  it('never needs less cache for a longer window, nor more for fewer bits, and the parts make the whole', () => {
    const arbitrary = fc.record({
      name: fc.constantFrom(...Object.keys(SHAPES)),
      shorter: fc.integer({ min: 1, max: 100_000 }),
      more: fc.integer({ min: 0, max: 100_000 }),
    })
    fc.assert(
      fc.property(arbitrary, ({ name, shorter, more }) => {
        const at = (contextLength: number, kvType: 'f16' | 'q8_0' | 'q4_0') => estimateFromHeader(factsOf(name), { contextLength, kvType })
        const [short, long, small, smallest] = [at(shorter, 'f16'), at(shorter + more, 'f16'), at(shorter, 'q8_0'), at(shorter, 'q4_0')]
        expect(long.kvBytes).toBeGreaterThanOrEqual(short.kvBytes)
        expect(small.kvBytes).toBeLessThanOrEqual(short.kvBytes)
        expect(smallest.kvBytes).toBeLessThanOrEqual(small.kvBytes)
        for (const { weightsBytes, kvBytes, computeBytes, totalBytes } of [short, long, small]) {
          expect(totalBytes).toBe(weightsBytes + kvBytes + computeBytes)
          expect(Number.isSafeInteger(totalBytes)).toBe(true)
        }
      }),
      { numRuns: 40 },
    )
  })

  it('puts more into graphics memory with every layer, and the driver’s part only where one goes there', () => {
    const at = (gpuLayers: number | 'max' | 'off', gpus = 1) =>
      estimateFromHeader(factsOf('dense'), { contextLength: 4096, gpuLayers, gpus })
    expect(at('off')).not.toHaveProperty('gpuBytes')
    const bytes = [1, 2, 4, 6].map((layers) => at(layers).gpuBytes ?? 0)
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b))
    expect(at(1).totalBytes - at('off').totalBytes).toBeGreaterThan(450 * 2 ** 20)
    expect(at('max').gpuBytes).toBe(at(7).gpuBytes)
    expect(at('max', 2).totalBytes).toBeGreaterThan(at('max').totalBytes + 450 * 2 ** 20)
  })
})

describe('headers', () => {
  it('are enough: the weights need not be there', async () => {
    const file = path.join(folder, 'dense.gguf')
    await expect(readGgufHeader(file)).rejects.toMatchObject({ code: 'MAI_MODEL_FILE' })
    const { tensors } = await readGgufHeader(file, { headerOnly: true })
    expect(tensors.length).toBeGreaterThan(50)
  })

  it('with 150,000 words and as many merges are read without keeping them', async () => {
    const file = path.join(folder, 'words.gguf')
    await writeShape(file, SHAPES.dense ?? expect.fail(), { tokens: 150_000 })
    const before = process.memoryUsage().heapUsed
    const { metadata } = await readGgufHeader(file, { headerOnly: true })
    expect(metadata.get('tokenizer.ggml.merges')).toMatchObject({ length: 150_000 })
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(15e6)
  })
})

describe('a table of families', () => {
  it('knows the sizes of a family, and nothing in between or of strangers', () => {
    const llama = { architecture: 'llama', parameters: 8.03e9, sizeBytes: 4.9e9, quantisationBits: 4 }
    const known = estimateFromTable(llama, { contextLength: 8192 })
    // As recorded for that model: 1,353,189,376 bytes beside the weights.
    expect((known?.kvBytes ?? 0) + (known?.computeBytes ?? 0)).toBeGreaterThan(1.35e9)
    expect((known?.kvBytes ?? 0) + (known?.computeBytes ?? 0)).toBeLessThan(1.37e9)
    expect(estimateFromTable({ ...llama, parameters: 5e9 }, { contextLength: 8192 })).toBeUndefined()
    expect(estimateFromTable({ ...llama, architecture: 'unheard-of' }, { contextLength: 8192 })).toBeUndefined()
  })
})
