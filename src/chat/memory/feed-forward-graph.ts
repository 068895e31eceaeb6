/**
 * The graph of a block's second half: one network for all tokens, or a few of many experts for each.
 *
 * @module
 */
import type { Tensor } from './compute-graph.ts'
import type { Block, GraphContext } from './graph-parts.ts'

/** Whether a block has anything of the kind. */
export function hasFeedForward(block: Block): boolean {
  return block.has('ffn_down') || block.has('ffn_down_exps')
}

/** @returns the network's result, before it is added to what came in */
export function feedForward(context: GraphContext, block: Block, x: Tensor): Tensor {
  if (!block.has('ffn_down_exps')) return dense(context, block, x, '')
  const routed = experts(context, block, x)
  if (block.has('ffn_down_shexp')) {
    let shared = dense(context, block, x, '_shexp')
    if (block.has('ffn_gate_inp_shexp')) shared = context.over(shared, context.over(block.multiply('ffn_gate_inp_shexp', x)))
    return context.over(routed, shared)
  }
  return block.has('ffn_down') ? context.over(routed, dense(context, block, x, '')) : routed
}

/** @param suffix of the tensors' names: `_shexp` for the expert that answers every token */
function dense(context: GraphContext, block: Block, x: Tensor, suffix: string): Tensor {
  const { graph, tokens } = context
  const [gate, up, down] = [`ffn_gate${suffix}`, `ffn_up${suffix}`, `ffn_down${suffix}`]
  const inner = block.tensor(down)?.shape[0] ?? 0
  if (block.has(gate)) {
    const gates = block.multiply(gate, x)
    return block.multiply(down, graph.compute([inner, tokens], [gates, block.multiply(up, x)]))
  }
  const wide = block.multiply(up, x)
  // Gate and value side by side in one matrix, or no gate at all.
  const active = block.rows(up) === 2 * inner ? graph.compute([inner, tokens], [wide]) : context.over(wide)
  return block.multiply(down, active)
}

function experts(context: GraphContext, block: Block, x: Tensor): Tensor {
  const { graph, tokens, shape } = context
  const used = shape.expertsUsed
  const count = block.tensor('ffn_down_exps')?.shape[2] ?? 1
  const inner = block.tensor('ffn_down_exps')?.shape[0] ?? 0
  const logits = block.multiply('ffn_gate_inp', x)
  const probabilities = context.over(logits)
  const order = graph.compute([count, tokens], [probabilities], { type: 'i32' })
  const chosen = graph.view(order, [used, tokens])
  const weights = context.over(graph.compute([1, used, tokens], [graph.reshape(probabilities, [1, count, tokens]), chosen]))
  const input = graph.reshape(x, [x.shape[0] ?? 1, 1, tokens])
  const product = (name: string, rows: number, from: Tensor): Tensor => {
    const made = graph.compute([rows, used, tokens], [from, chosen])
    return block.bias(name) ? context.over(made, chosen) : made
  }
  const active = expertActivation(context, block, input, inner, product)
  const results = context.over(product('ffn_down_exps', shape.embedding, active), weights)
  return summed(context, results, used)
}

function expertActivation(
  context: GraphContext,
  block: Block,
  input: Tensor,
  inner: number,
  product: (name: string, rows: number, from: Tensor) => Tensor,
): Tensor {
  const { graph, tokens, shape } = context
  if (block.has('ffn_gate_up_exps')) {
    const both = product('ffn_gate_up_exps', 2 * inner, input)
    return graph.compute([inner, shape.expertsUsed, tokens], [graph.view(both, [inner]), graph.view(both, [inner])])
  }
  if (!block.has('ffn_gate_exps')) return context.over(product('ffn_up_exps', inner, input))
  const gate = product('ffn_gate_exps', inner, input)
  return graph.compute([inner, shape.expertsUsed, tokens], [gate, product('ffn_up_exps', inner, input)])
}

/** The chosen experts' results, added up one after the other. */
function summed({ graph, tokens, shape }: GraphContext, results: Tensor, used: number): Tensor {
  const row = [shape.embedding, tokens]
  const each = Array.from({ length: used }, () => graph.view(results, row))
  const [first = results, ...others] = each
  // With one expert only its rows are copied together.
  if (others.length === 0) return graph.compute(row, [first])
  return others.reduce((sum, result) => graph.compute(row, [sum, result], { overwrites: true }), first)
}
