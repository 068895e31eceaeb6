/**
 * What the graphs of all layers are built with: the tensors of one block, and the operations that models share.
 *
 * @module
 */
import type { PlacedTensor } from '../gguf/tensors.ts'
import type { ComputeGraph, Tensor } from './compute-graph.ts'
import type { CacheSettings } from './kv-cache.ts'
import type { ModelShape } from './model-shape.ts'

/** Architectures that normalise without a root mean square, which is never written over what it reads. */
const PLAIN_NORM =
  /^(command-r|cohere2|cohere2moe|dbrx|mpt|olmo|stablelm|starcoder|starcoder2|gptneox|gpt2|bloom|falcon|phi2|phimoe|codeshell|nemotron|jais|rwkv6|rwkv7)$/

/** What every part of a graph needs. */
export class GraphContext {
  readonly graph: ComputeGraph
  readonly shape: ModelShape
  readonly settings: CacheSettings
  /** Tokens that are read at once. */
  readonly tokens: number
  /** Masks by window; inputs that all layers of a kind share. */
  readonly #inputs: Map<string, Tensor> = new Map()

  constructor(graph: ComputeGraph, shape: ModelShape, settings: CacheSettings, tokens: number) {
    this.graph = graph
    this.shape = shape
    this.settings = settings
    this.tokens = tokens
  }

  /** An input that is made at its first use. */
  shared(name: string, make: (graph: ComputeGraph) => Tensor): Tensor {
    const known = this.#inputs.get(name) ?? make(this.graph)
    this.#inputs.set(name, known)
    return known
  }

  get positions(): Tensor {
    return this.shared('positions', (graph) => graph.input([this.tokens], 'i32'))
  }

  /** The tensors of one block. */
  block(layer: number): Block {
    return new Block(this, layer)
  }

  /** x times a matrix of the model; added to a bias, where it has one. */
  multiply(matrix: PlacedTensor | undefined, x: Tensor, bias?: PlacedTensor): Tensor {
    const product = this.graph.compute([matrix?.shape[1] ?? x.shape[0] ?? 1, this.tokens], [x])
    return bias ? this.over(product) : product
  }

  /** An operation of the same shape that is written over what it reads, where nobody else reads it. */
  over(x: Tensor, ...others: Tensor[]): Tensor {
    return this.graph.compute(x.shape, [x, ...others], { overwrites: true })
  }

  /** A norm and its weight. */
  norm(x: Tensor, bias = false): Tensor {
    const scaled = this.over(this.normalised(x))
    return bias ? this.over(scaled) : scaled
  }

  /** Without a weight. */
  normalised(x: Tensor): Tensor {
    return this.graph.compute(x.shape, [x], { overwrites: !PLAIN_NORM.test(this.shape.architecture) })
  }
}

/** One block's tensors by their short names, such as `attn_q`. */
export class Block {
  readonly #context: GraphContext
  readonly #prefix: string

  constructor(context: GraphContext, layer: number) {
    this.#context = context
    this.#prefix = `blk.${layer}.`
  }

  tensor(name: string): PlacedTensor | undefined {
    return this.#context.shape.tensors.get(`${this.#prefix}${name}.weight`)
  }

  bias(name: string): PlacedTensor | undefined {
    return this.#context.shape.tensors.get(`${this.#prefix}${name}.bias`)
  }

  has(name: string): boolean {
    return this.tensor(name) !== undefined
  }

  /** Rows of a matrix: what it makes of a token; 0 where there is none. */
  rows(name: string): number {
    return this.tensor(name)?.shape[1] ?? 0
  }

  /** x times one of the block's matrices. */
  multiply(name: string, x: Tensor): Tensor {
    return this.#context.multiply(this.tensor(name), x, this.bias(name))
  }

  /** A norm of the block; x itself where the block has none of that name. */
  norm(name: string, x: Tensor): Tensor {
    return this.has(name) ? this.#context.norm(x, this.bias(name) !== undefined) : x
  }
}
