/**
 * The graph that llama.cpp computes when it reads a prompt, as far as it decides how much memory that takes.
 *
 * @module
 */
import { attention } from './attention-graph.ts'
import { ComputeGraph, type Tensor } from './compute-graph.ts'
import { feedForward, hasFeedForward } from './feed-forward-graph.ts'
import { type Block, GraphContext } from './graph-parts.ts'
import { type CacheSettings, padded } from './kv-cache.ts'
import type { LayerShape, ModelShape } from './model-shape.ts'
import { recurrent } from './recurrent-graph.ts'

/** Architectures that compute attention and the feed-forward network beside each other. */
const PARALLEL = /^(gptneox|falcon|phi2|command-r|cohere2|cohere2moe|stablelm)$/

/** Architectures that can predict several tokens at once. */
const NEXT_TOKENS = /^(qwen3next|qwen35|qwen35moe|nemotron_h|nemotron_h_moe|gemma4|gpt-oss)$/

/** Architectures that add what a network makes to what came in, not the other way round: it decides which of the two is written over. */
const INPUT_FIRST = /^(phi3|phimoe|lfm2|lfm2moe|jamba)$/
const INPUT_FIRST_BEHIND_ATTENTION = /^(lfm2|lfm2moe|openelm)$/

/** Bytes of the buffer that everything is computed in. @param parts whether the scores of the vocabulary are computed there too */
export function computeBytes(
  shape: ModelShape,
  asked: CacheSettings,
  parts: { readonly vocabulary: boolean } = { vocabulary: true },
): number {
  // llama.cpp has no flash attention for it.
  const settings = shape.architecture === 'grok' ? { ...asked, flashAttention: false } : asked
  const graph = new ComputeGraph()
  const tokens = Math.min(padded(settings.contextLength), settings.microBatch)
  const context = new GraphContext(graph, shape, settings, tokens)
  let x = embedded(context)
  const perLayer = layerEmbeddings(context, x)
  const ends = NEXT_TOKENS.test(shape.architecture)
  const last = shape.layers.length - 1
  for (const [index, layer] of shape.layers.entries()) {
    x = oneBlock({ context, block: context.block(index), layer, chosen: index === last && !ends ? chosen(context) : same, perLayer }, x)
  }
  if (parts.vocabulary) vocabulary(context, x, ends)
  return graph.peakBytes()
}

/** Of the last block only those tokens are wanted that something is asked about; all of them, in the worst case. */
function chosen(context: GraphContext): (x: Tensor) => Tensor {
  const { graph, tokens } = context
  return (x) => graph.compute(x.shape, [x, context.shared('wanted', (g) => g.input([tokens], 'i32'))])
}

const same = (x: Tensor): Tensor => x

function embedded(context: GraphContext): Tensor {
  const { graph, shape, tokens } = context
  const numbers = graph.input([tokens], 'i32')
  // For callers that bring embeddings of their own: there, but never used, and so never freed.
  graph.input([shape.embedding, tokens], 'f32')
  return graph.compute([shape.embedding, tokens], [numbers])
}

/** Some models give each layer an embedding of its own for every token: made at the first use, and kept to the last layer. */
function layerEmbeddings(context: GraphContext, x: Tensor): (() => Tensor) | undefined {
  const { graph, shape, tokens } = context
  const width = shape.number('embedding_length_per_layer_input') ?? 0
  if (!shape.tensors.has('per_layer_token_embd.weight') || width === 0) return undefined
  const all = [width, shape.layers.length, tokens]
  const rows = graph.compute(all, [graph.view(graph.compute(all, [graph.input([tokens], 'i32')]), all)])
  let made: Tensor | undefined
  return () => {
    if (made) return made
    const projected = context.norm(graph.reshape(context.over(graph.compute([width * shape.layers.length, tokens], [x])), all))
    made = graph.compute([width, tokens, shape.layers.length], [graph.view(context.over(projected, rows), all)])
    return made
  }
}

interface OneBlock {
  readonly context: GraphContext
  readonly block: Block
  readonly layer: LayerShape
  /** Leaves out the tokens that nobody asks about. */
  readonly chosen: (x: Tensor) => Tensor
  readonly perLayer: (() => Tensor) | undefined
}

