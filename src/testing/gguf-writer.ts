/**
 * Writes tiny models that recite: real llama.cpp loads them, tokenizes for them and keeps a KV cache for them, and
 * what they say is known in advance.
 *
 * How it works. One attention head for each token of context looks back by a fixed distance, which rotary positions
 * make exact, and copies the token it finds there. Each unit of the feed-forward layer stands for one context; the one
 * that fires replaces the token that would come without it. So the answer depends on the KV cache: a wrong one shows.
 *
 * @module
 */
import { f16Data, f32Data, type GgufTensor, type GgufValue, type TensorPart, tensorBytes, writeGguf } from './gguf-file.ts'
import { type Piece, planRecital, type Recital, SPECIAL } from './gguf-recital.ts'

/** What to write. */
export interface RecitingModelOptions {
  /** What it says after any prompt; a prompt that ends with the beginning of it is continued there, also inside a word. */
  readonly text: string
  /** Default `Reciter`. */
  readonly name?: string
  /** Window it claims to be trained for, in tokens. Default 4,096. */
  readonly contextLength?: number
  /** Layers beyond the first do nothing but cost memory and time. Default 1. */
  readonly layers?: number
  /** Grows the file to this many bytes (within 1 %), and memory and work with it; the answer stays the same. Default: as small as can be. */
  readonly sizeBytes?: number
  /** Never ends: after the text comes again what stands behind this many characters of it. */
  readonly loop?: { readonly from: number }
}

/** What was written. */
export interface RecitingModel {
  readonly file: string
  readonly sizeBytes: number
}

/**
 * Writes a model as a GGUF file.
 *
 * @example
 * await writeRecitingModel('/tmp/a.gguf', { text: 'The cat saw the dog. The dog ran.' })
 * await writeRecitingModel('/tmp/b.gguf', { text: 'On and on and on', loop: { from: 2 }, sizeBytes: 64_000_000 })
 * @throws MaiError `MAI_TEST_MODEL` when the text cannot be recited
 */
export async function writeRecitingModel(file: string, options: RecitingModelOptions): Promise<RecitingModel> {
  const recital = planRecital(options.text, options.loop?.from)
  const layers = Math.max(1, options.layers ?? 1)
  const smallest = tensorsOf(recital, layers, recital.rules.length)
  const spare = (options.sizeBytes ?? 0) - smallest.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const unitBytes = 3 * 2 * width(recital) * layers
  const units = recital.rules.length + Math.max(0, Math.floor(spare / unitBytes))
  const sizeBytes = await writeGguf(file, metadataOf(recital, options, layers, units), tensorsOf(recital, layers, units))
  return { file, sizeBytes }
}

/** Dimensions of a token's code, and of a head. */
const CODE = 32
/** Codes differ in at least so many dimensions. */
const DISTANCE = 8
/** How strongly a token stands in the residual stream as the next one. */
const NEXT = 2
/** What a unit gives when it fires; a power of two, so that 16-bit floats keep the weights behind it exactly. */
const FIRED = 32
/** Scale of queries and keys: the distance looked for outweighs its neighbours by more than e^40. */
const SHARPNESS = 16
const FREQUENCY_BASE = 100
/** Sets the token meant some 50 logits above any other, so that sampling at any usual temperature chooses it. */
const CERTAINTY = 2

/** Residual stream: the token, those before it, the next one, and a block of which the first dimension is always 1. */
function width({ contextTokens }: Recital): number {
  return CODE * (contextTokens + 2)
}

const PIECE_TYPE: Readonly<Record<Piece['kind'], number>> = { normal: 1, unknown: 2, control: 3, byte: 6 }

const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

