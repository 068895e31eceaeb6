/**
 * What a GGUF header says about a model that decides how much memory it needs.
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; defaults of architectures as in llama.cpp.
 *
 * @module
 */
import type { GgufHeader } from '../gguf/header.ts'
import { elementsOf, type PlacedTensor, tensorBytes } from '../gguf/tensors.ts'
import type { Metadata } from '../gguf/value.ts'

/** Attention of a layer, as its cache sees it. */
export interface AttentionShape {
  readonly heads: number
  readonly kvHeads: number
  /** Elements of a head's key and value. */
  readonly keyLength: number
  readonly valueLength: number
  /** Tokens that it looks back on; undefined: all. */
  readonly window: number | undefined
  /** Whether queries and keys are turned by their positions; some layers of some models do without. */
  readonly turned: boolean
  /** Whether it has a cache of its own, not an earlier layer's. */
  readonly cached: boolean
}

/** One block. */
export interface LayerShape {
  readonly attention: AttentionShape | undefined
  /** Elements of the state that a recurrent layer carries from token to token. */
  readonly state: { readonly convolution: number; readonly recurrent: number } | undefined
}

/** A model. */
export interface ModelShape {
  readonly architecture: string
  readonly layers: readonly LayerShape[]
  readonly embedding: number
  readonly trainedContext: number
  /** Multi-head latent attention: keys and values are one compressed row, which is kept once. */
  readonly latent: boolean
  /** Experts that answer each token. */
  readonly expertsUsed: number
  /** A limit on the scores of attention, computed in extra steps without flash attention. */
  readonly softcap: boolean
  /** A limit on the scores of the vocabulary. */
  readonly finalSoftcap: boolean
  /** Whether some layers look back through a window only: they have caches and masks of their own. */
  readonly windowed: boolean
  /** No cache and no causal mask: an encoder or a diffusion model. */
  readonly cacheless: boolean
  readonly tensors: ReadonlyMap<string, PlacedTensor>
  readonly number: (key: string) => number | undefined
}

/** Every how many layers one looks back on everything; `first`: the group begins with it. By architecture, as llama.cpp assumes. */
const PATTERNS: Readonly<Record<string, { readonly every: number; readonly first?: boolean }>> = {
  afmoe: { every: 4 },
  cohere2: { every: 4 },
  cohere2moe: { every: 4, first: true },
  'exaone-moe': { every: 4 },
  exaone4: { every: 4 },
  'gemma-embedding': { every: 6 },
  gemma2: { every: 2 },
  gemma3: { every: 6 },
  gemma3n: { every: 5 },
  gemma4: { every: 0 },
  'gpt-oss': { every: 2 },
  laguna: { every: 4, first: true },
  llama4: { every: 4 },
  mellum: { every: 4 },
  mimo2: { every: 0 },
  'modern-bert': { every: 3, first: true },
  'muse-glimmer': { every: 4 },
  olmo2: { every: 4 },
  plamo3: { every: 8 },
  smallthinker: { every: 4, first: true },
  step35: { every: 0 },
  'granite-swa': { every: 0 },
  maple: { every: 0 },
}

/** Windows that architectures have whatever the header says, in tokens. */
const OWN_WINDOW: Readonly<Record<string, number>> = { gemma2: 4096, llama4: 8192, 'exaone-moe': 128 }

/** Layers from which on `gemma3n` uses the caches of earlier ones. */
const GEMMA3N_CACHED = 20

/** One recurrent layer in so many is replaced by attention. */
const FULL_ATTENTION_INTERVAL = 4

const DELTA_NET = /^(qwen3next|qwen35|qwen35moe)$/
/** Architectures whose layers that look back on everything know no positions. */
const UNTURNED_WHOLE = /^(cohere2|exaone4|llama4|smallthinker)$/

const CACHELESS = /^(bert|jina-bert|nomic-bert|neo-bert|eurobert|modern-bert|gemma-embedding|wavtokenizer|dream|llada|rnd1)/

