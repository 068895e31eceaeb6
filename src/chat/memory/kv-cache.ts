/**
 * Bytes that a model keeps of what it has read: keys and values of attention, and the states of recurrent layers.
 *
 * @module
 */
import type { LayerShape, ModelShape } from './model-shape.ts'

/** How keys and values are stored. */
export type KvType = 'f16' | 'q8_0' | 'q4_0'

/** ggml: blocks of 32 elements take 64, 34 and 18 bytes. */
const BYTES_PER_ELEMENT: Readonly<Record<KvType, number>> = { f16: 2, q8_0: 34 / 32, q4_0: 18 / 32 }

/** What a cache is made for. */
export interface CacheSettings {
  /** Window, in tokens. */
  readonly contextLength: number
  /** Tokens that are read at once. */
  readonly microBatch: number
  readonly kvType: KvType
  readonly flashAttention: boolean
}

/** llama.cpp pads windows to this. */
const PAD = 256
const STATE_BYTES = 4

export function padded(tokens: number): number {
  return Math.ceil(tokens / PAD) * PAD
}

/** Tokens that a layer's cache has room for: a window needs its own tokens and those being read. */
export function cells(window: number | undefined, { contextLength, microBatch }: CacheSettings): number {
  const all = padded(contextLength)
  return window === undefined ? all : padded(Math.min(all, window + microBatch))
}

/** Bytes of one layer's cache. @param widestValue elements of the widest layer's values: without flash attention all are as wide */
export function layerCacheBytes(shape: ModelShape, layer: LayerShape, settings: CacheSettings, widestValue: number): number {
  const { attention, state } = layer
  const kept = state ? (state.convolution + state.recurrent) * STATE_BYTES : 0
  if (!attention?.cached || shape.cacheless) return kept
  const { kvHeads, keyLength, valueLength, window } = attention
  const values = shape.latent ? 0 : settings.flashAttention ? kvHeads * valueLength : widestValue
  return kept + cells(window, settings) * (kvHeads * keyLength + values) * BYTES_PER_ELEMENT[settings.kvType]
}

/** Elements of the widest layer's values of a token. */
export function widestValue(layers: readonly LayerShape[]): number {
  return Math.max(0, ...layers.map(({ attention }) => (attention ? attention.kvHeads * attention.valueLength : 0)))
}

/** Bytes of all layers' caches. */
export function cacheBytes(shape: ModelShape, settings: CacheSettings): number {
  const widest = widestValue(shape.layers)
  return shape.layers.reduce((sum, layer) => sum + layerCacheBytes(shape, layer, settings, widest), 0)
}
