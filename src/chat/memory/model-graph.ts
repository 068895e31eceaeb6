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

/** Architectures whose norms stand before and after each half of a block, or after it only. */
const PARALLEL = /^(gptneox|falcon|phi2|command-r|cohere2|cohere2moe|stablelm)$/

/** Bytes of the buffer that everything is computed in. */
export function computeBytes(shape: ModelShape, settings: CacheSettings): number {
  const graph = new ComputeGraph()
  const tokens = Math.min(padded(settings.contextLength), settings.microBatch)
  const context = new GraphContext(graph, shape, settings, tokens)
  let x = embedded(context)
  for (const [index, layer] of shape.layers.entries()) x = oneBlock(context, context.block(index), layer, x)
  vocabulary(context, x)
  return graph.peakBytes()
}

function embedded(context: GraphContext): Tensor {
  const { graph, shape, tokens } = context
  const numbers = graph.input([tokens], 'i32')
  // For callers that bring embeddings of their own: there, but never used, and so never freed.
  graph.input([shape.embedding, tokens], 'f32')
  return graph.compute([shape.embedding, tokens], [numbers])
}

function oneBlock(context: GraphContext, block: Block, layer: LayerShape, x: Tensor): Tensor {
  const normed = block.norm('attn_norm', x)
  const mixed = mixer(context, block, layer, x, normed)
  if (PARALLEL.test(context.shape.architecture) && mixed && !sequential(context)) return parallel(context, block, x, normed, mixed)
  const attended = mixed ? after(context, block, 'post_attention_norm', mixed(), x) : x
  if (!hasFeedForward(block)) return attended
  const input = block.has('ffn_norm') ? block.norm('ffn_norm', attended) : block.has('post_ffw_norm') ? attended : beforeFeedForward(block, attended, x, normed)
  return after(context, block, 'post_ffw_norm', feedForward(context, block, input), attended)
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
function after(context: GraphContext, block: Block, norm: string, result: Tensor, x: Tensor): Tensor {
  const sandwich = norm !== 'post_attention_norm' || block.has('ffn_norm') || block.has('post_ffw_norm')
  return context.over(sandwich ? block.norm(norm, result) : result, x)
}

/** Attention and feed-forward read the same and are added together; attention's output matrix comes last. */
function parallel(context: GraphContext, block: Block, x: Tensor, normed: Tensor, mixed: () => Tensor): Tensor {
  const network = feedForward(context, block, block.has('ffn_norm') ? block.norm('ffn_norm', x) : normed)
  return context.over(context.over(network, x), mixed())
}

/** What mixes tokens. What comes before its output matrix is computed at once, the rest when it is called. */
function mixer(context: GraphContext, block: Block, layer: LayerShape, x: Tensor, normed: Tensor): (() => Tensor) | undefined {
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

function vocabulary(context: GraphContext, x: Tensor): void {
  const { graph, shape, tokens } = context
  const output = shape.tensors.get('output.weight') ?? shape.tensors.get('token_embd.weight')
  const bias = shape.tensors.get('output_norm.bias') !== undefined
  const normed = context.over(graph.compute(x.shape, [x], { overwrites: true }))
  const result = graph.compute(x.shape, [bias ? context.over(normed) : normed], { overwrites: true, output: true })
  let logits = graph.compute([output?.shape[1] ?? 0, tokens], [result])
  if (shape.finalSoftcap) logits = context.over(context.over(context.over(logits)))
  graph.compute(logits.shape, [logits], { overwrites: true, output: true })
}