/** Shape of a model; undefined for a header that lacks what every language model has. */
export function modelShape({ metadata, tensors }: GgufHeader): ModelShape | undefined {
  const architecture = metadata.get('general.architecture')
  if (typeof architecture !== 'string') return undefined
  const own = (key: string): Metadata | undefined => metadata.get(`${architecture}.${key}`)
  const number = (key: string): number | undefined => numeric(own(key))
  const blocks = number('block_count')
  const embedding = number('embedding_length')
  if (blocks === undefined || embedding === undefined || !(blocks > 0 && blocks <= 1024) || !(embedding > 0)) return undefined
  const predicted = number('nextn_predict_layers') ?? 0
  const facts = { architecture, own, number, embedding, blocks: predicted < blocks ? blocks - predicted : blocks }
  const windows = windowsOf(facts)
  const layers = Array.from({ length: facts.blocks }, (_, layer) => layerOf(facts, layer, windows[layer]))
  return {
    architecture,
    layers,
    embedding,
    trainedContext: number('context_length') ?? 0,
    latent: (number('attention.key_length_mla') ?? 0) > 0 && (number('attention.value_length_mla') ?? 0) > 0,
    expertsUsed: most(own('expert_used_count')),
    softcap: architecture === 'grok' || architecture === 'gemma2' || (number('attn_logit_softcapping') ?? 0) > 0,
    finalSoftcap: architecture === 'grok' || architecture === 'gemma2' || (number('final_logit_softcapping') ?? 0) > 0,
    windowed: windows.some((window) => window !== undefined),
    cacheless: CACHELESS.test(architecture),
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    number,
  }
}

/** Bytes of all tensors, and whether the size of each type is known. What is not known is taken from the file. */
export function weightsOf({ tensors, fileBytes, headerBytes }: GgufHeader): { readonly bytes: number; readonly exact: boolean } {
  const sizes = tensors.map(tensorBytes)
  const known = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) + heldTwice(tensors)
  if (sizes.every((size) => size !== undefined)) return { bytes: known, exact: true }
  // Half a byte a weight at least, where the file does not tell.
  const guessed = tensors.reduce((sum, { shape }, index) => sum + (sizes[index] === undefined ? elementsOf(shape) * 0.5625 : 0), known)
  return { bytes: Math.max(guessed, fileBytes - headerBytes), exact: false }
}

/** Bytes of all tensors whose names begin so. */
export function tensorBytesOf({ tensors }: ModelShape, prefix: string): number {
  let bytes = 0
  for (const tensor of tensors.values()) if (tensor.name.startsWith(prefix)) bytes += tensorBytes(tensor) ?? 0
  return bytes
}

/** Where an embedding for each layer is read row by row from the file, llama.cpp holds a vocabulary that is output too a second time. */
function heldTwice(tensors: readonly PlacedTensor[]): number {
  const find = (name: string): PlacedTensor | undefined => tensors.find((tensor) => tensor.name === name)
  const vocabulary = find('token_embd.weight')
  const twice = vocabulary !== undefined && !find('output.weight') && find('per_layer_token_embd.weight') !== undefined
  return twice ? (tensorBytes(vocabulary) ?? 0) : 0
}

interface Facts {
  readonly architecture: string
  readonly own: (key: string) => Metadata | undefined
  readonly number: (key: string) => number | undefined
  readonly embedding: number
  readonly blocks: number
}

function layerOf(facts: Facts, layer: number, window: number | undefined): LayerShape {
  const { architecture, own, number, embedding } = facts
  // A damaged header may say less than nothing, and a model of less than nothing would always fit.
  const at = (key: string): number | undefined => atLeastZero(valueAt(own(key), layer))
  const heads = at('attention.head_count') ?? 0
  const kvHeads = at('attention.head_count_kv') ?? heads
  const firstHeads = valueAt(own('attention.head_count'), 0) ?? 0
  const head = firstHeads > 0 ? Math.floor(embedding / firstHeads) : 0
  const length = (kind: 'key' | 'value'): number =>
    atLeastZero((window === undefined ? undefined : number(`attention.${kind}_length_swa`)) ?? number(`attention.${kind}_length`)) ?? head
  const recurrent = isRecurrent(facts, layer, kvHeads)
  const both = architecture === 'falcon-h1'
  const noMixer = architecture.startsWith('nemotron_h') && (at('feed_forward_length') ?? 0) > 0
  const attends = (!recurrent || both) && !noMixer
  return {
    attention: attends
      ? {
          heads,
          kvHeads,
          keyLength: length('key'),
          valueLength: length('value'),
          window,
          turned: knowsPositions(facts, layer, window),
          cached: layer < cachedLayers(facts),
        }
      : undefined,
    state: recurrent ? stateOf(facts, firstHeads) : undefined,
  }
}

