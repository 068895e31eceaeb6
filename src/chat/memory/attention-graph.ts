/**
 * The graph of attention: queries, keys and values of the tokens being read, against a cache.
 * Order and sharing as llama.cpp has them, as far as they decide what is in memory at once.
 *
 * @module
 */
import type { Tensor } from './compute-graph.ts'
import type { Block, GraphContext } from './graph-parts.ts'
import { cells, widestValue } from './kv-cache.ts'
import type { AttentionShape } from './model-shape.ts'

/** @returns the attention's result before its output matrix */
export function attention(context: GraphContext, block: Block, x: Tensor, shape: AttentionShape): Tensor {
  if (block.has('attn_kv_a_mqa'))
    return block.has('attn_k_b') ? absorbedLatent(context, block, x, shape) : expandedLatent(context, block, x, shape)
  return block.has('attn_qkv') ? fused(context, block, x, shape) : separate(context, block, x, shape)
}

/** Queries, keys and values come from one product. */
function fused(context: GraphContext, block: Block, x: Tensor, shape: AttentionShape): Tensor {
  const { graph, tokens } = context
  const { heads, kvHeads, keyLength, valueLength } = shape
  const all = block.multiply('attn_qkv', x)
  const part = (norm: string, count: number): Tensor =>
    spread(context, turned(context, headNorm(context, block, norm, graph.view(all, [keyLength, count, tokens])), shape), keyLength)
  const q = part('attn_q_norm', heads)
  const v = spread(context, graph.view(all, [valueLength, kvHeads, tokens]), valueLength)
  store(context, part('attn_k_norm', kvHeads), v, shape)
  return scores(context, q, shape)
}

function separate(context: GraphContext, block: Block, x: Tensor, shape: AttentionShape): Tensor {
  const { graph, tokens } = context
  const { heads, kvHeads, keyLength, valueLength, cached } = shape
  const wide = block.multiply('attn_q', x)
  // Some make a gate of the same width beside the queries, and keep both to the end.
  const gated = block.rows('attn_q') === 2 * heads * keyLength
  const q = spread(
    context,
    turned(context, perHead(context, block, 'attn_q_norm', wide, [keyLength, heads, tokens], gated), shape),
    keyLength,
  )
  if (cached) {
    const key = (): Tensor => {
      const heads = perHead(context, block, 'attn_k_norm', block.multiply('attn_k', x), [keyLength, kvHeads, tokens])
      return spread(context, turned(context, heads, shape), keyLength)
    }
    const value = (): Tensor =>
      spread(
        context,
        graph.reshape(block.multiply(block.has('attn_v') ? 'attn_v' : 'attn_k', x), [valueLength, kvHeads, tokens]),
        valueLength,
      )
    const keyFirst = context.shape.windowed ? key() : undefined
    const v = value()
    store(context, keyFirst ?? key(), v, shape)
  }
  const result = scores(context, q, shape)
  if (!gated) return result
  const gate = context.over(graph.compute(result.shape, [graph.view(wide, [keyLength, heads, tokens])]))
  return context.over(result, gate)
}

/** In heads, with a norm for each of them or for all together. */
function perHead(context: GraphContext, block: Block, norm: string, x: Tensor, heads: readonly number[], strided = false): Tensor {
  const { graph } = context
  const wide = (block.tensor(norm)?.shape[0] ?? 0) > (heads[0] ?? 0) && block.tensor(norm)?.shape[1] === undefined
  if (wide) return graph.reshape(block.norm(norm, x), heads)
  return headNorm(context, block, norm, strided ? graph.view(x, heads) : graph.reshape(x, heads))
}

function headNorm(context: GraphContext, block: Block, name: string, x: Tensor): Tensor {
  return block.has(name) ? context.norm(x) : x
}

/** Turned by the tokens' positions. */
function turned(context: GraphContext, x: Tensor, shape: AttentionShape): Tensor {
  return shape.turned ? context.over(x, context.positions) : x
}

/** Multi-head latent attention on the compressed rows themselves: queries are brought down to them, and the result up again. */
function absorbedLatent(context: GraphContext, block: Block, x: Tensor, shape: AttentionShape): Tensor {
  const { graph, tokens, shape: model } = context
  const { heads, keyLength, valueLength } = shape
  const rotated = keyLength - valueLength
  const q = latentQuery(block, x)
  const key = model.number('attention.key_length_mla') ?? keyLength
  const value = model.number('attention.value_length_mla') ?? valueLength
  const split = graph.reshape(q, [key, heads, tokens])
  const absorbed = graph.compute([valueLength, tokens, heads], [graph.view(split, [key - rotated, tokens, heads])])
  const low = graph.view(absorbed, [valueLength, heads, tokens])
  const position = graph.compute([rotated, heads, tokens], [graph.view(split, [rotated, heads, tokens]), context.positions])
  const query = graph.compute([keyLength, heads, tokens], [low, position])
  const compressed = block.multiply('attn_kv_a_mqa', x)
  const normed = context.norm(graph.view(compressed, [valueLength, tokens]))
  const turnedKey = graph.compute([rotated, 1, tokens], [graph.view(compressed, [rotated, 1, tokens]), context.positions])
  store(context, graph.compute([keyLength, 1, tokens], [graph.reshape(normed, [valueLength, 1, tokens]), turnedKey]), undefined, shape)
  const rows = weighted(context, query, shape)
  const lifted = graph.compute([value, tokens, heads], [context.settings.flashAttention ? graph.view(rows, rows.shape) : rows])
  return graph.compute([value * heads, tokens], [graph.view(lifted, [value, heads, tokens])])
}

