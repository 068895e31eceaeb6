/**
 * Headers of models of many architectures, without their weights: enough to reckon with, for llama.cpp's dry runs too.
 *
 * @module
 */
import { type GgufTensor, type GgufValue, writeGguf } from './gguf-file.ts'

/** A model that is only described. */
export interface GgufShape {
  readonly architecture: string
  readonly layers: number
  readonly embedding: number
  readonly heads: number
  /** Default: as many as heads. */
  readonly kvHeads?: number
  /** Elements of a head; default: the embedding shared out. */
  readonly headLength?: number
  readonly feedForward: number
  readonly vocabulary: number
  readonly trainedContext: number
  /** Whether the vocabulary is embedding and output at once. */
  readonly tied?: boolean
  readonly slidingWindow?: number
  readonly experts?: { readonly count: number; readonly used: number; readonly inner: number; readonly shared?: number }
  /** Multi-head latent attention; all blocks but the first have experts. */
  readonly latent?: {
    readonly queryRank?: number
    readonly rank: number
    readonly rotated: number
    readonly key: number
    readonly value: number
  }
  /** Recurrent layers: all of them, or all but some. */
  readonly recurrent?: {
    readonly kind: 'mamba' | 'mamba2' | 'shortconv' | 'delta'
    readonly convolution: number
    readonly inner: number
    readonly state: number
    readonly rank: number
    readonly groups: number
    /** Layers that attend instead. */
    readonly attends?: (layer: number) => boolean
  }
}

type Tensors = GgufTensor[]

/** Architectures with a norm for each head of queries and keys. */
const HEAD_NORMS = /^(qwen3|qwen3moe|gemma3|lfm2|qwen3next)$/
/** Architectures with norms behind both halves of a block too. */
const POST_NORMS = /^(gemma2|gemma3)$/
const QKV_BIAS = /^(qwen2|gpt-oss)$/

/**
 * Writes the header of a model of that shape: metadata and tensors of 8-bit weights, but no data and no vocabulary's words.
 * @param options `tokens`: with so many made-up words; `parts`: in so many files, `file` being the beginning of their names
 */
export async function writeShape(
  file: string,
  shape: GgufShape,
  options: { readonly tokens?: number; readonly parts?: number } = {},
): Promise<void> {
  const words = Array.from({ length: options.tokens ?? 0 }, (_, token) => `token ${token} of a long list`)
  const vocabulary: Record<string, GgufValue> =
    words.length > 0
      ? {
          'tokenizer.ggml.model': { string: 'gpt2' },
          'tokenizer.ggml.tokens': { strings: words },
          'tokenizer.ggml.token_type': { i32s: words.map(() => 1) },
          'tokenizer.ggml.merges': { strings: words.map((word) => `${word} ${word}`) },
        }
      : { 'tokenizer.ggml.model': { string: 'no_vocab' } }
  const [metadata, tensors, parts] = [{ ...metadataOf(shape), ...vocabulary }, tensorsOf(shape), options.parts ?? 1]
  if (parts === 1) return void (await writeGguf(file, metadata, tensors, { headerOnly: true }))
  const size = Math.ceil(tensors.length / parts)
  const five = (number: number): string => String(number).padStart(5, '0')
  for (let part = 0; part < parts; part++) {
    const split = { 'split.no': { u32: part }, 'split.count': { u32: parts }, 'split.tensors.count': { u32: tensors.length } }
    const own = tensors.slice(part * size, (part + 1) * size)
    const name = `${file}-${five(part + 1)}-of-${five(parts)}.gguf`
    await writeGguf(name, part === 0 ? { ...metadata, ...split } : split, own, { headerOnly: true })
  }
}

function metadataOf(shape: GgufShape): Record<string, GgufValue> {
  const { architecture, layers, embedding, heads, kvHeads = heads, headLength, feedForward, experts, latent, recurrent } = shape
  const own: Record<string, GgufValue | undefined> = {
    vocab_size: { u32: shape.vocabulary },
    context_length: { u32: shape.trainedContext },
    block_count: { u32: layers },
    embedding_length: { u32: embedding },
    feed_forward_length: { u32: feedForward },
    'attention.layer_norm_rms_epsilon': { f32: 1e-6 },
    'attention.layer_norm_epsilon': { f32: 1e-5 },
    'attention.head_count': { u32: heads },
    'attention.head_count_kv': attending(shape)
      ? { i32s: Array.from({ length: layers }, (_, layer) => (recurrent?.attends?.(layer) ? kvHeads : 0)) }
      : { u32: latent ? 1 : kvHeads },
    'attention.key_length': latent ? { u32: latent.rank + latent.rotated } : headLength === undefined ? undefined : { u32: headLength },
    'attention.value_length': latent ? { u32: latent.rank } : headLength === undefined ? undefined : { u32: headLength },
    'attention.sliding_window': shape.slidingWindow === undefined ? undefined : { u32: shape.slidingWindow },
    expert_count: experts && { u32: experts.count },
    expert_used_count: experts && { u32: experts.used },
    expert_feed_forward_length: experts && { u32: experts.inner },
    expert_shared_feed_forward_length: experts?.shared ? { u32: experts.shared } : undefined,
    'attention.q_lora_rank': latent?.queryRank ? { u32: latent.queryRank } : undefined,
    ...(latent && experts
      ? {
          'attention.kv_lora_rank': { u32: latent.rank },
          'attention.key_length_mla': { u32: latent.key },
          'attention.value_length_mla': { u32: latent.value },
          'rope.dimension_count': { u32: latent.rotated },
          leading_dense_block_count: { u32: 1 },
          expert_shared_count: { u32: 1 },
          expert_weights_scale: { f32: 1 },
          expert_gating_func: { u32: 1 },
        }
      : {}),
    ...(recurrent ? recurrentMetadata(recurrent) : {}),
  }
  const prefixed = Object.entries(own).flatMap(([key, value]) => (value ? [[`${architecture}.${key}`, value] as const] : []))
  return { 'general.architecture': { string: architecture }, 'general.alignment': { u32: 32 }, ...Object.fromEntries(prefixed) }
}

