/**
 * How much memory a computation needs for what it works on: a graph of tensors, and the allocator that llama.cpp lays it
 * out with. Tensors get their place in the order in which they are computed, the smallest free gap that is large enough
 * first; a place is free again after the last use; some operations write over what they read.
 * Facts from ggml's `ggml-alloc.c`; checked against what llama.cpp reports (tests/chat/memory).
 *
 * @module
 */

/** Bytes of an element while computing. */
const ELEMENT_BYTES = { f32: 4, f16: 2, i32: 4, i64: 8 } as const
/** ggml aligns tensors in ordinary memory to this. */
const ALIGNMENT = 32

export type ElementType = keyof typeof ELEMENT_BYTES

/** Extent in each dimension, the fastest-running first. */
export type Shape = readonly number[]

/** A tensor of the graph. What lies elsewhere, such as weights and caches, is not in the graph. */
export interface Tensor {
  readonly shape: Shape
  readonly type: ElementType
  /** Whether its elements do not simply follow each other. */
  readonly strided: boolean
  readonly bytes: number
  /** What it is a view of; a view takes no memory. */
  readonly viewOf: Node | undefined
}

interface Node extends Tensor {
  readonly sources: readonly Node[]
  /** Whether the operation may write over what it reads. */
  readonly overwrites: boolean
  /** Kept to the end: results. */
  readonly output: boolean
  children: number
  views: number
  place: number
  allocated: boolean
}

/** How a tensor is computed. */
export interface Operation {
  /** Default f32. */
  readonly type?: ElementType
  readonly overwrites?: boolean
  readonly output?: boolean
}

const elements = (shape: Shape): number => shape.reduce((product, length) => product * length, 1)

/** Only over a tensor that lies in memory alike can another be written. Missing dimensions are 1. */
function alike(a: Tensor, b: Tensor): boolean {
  if (a.type !== b.type || a.bytes !== b.bytes || a.strided || b.strided) return false
  const rank = Math.max(a.shape.length, b.shape.length)
  for (let index = 0; index < rank; index++) if ((a.shape[index] ?? 1) !== (b.shape[index] ?? 1)) return false
  return true
}

/** Built in the order of computation. */
export class ComputeGraph {
  readonly #inputs: Node[] = []
  readonly #nodes: Node[] = []

  /** A tensor that is filled before the computation, such as token numbers and masks. */
  input(shape: Shape, type: ElementType): Tensor {
    const node = this.#node(shape, type, [], {})
    this.#inputs.push(node)
    return node
  }

  /** A tensor that is computed from others; from weights and caches alone, where none are given. */
  compute(shape: Shape, sources: readonly Tensor[], operation: Operation = {}): Tensor {
    const node = this.#node(shape, operation.type ?? 'f32', sources as readonly Node[], operation)
    this.#nodes.push(node)
    return node
  }

  /** The same elements in another shape. */
  reshape(tensor: Tensor, shape: Shape): Tensor {
    return this.#view(tensor as Node, shape, false)
  }

  /** Some of the elements, or all in another order. */
  view(tensor: Tensor, shape: Shape): Tensor {
    return this.#view(tensor as Node, shape, true)
  }

  /** Uses tensors for something that takes no memory here, such as writing into a cache. */
  use(...tensors: Tensor[]): void {
    const node = this.#node([0], 'f32', tensors as Node[], {})
    this.#nodes.push(node)
  }

  /** The most bytes that are taken at any time. */
  peakBytes(): number {
    const space = new Space()
    for (const node of [...this.#inputs, ...this.#nodes]) {
      node.children = 0
      node.views = 0
      node.allocated = false
    }
    for (const node of this.#nodes) {
      if (node.viewOf) node.viewOf.views++
      for (const source of node.sources) source.children++
    }
    for (const input of this.#inputs) place(input, space)
    for (const node of this.#nodes) {
      place(node, space)
      for (const source of node.sources) release(source, space)
    }
    return space.peak
  }

  #view(tensor: Node, shape: Shape, strided: boolean): Tensor {
    const view: Node = { ...this.#node(shape, tensor.type, [tensor], {}), strided, viewOf: tensor.viewOf ?? tensor }
    this.#nodes.push(view)
    return view
  }

  #node(shape: Shape, type: ElementType, sources: readonly Node[], { overwrites = false, output = false }: Operation): Node {
    return {
      shape,
      type,
      strided: false,
      bytes: elements(shape) * ELEMENT_BYTES[type],
      viewOf: undefined,
      sources,
      overwrites,
      output,
      children: 0,
      views: 0,
      place: 0,
      allocated: false,
    }
  }
}

function place(node: Node, space: Space): void {
  if (node.allocated || node.viewOf || node.bytes === 0) return
  node.allocated = true
  const over = node.overwrites ? node.sources.find((source) => replaceable(source, node)) : undefined
  if (over) {
    node.place = over.place
    over.allocated = false
  } else node.place = space.take(aligned(node.bytes))
}

/** Nobody else may read it afterwards; what is seen through a view is never written over. */
function replaceable(source: Node, node: Node): boolean {
  const { output, children, views, allocated } = source
  return allocated && !output && children === 1 && views === 0 && alike(source, node)
}

function release(source: Node, space: Space): void {
  source.children--
  if (source.children > 0 || source.views > 0) return
  const root = source.viewOf ?? source
  if (source.viewOf) root.views--
  if (root.children > 0 || root.views > 0 || !root.allocated || root.output) return
  space.free(root.place, aligned(root.bytes))
  root.allocated = false
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}

interface Gap {
  offset: number
  size: number
}

/** Memory with gaps, the last of which has no end. */
class Space {
  readonly #gaps: Gap[] = [{ offset: 0, size: Number.MAX_SAFE_INTEGER }]
  peak = 0

  take(size: number): number {
    let best = this.#gaps.length - 1
    let bestSize = Number.POSITIVE_INFINITY
    for (let index = 0; index < this.#gaps.length - 1; index++) {
      const gap = this.#gaps[index]
      // Of equal gaps the later one.
      if (gap && gap.size >= size && gap.size <= bestSize) [best, bestSize] = [index, gap.size]
    }
    const gap = this.#gaps[best]
    if (!gap) return this.peak
    const { offset } = gap
    gap.offset += size
    gap.size -= size
    if (gap.size === 0) this.#gaps.splice(best, 1)
    this.peak = Math.max(this.peak, offset + size)
    return offset
  }

  free(offset: number, size: number): void {
    let next = this.#gaps.findIndex((gap) => gap.offset > offset)
    if (next < 0) next = this.#gaps.length
    const before = this.#gaps[next - 1]
    const after = this.#gaps[next]
    const joinsBefore = before !== undefined && before.offset + before.size === offset
    const joinsAfter = after !== undefined && offset + size === after.offset
    if (joinsBefore && joinsAfter) {
      before.size += size + after.size
      this.#gaps.splice(next, 1)
    } else if (joinsBefore) before.size += size
    else if (joinsAfter) {
      after.offset = offset
      after.size += size
    } else this.#gaps.splice(next, 0, { offset, size })
  }
}