/** The same, with keys and values of all heads made from the compressed rows before they are stored. */
function expandedLatent(context: GraphContext, block: Block, x: Tensor, shape: AttentionShape): Tensor {
  const { graph, tokens, shape: model } = context
  const { heads, keyLength, valueLength } = shape
  const rotated = model.number('rope.dimension_count') ?? 0
  const latent = model.number('attention.kv_lora_rank') ?? 0
  const whole = graph.reshape(latentQuery(block, x), [keyLength, heads, tokens])
  const position = (rows: Tensor, count: number): Tensor =>
    graph.compute([rotated, count, tokens], [graph.view(rows, [rotated, count, tokens]), context.positions])
  const q =
    model.architecture === 'minicpm3'
      ? turned(context, whole, shape)
      : graph.compute([keyLength, heads, tokens], [graph.view(whole, [keyLength - rotated, heads, tokens]), position(whole, heads)])
  const compressed = block.multiply('attn_kv_a_mqa', x)
  const normed = context.norm(graph.view(compressed, [latent, tokens]))
  const both = block.multiply('attn_kv_b', normed)
  const value = graph.compute([valueLength, heads, tokens], [graph.view(both, [valueLength, heads, tokens])])
  const turnedKey = graph.compute([rotated, heads, tokens], [position(compressed, 1)])
  const key = graph.compute([keyLength, heads, tokens], [graph.view(both, [keyLength - rotated, heads, tokens]), turnedKey])
  store(context, spread(context, key, keyLength), spread(context, value, valueLength), shape)
  return scores(context, spread(context, q, keyLength), shape)
}

function latentQuery(block: Block, x: Tensor): Tensor {
  return block.has('attn_q_a')
    ? block.multiply('attn_q_b', block.norm('attn_q_a_norm', block.multiply('attn_q_a', x)))
    : block.multiply('attn_q', x)
}

/**
 * Before it is stored in fewer bits, and with all that meets it, a head is turned by a fixed matrix that spreads its values
 * evenly; only heads of a multiple of 64 elements are.
 */
function spread(context: GraphContext, x: Tensor, length: number): Tensor {
  if (context.settings.kvType === 'f16' || length % SPREAD !== 0) return x
  const matrix = context.shared('spread', (g) => g.input([SPREAD, SPREAD], 'f32'))
  const { graph } = context
  return graph.reshape(graph.compute([x.bytes / 4], [matrix, graph.reshape(x, [x.bytes / 4])]), x.shape)
}

const SPREAD = 64

/** Into the cache. Without flash attention values are stored crosswise: each of them has a place of its own. */
function store(context: GraphContext, key: Tensor, value: Tensor | undefined, { window }: AttentionShape): void {
  const { graph, tokens, settings, shape } = context
  const kind = window === undefined ? 'all' : 'window'
  graph.use(
    graph.reshape(key, [key.bytes / 4]),
    context.shared(`key places, ${kind}`, (g) => g.input([tokens], 'i64')),
  )
  if (!value) return
  const places = settings.flashAttention ? tokens : tokens * widestValue(shape.layers)
  graph.use(
    graph.reshape(value, [value.bytes / 4]),
    context.shared(`value places, ${kind}`, (g) => g.input([places], 'i64')),
  )
}

/** The values of all that was read, weighted by how queries and keys agree, side by side for all heads. */
function scores(context: GraphContext, q: Tensor, shape: AttentionShape): Tensor {
  const { graph, tokens, settings } = context
  const { heads, valueLength } = shape
  const rows = weighted(context, q, shape)
  if (settings.flashAttention) return spread(context, graph.reshape(rows, [valueLength * heads, tokens]), valueLength)
  return graph.compute([valueLength * heads, tokens], [graph.view(rows, [valueLength, heads, tokens])])
}

function weighted(context: GraphContext, q: Tensor, { heads, valueLength, window }: AttentionShape): Tensor {
  const { graph, tokens, settings, shape } = context
  const kind = window === undefined ? 'all' : 'window'
  const length = shape.cacheless ? tokens : cells(window, settings)
  const mask = context.shared(`mask, ${kind}`, (g) => g.input([length, tokens], settings.flashAttention ? 'f16' : 'f32'))
  const query = graph.view(q, [q.shape[0] ?? 1, tokens, heads])
  if (settings.flashAttention) return graph.compute([valueLength, heads, tokens], [query, mask])
  let agreement = graph.compute([length, tokens, heads], [query])
  if (shape.softcap) agreement = context.over(context.over(context.over(agreement)))
  return graph.compute([valueLength, tokens, heads], [context.over(agreement, mask)])
}