function attending({ recurrent }: GgufShape): boolean {
  return recurrent?.attends !== undefined && recurrent.kind !== 'delta'
}

function recurrentMetadata({
  kind,
  convolution,
  inner,
  state,
  rank,
  groups,
}: NonNullable<GgufShape['recurrent']>): Record<string, GgufValue> {
  if (kind === 'shortconv') return { 'shortconv.l_cache': { u32: convolution } }
  return {
    'ssm.conv_kernel': { u32: convolution },
    'ssm.inner_size': { u32: inner },
    'ssm.state_size': { u32: state },
    'ssm.time_step_rank': { u32: rank },
    'ssm.group_count': { u32: groups },
    ...(kind === 'delta' ? { full_attention_interval: { u32: 4 }, 'rope.dimension_count': { u32: 64 } } : {}),
  }
}

const vector = (name: string, length: number): GgufTensor => ({ name, shape: [length], type: 'f32', parts: [] })

function tensorsOf(shape: GgufShape): Tensors {
  const { embedding, vocabulary, layers, tied = false, architecture } = shape
  const tensors: Tensors = [{ name: 'token_embd.weight', shape: [embedding, vocabulary], type: 'q8_0', parts: [] }]
  tensors.push(vector(architecture === 'lfm2' ? 'token_embd_norm.weight' : 'output_norm.weight', embedding))
  if (!tied) tensors.push({ name: 'output.weight', shape: [embedding, vocabulary], type: 'q8_0', parts: [] })
  for (let layer = 0; layer < layers; layer++) tensors.push(...blockOf(shape, layer))
  return tensors
}

function blockOf(shape: GgufShape, layer: number): Tensors {
  const { architecture, embedding, recurrent } = shape
  const name = (short: string): string => `blk.${layer}.${short}`
  const block: Tensors = [vector(name('attn_norm.weight'), embedding)]
  const attends = recurrent === undefined || recurrent.attends?.(layer) === true
  if (!attends && recurrent) block.push(...mixer(shape, recurrent, name))
  else block.push(...attention(shape, name))
  if (/^mamba/.test(architecture)) return block
  const norm = /^(gpt-oss|qwen3next)$/.test(architecture) ? 'post_attention_norm' : 'ffn_norm'
  block.push(vector(name(`${norm}.weight`), embedding))
  if (POST_NORMS.test(architecture))
    block.push(vector(name('post_attention_norm.weight'), embedding), vector(name('post_ffw_norm.weight'), embedding))
  return [...block, ...(shape.experts && !(shape.latent && layer === 0) ? routed(shape, shape.experts, name) : dense(shape, name))]
}

type Name = (short: string) => string

function matrix(name: string, from: number, to: number, count?: number): GgufTensor {
  return { name, shape: count === undefined ? [from, to] : [from, to, count], type: from % 32 === 0 ? 'q8_0' : 'f16', parts: [] }
}

function attention(shape: GgufShape, name: Name): Tensors {
  const { architecture, embedding, heads, kvHeads = heads, headLength = embedding / heads, latent } = shape
  if (latent) return latentAttention(shape, latent, name)
  const [q, kv] = [heads * headLength, kvHeads * headLength]
  const gate = architecture === 'qwen3next' ? 2 : 1
  const tensors: Tensors =
    architecture === 'phi3'
      ? [matrix(name('attn_qkv.weight'), embedding, q + 2 * kv)]
      : [
          matrix(name('attn_q.weight'), embedding, gate * q),
          matrix(name('attn_k.weight'), embedding, kv),
          matrix(name('attn_v.weight'), embedding, kv),
        ]
  tensors.push(matrix(name('attn_output.weight'), q, embedding))
  if (HEAD_NORMS.test(architecture))
    tensors.push(vector(name('attn_q_norm.weight'), headLength), vector(name('attn_k_norm.weight'), headLength))
  if (QKV_BIAS.test(architecture))
    tensors.push(vector(name('attn_q.bias'), q), vector(name('attn_k.bias'), kv), vector(name('attn_v.bias'), kv))
  if (architecture === 'gpt-oss') tensors.push(vector(name('attn_output.bias'), embedding), vector(name('attn_sinks.weight'), heads))
  return tensors
}

