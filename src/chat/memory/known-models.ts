/**
 * Shapes of families of models, for when a model's header cannot be read: by architecture and number of parameters.
 * From the models' published configurations.
 *
 * @module
 */
import type { MemoryEstimate } from '../model.ts'
import type { HoldSettings } from './header-estimate.ts'
import { cells } from './kv-cache.ts'

/** Billions of parameters, layers, heads of keys and values, elements of a head, vocabulary; a window and how many layers keep to it. */
type Row = readonly [
  billions: number,
  layers: number,
  kvHeads: number,
  headLength: number,
  vocabulary: number,
  window?: number,
  windowed?: number,
]

const FAMILIES: Readonly<Record<string, readonly Row[]>> = {
  llama: [
    [1.24, 16, 8, 64, 128_256],
    [3.21, 28, 8, 128, 128_256],
    [6.74, 32, 32, 128, 32_000],
    [7.25, 32, 8, 128, 32_768],
    [8.03, 32, 8, 128, 128_256],
    [13.02, 40, 40, 128, 32_000],
    [23.6, 40, 8, 128, 131_072],
    [46.7, 32, 8, 128, 32_000],
    [70.6, 80, 8, 128, 128_256],
  ],
  qwen2: [
    [0.49, 24, 2, 64, 151_936],
    [1.54, 28, 2, 128, 151_936],
    [3.09, 36, 2, 128, 151_936],
    [7.62, 28, 4, 128, 152_064],
    [14.8, 48, 8, 128, 152_064],
    [32.8, 64, 8, 128, 152_064],
    [72.7, 80, 8, 128, 152_064],
  ],
  qwen3: [
    [0.6, 28, 8, 128, 151_936],
    [1.72, 28, 8, 128, 151_936],
    [4.02, 36, 8, 128, 151_936],
    [8.19, 36, 8, 128, 151_936],
    [14.8, 40, 8, 128, 151_936],
    [32.8, 64, 8, 128, 151_936],
  ],
  qwen3moe: [
    [30.5, 48, 4, 128, 151_936],
    [235, 94, 4, 128, 151_936],
  ],
  gemma2: [
    [2.61, 26, 4, 256, 256_000, 4096, 13],
    [9.24, 42, 8, 256, 256_000, 4096, 21],
    [27.2, 46, 16, 128, 256_000, 4096, 23],
  ],
  gemma3: [
    [0.27, 18, 1, 256, 262_144, 512, 15],
    [1.0, 26, 1, 256, 262_144, 512, 22],
    [3.88, 34, 4, 256, 262_208, 1024, 29],
    [11.8, 48, 8, 256, 262_208, 1024, 40],
    [27.0, 62, 16, 128, 262_208, 1024, 52],
  ],
  phi3: [
    [3.82, 32, 32, 96, 32_064],
    [14.7, 40, 10, 128, 100_352],
  ],
  'gpt-oss': [
    [20.9, 24, 8, 64, 201_088, 128, 12],
    [117, 36, 8, 64, 201_088, 128, 18],
  ],
}

/** Sizes in a family differ by more than this; what is further off is another model. */
const TOLERANCE = 0.15
const MIB = 2 ** 20
const MICRO_BATCH = 512
const BYTES_PER_ELEMENT = { f16: 2, q8_0: 34 / 32, q4_0: 18 / 32 } as const

/** What is asked about a model. */
export interface FamilyFacts {
  readonly architecture: string | undefined
  readonly parameters: number | undefined
  readonly sizeBytes: number | undefined
  readonly quantisationBits: number | undefined
}

/** Undefined where nothing like it is known. */
export function estimateFromTable(model: FamilyFacts, hold: HoldSettings & { readonly contextLength: number }): MemoryEstimate | undefined {
  const billions = (model.parameters ?? 0) / 1e9
  const rows = FAMILIES[model.architecture ?? ''] ?? []
  const [nearest] = [...rows].sort((a, b) => distance(a, billions) - distance(b, billions))
  if (!nearest || distance(nearest, billions) > TOLERANCE) return undefined
  const [, layers, kvHeads, headLength, vocabulary, window, windowed = 0] = nearest
  const { contextLength, kvType = 'f16', flashAttention = true } = hold
  const settings = { contextLength, microBatch: MICRO_BATCH, kvType, flashAttention }
  const rowBytes = 2 * kvHeads * headLength * BYTES_PER_ELEMENT[kvType]
  const kvBytes = rowBytes * ((layers - windowed) * cells(undefined, settings) + windowed * cells(window, settings))
  // Without flash attention every head's agreement with every token is in memory at once; four heads of queries share one of keys.
  const scores = flashAttention ? 0 : 4 * kvHeads * contextLength * MICRO_BATCH * 4
  const computeBytes = Math.max(MICRO_BATCH * vocabulary * 4, scores) + 16 * MIB
  const weightsBytes = model.sizeBytes ?? (billions * 1e9 * (model.quantisationBits ?? 4.5)) / 8
  return { weightsBytes, kvBytes, computeBytes, totalBytes: weightsBytes + kvBytes + computeBytes, source: 'table', confidence: 0.75 }
}

function distance([billions]: Row, wanted: number): number {
  return Math.abs(billions - wanted) / billions
}
