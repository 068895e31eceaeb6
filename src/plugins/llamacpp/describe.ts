/**
 * What a header says about a model, in Mai's words; never its file's name.
 *
 * @module
 */
import type { GgufHeader } from '../../chat/gguf/header.ts'
import type { Metadata } from '../../chat/gguf/value.ts'

/** What Mai wants to know of a model's file. */
export interface ModelFacts {
  readonly architecture: string
  readonly name: string | undefined
  readonly parameters: number
  /** Weights in this very file: of a split model only a part. */
  readonly elements: number
  readonly quantisation: { readonly name: string; readonly bits: number | undefined }
  readonly maxContextLength: number
  readonly hasTemplate: boolean
  readonly tools: boolean
  readonly reasoning: boolean
  /** Its place among the files of a split model, counted from 0, and how many there are. */
  readonly split: { readonly index: number; readonly count: number } | undefined
  /** A model that embeds, projects or adapts, and answers nothing. */
  readonly answers: boolean
}

/** llama.cpp's `llama_ftype`: name and bits a weight, about. */
const FILE_TYPES: ReadonlyMap<number, readonly [string, number]> = new Map([
  [0, ['F32', 32]],
  [1, ['F16', 16]],
  [2, ['Q4_0', 4]],
  [3, ['Q4_1', 4]],
  [7, ['Q8_0', 8]],
  [8, ['Q5_0', 5]],
  [9, ['Q5_1', 5]],
  [10, ['Q2_K', 2]],
  [11, ['Q3_K_S', 3]],
  [12, ['Q3_K_M', 3]],
  [13, ['Q3_K_L', 3]],
  [14, ['Q4_K_S', 4]],
  [15, ['Q4_K_M', 4]],
  [16, ['Q5_K_S', 5]],
  [17, ['Q5_K_M', 5]],
  [18, ['Q6_K', 6]],
  [19, ['IQ2_XXS', 2]],
  [20, ['IQ2_XS', 2]],
  [21, ['Q2_K_S', 2]],
  [22, ['IQ3_XS', 3]],
  [23, ['IQ3_XXS', 3]],
  [24, ['IQ1_S', 1]],
  [25, ['IQ4_NL', 4]],
  [26, ['IQ3_S', 3]],
  [27, ['IQ3_M', 3]],
  [28, ['IQ2_S', 2]],
  [29, ['IQ2_M', 2]],
  [30, ['IQ4_XS', 4]],
  [31, ['IQ1_M', 1]],
  [32, ['BF16', 16]],
  [36, ['TQ1_0', 1]],
  [37, ['TQ2_0', 2]],
  [38, ['MXFP4', 4]],
])

/** Architectures whose models answer nothing. */
const SILENT = /^(bert|nomic-bert|jina-bert|clip|t5encoder|gritlm|wavtokenizer|mmproj)/

/** Window where a header names none. */
const UNKNOWN_CONTEXT = 2048

export function describeModel(header: GgufHeader): ModelFacts {
  const { metadata } = header
  const architecture = text(metadata.get('general.architecture')) ?? 'unknown'
  const template = text(metadata.get('tokenizer.chat_template')) ?? ''
  const type = number(metadata.get('general.file_type'))
  const [name, bits] = (type === undefined ? undefined : FILE_TYPES.get(type)) ?? byTensors(header)
  const count = number(metadata.get('split.count')) ?? 0
  const elements = header.tensors.reduce((sum, { shape }) => sum + product(shape), 0)
  return {
    architecture,
    name: text(metadata.get('general.name')),
    parameters: positive(metadata.get('general.parameter_count')) ?? elements,
    elements,
    quantisation: { name, bits },
    maxContextLength: positive(metadata.get(`${architecture}.context_length`)) ?? UNKNOWN_CONTEXT,
    hasTemplate: template !== '',
    tools: /\btools?\b/.test(template),
    reasoning: /<think>|enable_thinking|reasoning_content/.test(template),
    split: count > 1 ? { index: number(metadata.get('split.no')) ?? 0, count } : undefined,
    answers: !SILENT.test(architecture) && metadata.get('general.type') !== 'adapter' && metadata.get('general.type') !== 'mmproj',
  }
}

/** What llama.cpp looks at without asking whether it is there; and what it asserts not to be 0. */
const NEEDED = ['feed_forward_length', 'attention.head_count', 'block_count', 'embedding_length'] as const
const NOT_ZERO = [...NEEDED, 'attention.head_count_kv', 'attention.value_length'] as const
/** llama.cpp's `LLAMA_MAX_LAYERS`. */
const MOST_LAYERS = 512

/** Why llama.cpp would abort the whole process on this file, undefined when it would not. */
export function engineProblem(header: GgufHeader): string | undefined {
  const { metadata } = header
  // Only the first file of a split model says what it is.
  if ((number(metadata.get('split.no')) ?? 0) > 0) return undefined
  const architecture = text(metadata.get('general.architecture'))
  if (architecture === undefined) return 'it names no architecture'
  // Other architectures may do without, or mean something by 0.
  const strict = architecture === 'llama'
  const missing = strict ? NEEDED.find((key) => !metadata.has(`${architecture}.${key}`)) : undefined
  if (missing !== undefined) return `it has no ${architecture}.${missing}`
  const zero = strict ? NOT_ZERO.find((key) => metadata.get(`${architecture}.${key}`) === 0) : undefined
  if (zero !== undefined) return `its ${architecture}.${zero} is 0`
  const layers = number(metadata.get(`${architecture}.block_count`)) ?? 1
  if (layers > MOST_LAYERS) return `it claims to have ${layers} layers`
  if (metadata.get('tokenizer.ggml.model') === 'llama' && header.byteTokens === 0) return 'its vocabulary has no byte tokens'
  return undefined
}

/** The type that most weights have. */
function byTensors({ tensors }: GgufHeader): readonly [string, number | undefined] {
  const weights = new Map<number, number>()
  for (const { type, shape } of tensors) weights.set(type, (weights.get(type) ?? 0) + product(shape))
  const [most] = [...weights].sort((a, b) => b[1] - a[1])
  const found = most && TENSOR_TYPES.get(most[0])
  return found ?? ['unknown', undefined]
}

/** ggml's types of tensors, as far as whole models are stored in them. */
const TENSOR_TYPES: ReadonlyMap<number, readonly [string, number]> = new Map([
  [0, ['F32', 32]],
  [1, ['F16', 16]],
  [2, ['Q4_0', 4]],
  [3, ['Q4_1', 4]],
  [6, ['Q5_0', 5]],
  [7, ['Q5_1', 5]],
  [8, ['Q8_0', 8]],
  [10, ['Q2_K', 2]],
  [11, ['Q3_K', 3]],
  [12, ['Q4_K', 4]],
  [13, ['Q5_K', 5]],
  [14, ['Q6_K', 6]],
  [30, ['BF16', 16]],
  [39, ['MXFP4', 4]],
])

function product(shape: readonly number[]): number {
  return shape.reduce((sum, size) => sum * size, 1)
}

function number(value: Metadata | undefined): number | undefined {
  return typeof value === 'number' ? value : undefined
}

/** A header may say anything. */
function positive(value: Metadata | undefined): number | undefined {
  return typeof value === 'number' && value > 0 && Number.isSafeInteger(value) ? value : undefined
}

function text(value: Metadata | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
