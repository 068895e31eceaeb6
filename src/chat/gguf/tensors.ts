/**
 * The tensors that a header announces: their sizes, and whether the file is long enough to hold them. A file that was cut
 * off on its way shows here, before it is loaded.
 * Sizes of types: https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
 *
 * @module
 */
import { headerErrors } from './errors.ts'
import type { GgufSource } from './source.ts'
import type { Metadata } from './value.ts'

/** A tensor as the header describes it. */
export interface PlacedTensor {
  readonly name: string
  /** Elements in each dimension, the fastest-running first. */
  readonly shape: readonly number[]
  /** ggml's number of the type, such as 0 for F32, 12 for Q4_K. */
  readonly type: number
  /** Bytes from where the data begins. */
  readonly offset: number
}

/** Where a header names none. */
const USUAL_ALIGNMENT = 32

/** Elements of a block and the bytes it takes. What is not listed here is only looked at roughly. */
const BLOCKS: ReadonlyMap<number, readonly [elements: number, bytes: number]> = new Map([
  [0, [1, 4]],
  [1, [1, 2]],
  [2, [32, 18]],
  [3, [32, 20]],
  [6, [32, 22]],
  [7, [32, 24]],
  [8, [32, 34]],
  [9, [32, 36]],
  [10, [256, 84]],
  [11, [256, 110]],
  [12, [256, 144]],
  [13, [256, 176]],
  [14, [256, 210]],
  [15, [256, 292]],
  [16, [256, 66]],
  [17, [256, 74]],
  [18, [256, 98]],
  [19, [256, 50]],
  [20, [32, 18]],
  [21, [256, 110]],
  [22, [256, 82]],
  [23, [256, 136]],
  [24, [1, 1]],
  [25, [1, 2]],
  [26, [1, 4]],
  [27, [1, 8]],
  [28, [1, 8]],
  [29, [256, 56]],
  [30, [1, 2]],
  [34, [256, 54]],
  [35, [256, 66]],
  [39, [32, 17]],
  [40, [64, 36]],
  [41, [128, 18]],
  [42, [64, 18]],
])

/** Bytes of a tensor's data; undefined for a type that is not known here. */
export function tensorBytes({ shape, type }: PlacedTensor): number | undefined {
  const block = BLOCKS.get(type)
  return block && (elementsOf(shape) / block[0]) * block[1]
}

/** How many numbers a tensor has. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1)
}

/** @throws MaiError `MAI_MODEL_FILE` for an alignment that no loader takes */
export function alignmentOf(source: GgufSource, alignment: Metadata | undefined): number {
  const unit = alignment === undefined ? USUAL_ALIGNMENT : Number(alignment)
  // ggml demands the same.
  if (!(unit > 0) || !Number.isInteger(Math.log2(unit))) throw headerErrors.damaged(source.file, `an alignment of ${unit}`)
  return unit
}

/** @throws MaiError `MAI_MODEL_FILE` when the file ends before one of its tensors does */
export function checkTensorsFit(source: GgufSource, tensors: readonly PlacedTensor[], alignment: number): void {
  const start = Math.ceil(source.position / alignment) * alignment
  for (const tensor of tensors) {
    if (start + tensor.offset + (tensorBytes(tensor) ?? 0) > source.size) throw headerErrors.truncated(source.file)
  }
}
