/**
 * The graphs of recurrent layers, which carry a state of constant size from token to token.
 *
 * @module
 */
import type { Tensor } from './compute-graph.ts'
import type { Block, GraphContext } from './graph-parts.ts'
import type { LayerShape } from './model-shape.ts'

type State = NonNullable<LayerShape['state']>

/** @returns the mixer's result with its output matrix applied */
export function recurrent(context: GraphContext, block: Block, x: Tensor, state: State): Tensor {
  if (block.has('shortconv.in_proj')) return shortConvolution(context, block, x, state)
  if (block.has('ssm_in')) return block.has('ssm_x') ? mamba(context, block, x, state) : mamba2(context, block, x, state)
  return deltaNet(context, block, x, state)
}

/** The last tokens' rows before the new ones, as the convolution wants them. */
function convolved(context: GraphContext, rows: number, input: Tensor, state: State, bias: boolean): Tensor {
  const { graph, tokens } = context
  const kept = state.convolution / rows
  const past = graph.compute([state.convolution], [])
  const line = graph.compute([kept + tokens, rows], [graph.reshape(past, [kept, rows]), graph.view(input, [tokens, rows])])
  graph.use(graph.view(line, [kept, rows]))
  const result = graph.compute([rows, tokens], [line])
  return context.over(bias ? context.over(result) : result)
}

function shortConvolution(context: GraphContext, block: Block, x: Tensor, state: State): Tensor {
  const { graph, tokens } = context
  const rows = x.shape[0] ?? 1
  const all = block.multiply('shortconv.in_proj', x)
  const part = (): Tensor => graph.view(all, [rows, tokens])
  const gated = graph.compute([rows, tokens], [part(), part()])
  const kept = state.convolution / rows
  const past = graph.compute([state.convolution], [])
  const line = graph.compute([kept + tokens, rows], [graph.reshape(past, [kept, rows]), graph.view(gated, [tokens, rows])])
  graph.use(graph.view(line, [kept, rows]))
  const mixed = graph.compute([rows, tokens], [line])
  return block.multiply('shortconv.out_proj', graph.compute([rows, tokens], [part(), mixed]))
}

function mamba(context: GraphContext, block: Block, x: Tensor, state: State): Tensor {
  const { graph, tokens } = context
  const rows = block.tensor('ssm_out')?.shape[0] ?? 1
  const all = block.multiply('ssm_in', x)
  const input = convolved(context, rows, graph.view(all, [rows, tokens]), state, block.bias('ssm_conv1d') !== undefined)
  const parameters = block.multiply('ssm_x', input)
  const part = (): Tensor => graph.view(parameters, [1])
  const rank = block.tensor('ssm_dt')?.shape[0] ?? 1
  const normed = block.has('ssm_dt_norm')
  const steps = normed ? context.norm(part()) : graph.compute([rank, tokens], [part()])
  const [b, c] = normed ? [context.norm(part()), context.norm(part())] : [part(), part()]
  const delta = block.multiply('ssm_dt', steps)
  const scanned = scan(context, rows, [graph.reshape(input, [1, rows, tokens]), delta, b, c], state)
  const gate = graph.compute([rows, tokens], [graph.view(all, [rows, tokens])])
  const skipped = graph.compute([rows, tokens], [input], { overwrites: true })
  const sum = graph.compute([rows, tokens], [graph.view(scanned, [rows, tokens]), skipped], { overwrites: true })
  return block.multiply('ssm_out', graph.compute([rows, tokens], [gate, sum]))
}

function mamba2(context: GraphContext, block: Block, x: Tensor, state: State): Tensor {
  const { graph, tokens, shape } = context
  const rows = block.tensor('ssm_out')?.shape[0] ?? 1
  const groups = shape.number('ssm.group_count') ?? 1
  const wide = rows + 2 * groups * (shape.number('ssm.state_size') ?? 0)
  const heads = shape.number('ssm.time_step_rank') ?? 1
  const all = block.multiply('ssm_in', x)
  const input = convolved(context, wide, graph.view(all, [wide, tokens]), state, block.bias('ssm_conv1d') !== undefined)
  const part = (): Tensor => graph.view(input, [rows / heads, heads, tokens])
  const values = part()
  const delta = context.over(graph.compute([heads, tokens], [graph.view(all, [heads, tokens])]))
  const scanned = scan(context, rows, [values, delta, part(), part()], state)
  const gate = graph.compute([rows, tokens], [graph.view(all, [rows, tokens])])
  const skipped = graph.compute([rows, tokens], [values])
  const sum = graph.compute([rows, tokens], [graph.view(scanned, [rows, tokens]), skipped], { overwrites: true })
  const active = graph.compute([rows, tokens], [gate, sum])
  return block.multiply('ssm_out', block.has('ssm_norm') ? context.norm(graph.reshape(active, [rows / groups, groups, tokens])) : active)
}

/** The new state comes out behind the tokens' results. */
function scan({ graph, tokens }: GraphContext, rows: number, sources: readonly Tensor[], state: State): Tensor {
  const result = graph.compute([rows * tokens + state.recurrent], sources)
  graph.use(graph.view(result, [state.recurrent]))
  return result
}

/** Gated delta rule, as in Qwen3-Next. */
function deltaNet(context: GraphContext, block: Block, x: Tensor, state: State): Tensor {
  const { graph, tokens, shape } = context
  const value = shape.number('ssm.state_size') ?? 1
  const rows = block.tensor('ssm_out')?.shape[0] ?? 1
  const heads = rows / value
  const groups = shape.number('ssm.group_count') ?? heads
  const wide = rows + 2 * groups * value
  const mixed = block.multiply('attn_qkv', x)
  const past = graph.compute([state.recurrent], [])
  const input = convolved(context, wide, mixed, state, false)
  const part = (): Tensor => graph.view(input, [value, groups, tokens])
  const normed = (): Tensor => {
    const each = context.over(graph.compute([value, groups, tokens], [part()]))
    return groups === heads ? each : graph.compute([value, heads, tokens], [graph.reshape(each, [value, 1, groups, tokens])])
  }
  const [q, k] = [normed(), normed()]
  const values = graph.view(input, [value, heads, tokens])
  const [decay, beta] = deltaGates(context, block, x, heads)
  const result = graph.compute([rows, tokens + state.recurrent / rows], [q, k, values, decay, beta, past])
  graph.use(graph.view(result, [state.recurrent]))
  const output = context.norm(graph.view(result, [value, heads, tokens]))
  const gate = context.over(graph.reshape(block.multiply('attn_gate', x), [value, heads, tokens]))
  return block.multiply('ssm_out', graph.reshape(context.over(output, gate), [rows, tokens]))
}

/** How much of the state is forgotten, and how much is learned: one number a head and token. */
function deltaGates(context: GraphContext, block: Block, x: Tensor, heads: number): [Tensor, Tensor] {
  const { graph, tokens } = context
  const both = block.has('ssm_ba') ? block.multiply('ssm_ba', x) : undefined
  const one = (name: string): Tensor =>
    both ? graph.compute([heads, tokens], [graph.view(both, [heads, tokens])]) : block.multiply(name, x)
  return [context.over(one('ssm_alpha')), context.over(one('ssm_beta'))]
}