function metadataOf(recital: Recital, options: RecitingModelOptions, layers: number, units: number): Record<string, GgufValue> {
  const { vocabulary, contextTokens } = recital
  return {
    'general.architecture': { string: 'llama' },
    'general.name': { string: options.name ?? 'Reciter' },
    'general.file_type': { u32: 1 },
    'llama.context_length': { u32: options.contextLength ?? 4_096 },
    'llama.embedding_length': { u32: width(recital) },
    'llama.block_count': { u32: layers },
    'llama.feed_forward_length': { u32: units },
    'llama.attention.head_count': { u32: contextTokens - 1 },
    'llama.attention.head_count_kv': { u32: 1 },
    'llama.attention.key_length': { u32: CODE },
    'llama.attention.value_length': { u32: CODE },
    'llama.attention.layer_norm_rms_epsilon': { f32: 1e-6 },
    'llama.rope.dimension_count': { u32: CODE },
    'llama.rope.freq_base': { f32: FREQUENCY_BASE },
    'llama.vocab_size': { u32: vocabulary.length },
    'tokenizer.ggml.model': { string: 'llama' },
    'tokenizer.ggml.tokens': { strings: vocabulary.map(({ text }) => text) },
    'tokenizer.ggml.scores': { f32s: vocabulary.map((_, id) => -id) },
    'tokenizer.ggml.token_type': { i32s: vocabulary.map(({ kind }) => PIECE_TYPE[kind]) },
    'tokenizer.ggml.bos_token_id': { u32: SPECIAL.begin },
    'tokenizer.ggml.eos_token_id': { u32: SPECIAL.messageEnd },
    'tokenizer.ggml.unknown_token_id': { u32: SPECIAL.unknown },
    'tokenizer.ggml.add_bos_token': { bool: true },
    'tokenizer.ggml.add_eos_token': { bool: false },
    'tokenizer.ggml.add_space_prefix': { bool: false },
    'tokenizer.chat_template': { string: CHAT_TEMPLATE },
  }
}

function tensorsOf(recital: Recital, layers: number, units: number): GgufTensor[] {
  const size = width(recital)
  const tokens = recital.vocabulary.length
  const heads = CODE * (recital.contextTokens - 1)
  const ones: TensorPart[] = [{ at: 0, data: f32Data(new Float32Array(size).fill(1)) }]
  const tensors: GgufTensor[] = [
    { name: 'token_embd.weight', shape: [size, tokens], type: 'f16', parts: embedding(recital) },
    { name: 'output_norm.weight', shape: [size], type: 'f32', parts: ones },
    { name: 'output.weight', shape: [size, tokens], type: 'f16', parts: output(recital) },
  ]
  for (let layer = 0; layer < layers; layer++) {
    const { query, key, value, gather } = layer === 0 ? attention(recital) : IDLE
    const { gate, up, down } = layer === 0 ? feedForward(recital, units) : IDLE
    const matrix = (name: string, shape: readonly number[], parts: readonly TensorPart[]): GgufTensor => ({
      name: `blk.${layer}.${name}.weight`,
      shape,
      type: 'f16',
      parts,
    })
    tensors.push(
      { name: `blk.${layer}.attn_norm.weight`, shape: [size], type: 'f32', parts: ones },
      matrix('attn_q', [size, heads], query),
      matrix('attn_k', [size, CODE], key),
      matrix('attn_v', [size, CODE], value),
      matrix('attn_output', [heads, size], gather),
      { name: `blk.${layer}.ffn_norm.weight`, shape: [size], type: 'f32', parts: ones },
      matrix('ffn_gate', [size, units], gate),
      matrix('ffn_up', [size, units], up),
      matrix('ffn_down', [units, size], down),
    )
  }
  return tensors
}

const NOTHING: readonly TensorPart[] = []
const IDLE = { query: NOTHING, key: NOTHING, value: NOTHING, gather: NOTHING, gate: NOTHING, up: NOTHING, down: NOTHING } as const

/**
 * Codes of tokens: the second-order Reed–Muller code of length 32, of which any two words differ in 8 places or more;
 * 65,536 words, as 1 and -1.
 */
function code(token: number): Float32Array {
  return Float32Array.from(MONOMIALS, (monomials) => {
    let parity = 0
    for (let chosen = token & monomials; chosen !== 0; chosen &= chosen - 1) parity ^= 1
    return parity === 0 ? 1 : -1
  })
}

/** For each of the 32 points of {0,1}^5, which of the 16 monomials 1, a, b… e, ab, ac… de are 1 there, as bits. */
const MONOMIALS: readonly number[] = Array.from({ length: CODE }, (_, point) => {
  const factors = [1, ...[0, 1, 2, 3, 4].map((variable) => (point >> variable) & 1)]
  const products = factors.flatMap((one, at) => factors.slice(at === 0 ? 0 : at + 1).map((other) => one & other))
  return products.reduce((bits, product, at) => bits | (product << at), 0)
})

/** What RMS normalisation multiplies the stream by; the same for every token, as all its blocks hold codes. */
function normaliser(recital: Recital, codesPresent: number): number {
  return Math.sqrt(width(recital) / (CODE * codesPresent + CODE * NEXT ** 2 + 1))
}