function latentAttention(
  shape: GgufShape,
  { queryRank, rank, rotated, key, value }: NonNullable<GgufShape['latent']>,
  name: Name,
): Tensors {
  const { embedding, heads } = shape
  const query =
    queryRank === undefined
      ? [matrix(name('attn_q.weight'), embedding, heads * key)]
      : [
          matrix(name('attn_q_a.weight'), embedding, queryRank),
          vector(name('attn_q_a_norm.weight'), queryRank),
          matrix(name('attn_q_b.weight'), queryRank, heads * key),
        ]
  return [
    ...query,
    matrix(name('attn_kv_a_mqa.weight'), embedding, rank + rotated),
    vector(name('attn_kv_a_norm.weight'), rank),
    matrix(name('attn_k_b.weight'), key - rotated, rank, heads),
    matrix(name('attn_v_b.weight'), rank, value, heads),
    matrix(name('attn_output.weight'), heads * value, embedding),
  ]
}

function dense({ architecture, embedding, feedForward }: GgufShape, name: Name): Tensors {
  const up = matrix(name('ffn_up.weight'), embedding, architecture === 'phi3' ? 2 * feedForward : feedForward)
  const down = matrix(name('ffn_down.weight'), feedForward, embedding)
  return architecture === 'phi3' ? [up, down] : [matrix(name('ffn_gate.weight'), embedding, feedForward), up, down]
}

function routed(
  { architecture, embedding, latent }: GgufShape,
  { count, inner, shared }: NonNullable<GgufShape['experts']>,
  name: Name,
): Tensors {
  const tensors: Tensors = [
    { ...vector(name('ffn_gate_inp.weight'), embedding), shape: [embedding, count] },
    matrix(name('ffn_gate_exps.weight'), embedding, inner, count),
    matrix(name('ffn_up_exps.weight'), embedding, inner, count),
    matrix(name('ffn_down_exps.weight'), inner, embedding, count),
  ]
  if (architecture === 'gpt-oss') {
    tensors.push(vector(name('ffn_gate_inp.bias'), count))
    for (const [part, rows] of [
      ['gate', inner],
      ['up', inner],
      ['down', embedding],
    ] as const)
      tensors.push({ ...vector(name(`ffn_${part}_exps.bias`), rows), shape: [rows, count] })
  }
  const together = latent ? inner : shared
  if (together !== undefined) {
    tensors.push(
      matrix(name('ffn_gate_shexp.weight'), embedding, together),
      matrix(name('ffn_up_shexp.weight'), embedding, together),
      matrix(name('ffn_down_shexp.weight'), together, embedding),
    )
  }
  if (architecture === 'qwen3next') tensors.push(vector(name('ffn_gate_inp_shexp.weight'), embedding))
  return tensors
}

function mixer({ embedding }: GgufShape, recurrent: NonNullable<GgufShape['recurrent']>, name: Name): Tensors {
  const { kind, convolution, inner, state, rank, groups } = recurrent
  if (kind === 'shortconv') {
    return [
      { ...vector(name('shortconv.conv.weight'), convolution), shape: [convolution, embedding] },
      matrix(name('shortconv.in_proj.weight'), embedding, 3 * embedding),
      matrix(name('shortconv.out_proj.weight'), embedding, embedding),
    ]
  }
  const wide = kind === 'mamba' ? inner : inner + 2 * groups * state
  const out = matrix(name('ssm_out.weight'), inner, embedding)
  const conv: GgufTensor = { ...vector(name('ssm_conv1d.weight'), convolution), shape: [convolution, wide] }
  const steps = vector(name('ssm_dt.bias'), kind === 'mamba' ? inner : rank)
  if (kind === 'delta') {
    return [
      matrix(name('attn_qkv.weight'), embedding, wide),
      matrix(name('attn_gate.weight'), embedding, inner),
      matrix(name('ssm_ba.weight'), embedding, 2 * rank),
      { ...vector(name('ssm_a'), rank) },
      vector(name('ssm_norm.weight'), state),
      conv,
      steps,
      out,
    ]
  }
  const shared = [conv, vector(name('ssm_conv1d.bias'), wide), steps, out]
  if (kind === 'mamba') {
    return [
      matrix(name('ssm_in.weight'), embedding, 2 * inner),
      matrix(name('ssm_x.weight'), inner, rank + 2 * state),
      matrix(name('ssm_dt.weight'), rank, inner),
      { ...vector(name('ssm_a'), state), shape: [state, inner] },
      vector(name('ssm_d'), inner),
      ...shared,
    ]
  }
  return [
    matrix(name('ssm_in.weight'), embedding, inner + wide + rank),
    { ...vector(name('ssm_a'), 1), shape: [1, rank] },
    { ...vector(name('ssm_d'), 1), shape: [1, rank] },
    { ...vector(name('ssm_norm.weight'), inner / groups), shape: [inner / groups, groups] },
    ...shared,
  ]
}