function knowsPositions({ architecture, blocks }: Facts, layer: number, window: number | undefined): boolean {
  if (architecture === 'smollm3') return (layer + 1) % 4 !== 0
  const whole = UNTURNED_WHOLE.test(architecture) && (architecture !== 'exaone4' || blocks >= 64)
  return !whole || window !== undefined
}

function isRecurrent({ architecture, own, number, blocks }: Facts, layer: number, kvHeads: number): boolean {
  if (/^(mamba|mamba2|rwkv6|rwkv6qwen2|rwkv7|arwkv7|falcon-h1)$/.test(architecture)) return true
  const feedForward = valueAt(own('feed_forward_length'), layer) ?? 0
  if (architecture.startsWith('nemotron_h')) return kvHeads === 0 && feedForward === 0
  if (/^(jamba|granitehybrid|plamo2|lfm2|lfm2moe|kimi-linear|kimi-k3|bailingmoe3)$/.test(architecture)) return kvHeads === 0
  if (!DELTA_NET.test(architecture) && architecture !== 'minimax-01') return false
  const listed = own('attention.recurrent_layers')
  if (Array.isArray(listed)) return Number(listed[layer] ?? 0) !== 0
  const interval = number('full_attention_interval') ?? FULL_ATTENTION_INTERVAL
  return layer < blocks && (layer + 1) % interval !== 0
}

/** Elements of f32, as llama.cpp counts them; constant whatever the context. */
function stateOf({ embedding, number }: Facts, heads: number): LayerShape['state'] {
  const convolution = number('ssm.conv_kernel') ?? 0
  const inner = number('ssm.inner_size') ?? 0
  const state = number('ssm.state_size') ?? 0
  const wkv = number('wkv.head_size') ?? 0
  if (wkv > 0) return { convolution: (number('token_shift_count') ?? 2) * embedding, recurrent: embedding * wkv }
  const cache = number('shortconv.l_cache') ?? 0
  if (cache > 0) return { convolution: embedding * (cache - 1), recurrent: state * inner }
  const kda = number('kda.head_dim') ?? 0
  if (kda > 0) return { convolution: 3 * Math.max(0, (convolution || 4) - 1) * heads * kda, recurrent: kda * kda * heads }
  const rows = inner + 2 * (number('ssm.group_count') ?? 0) * state
  return { convolution: Math.max(0, convolution - 1) * rows, recurrent: state * inner }
}

/** Layers that have a cache of their own; those above use one of theirs. */
function cachedLayers({ architecture, number, blocks }: Facts): number {
  if (architecture === 'gemma3n') return GEMMA3N_CACHED
  return architecture === 'gemma4' ? blocks - (number('attention.shared_kv_layers') ?? 0) : blocks
}

/** The window of each layer, in tokens; undefined where it looks back on everything. */
function windowsOf({ architecture, own, number, blocks }: Facts): (number | undefined)[] {
  const pattern = PATTERNS[architecture]
  const told = number('attention.sliding_window')
  const size = architecture === 'llama4' ? (told === 0 ? 0 : OWN_WINDOW.llama4) : told || OWN_WINDOW[architecture]
  // Smaller models of that family look back on everything.
  const whole = architecture === 'exaone4' && blocks < 64
  const none = Array.from({ length: blocks }, () => undefined)
  if (!pattern || whole || !size) return none
  const listed = own('attention.sliding_window_pattern')
  if (Array.isArray(listed)) return Array.from({ length: blocks }, (_, layer) => (Number(listed[layer] ?? 0) !== 0 ? size : undefined))
  const every = numeric(listed) ?? pattern.every
  const full = (layer: number): boolean => every > 0 && layer % every === (pattern.first ? 0 : every - 1)
  return Array.from({ length: blocks }, (_, layer) => (full(layer) ? undefined : size))
}

/** A value for all layers, or one for each. */
function valueAt(value: Metadata | undefined, layer: number): number | undefined {
  return Array.isArray(value) ? value[layer] : numeric(value)
}

function most(value: Metadata | undefined): number {
  return Array.isArray(value) ? Math.max(0, ...value) : (numeric(value) ?? 0)
}

function numeric(value: Metadata | undefined): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

function atLeastZero(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.max(0, value)
}