/** A dense matrix, row by row. */
class Matrix {
  readonly #columns: number
  readonly #values: Float32Array

  constructor(columns: number, rows: number) {
    this.#columns = columns
    this.#values = new Float32Array(columns * rows)
  }

  set(row: number, column: number, values: ArrayLike<number>, factor = 1): void {
    for (let index = 0; index < values.length; index++) this.#values[row * this.#columns + column + index] = (values[index] ?? 0) * factor
  }

  get parts(): TensorPart[] {
    return [{ at: 0, data: f16Data(this.#values) }]
  }
}

const nextBlock = ({ contextTokens }: Recital): number => CODE * contextTokens
const oneDimension = ({ contextTokens }: Recital): number => CODE * (contextTokens + 1)

function embedding(recital: Recital): TensorPart[] {
  const matrix = new Matrix(width(recital), recital.vocabulary.length)
  const first = code(recital.first)
  for (const id of recital.vocabulary.keys()) {
    matrix.set(id, 0, code(id))
    matrix.set(id, nextBlock(recital), first, NEXT)
    matrix.set(id, oneDimension(recital), [1])
  }
  return matrix.parts
}

/** Only what some rule says can be said at all. */
function output(recital: Recital): TensorPart[] {
  const matrix = new Matrix(width(recital), recital.vocabulary.length)
  const said = new Set([recital.first, ...recital.rules.map(({ next }) => next)])
  for (const id of said) matrix.set(id, nextBlock(recital), code(id), CERTAINTY)
  return matrix.parts
}

/** Head h looks h + 1 tokens back: keys all point one way, and its queries are turned back by that many positions. */
function attention(recital: Recital): Record<'query' | 'key' | 'value' | 'gather', TensorPart[]> {
  const size = width(recital)
  const heads = recital.contextTokens - 1
  const one = oneDimension(recital)
  const scale = 1 / normaliser(recital, 1)
  const query = new Matrix(size, CODE * heads)
  const key = new Matrix(size, CODE)
  const value = new Matrix(size, CODE)
  const gather = new Matrix(CODE * heads, size)
  for (let dimension = 0; dimension < CODE; dimension++) {
    value.set(dimension, dimension, [scale])
    if (dimension % 2 === 0) key.set(dimension, one, [SHARPNESS * scale])
    const frequency = FREQUENCY_BASE ** (-(dimension - (dimension % 2)) / CODE)
    for (let head = 0; head < heads; head++) {
      const angle = -(head + 1) * frequency
      const turned = dimension % 2 === 0 ? Math.cos(angle) : Math.sin(angle)
      query.set(head * CODE + dimension, one, [SHARPNESS * scale * turned])
      gather.set((head + 1) * CODE + dimension, head * CODE + dimension, [1])
    }
  }
  return { query: query.parts, key: key.parts, value: value.parts, gather: gather.parts }
}

/** Unit u fires when rule u's whole context is there, and then turns the token that would come into the one that does. */
function feedForward(recital: Recital, units: number): Record<'gate' | 'up' | 'down', TensorPart[]> {
  const { rules, contextTokens } = recital
  const size = width(recital)
  const one = oneDimension(recital)
  const scale = 1 / normaliser(recital, contextTokens)
  const gain = FIRED / DISTANCE
  const gate = new Matrix(size, rules.length)
  const up = new Matrix(size, rules.length)
  const down = new Matrix(rules.length, CODE)
  for (const [unit, { context, next, instead }] of rules.entries()) {
    for (const [back, token] of context.entries()) gate.set(unit, back * CODE, code(token), gain * scale)
    gate.set(unit, one, [gain * (DISTANCE - CODE * context.length) * scale])
    up.set(unit, one, [scale])
    const from = code(instead)
    for (const [dimension, to] of code(next).entries()) {
      down.set(dimension, unit, [((to - (from[dimension] ?? 0)) * NEXT) / FIRED])
    }
  }
  const [narrow] = down.parts
  const rowBytes = rules.length * 2
  const rows = Array.from({ length: CODE }, (_, dimension) => ({
    at: (nextBlock(recital) + dimension) * units * 2,
    data: narrow?.data.subarray(dimension * rowBytes, (dimension + 1) * rowBytes) ?? Buffer.alloc(0),
  }))
  return { gate: gate.parts, up: up.parts, down: rows }
}