function oneBlock(parts: OneBlock, x: Tensor): Tensor {
  const { context, block } = parts
  const normed = block.norm('attn_norm', x)
  const mixed = mixer(parts, x, normed)
  if (PARALLEL.test(context.shape.architecture) && mixed && !sequential(context)) return parallel(parts, x, normed, mixed)
  const attended = mixed ? after(parts, 'post_attention_norm', mixed(), x) : x
  if (!hasFeedForward(block)) return attended
  const input = block.has('ffn_norm')
    ? block.norm('ffn_norm', attended)
    : block.has('post_ffw_norm')
      ? attended
      : beforeFeedForward(block, attended, x, normed)
  const result = after({ ...parts, chosen: same }, 'post_ffw_norm', feedForward(context, block, input), attended)
  return parts.perLayer && block.has('inp_gate') ? withLayerEmbedding(context, block, result, parts.perLayer) : result
}

function withLayerEmbedding(context: GraphContext, block: Block, x: Tensor, perLayer: () => Tensor): Tensor {
  const gate = context.over(block.multiply('inp_gate', x))
  const gated = context.over(gate, context.graph.view(perLayer(), gate.shape))
  return context.over(x, block.norm('post_norm', block.multiply('proj', gated)))
}

function sequential({ shape }: GraphContext): boolean {
  return shape.architecture === 'gptneox' && shape.number('use_parallel_residual') === 0
}

/** Some name the norm before the feed-forward network after what it follows; some have none but the block's. */
function beforeFeedForward(block: Block, attended: Tensor, x: Tensor, normed: Tensor): Tensor {
  if (block.has('post_attention_norm')) return block.norm('post_attention_norm', attended)
  return attended === x ? normed : attended
}

/** Added to what came in, behind a norm where the block has one there. */
function after({ context, block, chosen }: OneBlock, norm: string, result: Tensor, x: Tensor): Tensor {
  const sandwich = norm !== 'post_attention_norm' || block.has('ffn_norm') || block.has('post_ffw_norm')
  const rows = chosen(result)
  const normed = sandwich ? block.norm(norm, rows) : rows
  const { architecture } = context.shape
  const inputFirst = norm === 'post_attention_norm' ? INPUT_FIRST_BEHIND_ATTENTION : INPUT_FIRST
  return inputFirst.test(architecture) ? context.over(chosen(x), normed) : context.over(normed, chosen(x))
}

/** Attention and feed-forward read the same and are added together; attention's output matrix comes last. */
function parallel({ context, block, chosen }: OneBlock, x: Tensor, normed: Tensor, mixed: () => Tensor): Tensor {
  const own = block.has('ffn_norm')
  const input = chosen(own ? x : normed)
  const network = feedForward(context, block, own ? block.norm('ffn_norm', input) : input)
  const { architecture } = context.shape
  if (architecture === 'stablelm') return context.over(network, context.over(chosen(mixed()), chosen(x)))
  if (architecture === 'falcon' || architecture === 'phi2') return context.over(context.over(network, chosen(mixed())), chosen(x))
  return context.over(context.over(network, own ? input : chosen(x)), chosen(mixed()))
}

/** What mixes tokens. What comes before its output matrix is computed at once, the rest when it is called. */
function mixer({ context, block, layer }: OneBlock, x: Tensor, normed: Tensor): (() => Tensor) | undefined {
  const attended = layer.attention && attentionPresent(block) ? attention(context, block, normed, layer.attention) : undefined
  const output = (): Tensor => (attended ? block.multiply('attn_output', attended) : x)
  const { state } = layer
  if (!state) return attended ? output : undefined
  if (!attended) return () => recurrent(context, block, normed, state)
  return () => {
    const other = recurrent(context, block, block.norm('attn_norm', x), state)
    return context.over(output(), other)
  }
}

function attentionPresent(block: Block): boolean {
  return block.has('attn_q') || block.has('attn_qkv') || block.has('attn_q_a')
}

/** @param ends whether wanted tokens are chosen only here, as all of them serve to predict the one after the next */
function vocabulary(context: GraphContext, x: Tensor, ends: boolean): void {
  const { graph, shape, tokens } = context
  const output = shape.tensors.get('output.weight') ?? shape.tensors.get('token_embd.weight')
  const bias = shape.tensors.get('output_norm.bias') !== undefined
  if (shape.architecture === 'gpt-oss')
    x = graph.compute(x.shape, [graph.compute(x.shape, [x], { overwrites: true, output: true }), graph.input([tokens], 'i32')])
  const normed = context.normalised(x)
  const scaled = bias ? context.over(normed) : normed
  const weighted = graph.compute(x.shape, [scaled], { overwrites: true, output: true })
  const result =
    ends && shape.architecture !== 'gpt-oss' ? graph.compute(x.shape, [weighted, graph.input([tokens], 'i32')], { output: true }) : weighted
  const logits = graph.compute([output?.shape[1] ?? 0, tokens], [result], { output: !shape.finalSoftcap })
  if (shape.finalSoftcap) context.over(context.over(context.over(logits)))
}
