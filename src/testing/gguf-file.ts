/**
 * The GGUF v3 file format, as far as writing small models needs it.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * @module
 */
import fs from 'node:fs/promises'

/** A value with the type that GGUF stores it as. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] }
  | { readonly strings: readonly string[] }

/** Bytes of a tensor that are not zero. */
export interface TensorPart {
  /** Bytes from the start of the tensor. */
  readonly at: number
  readonly data: Buffer
}

/** One tensor; whatever its parts leave out is zero and takes no room on disks that keep sparse files. */
export interface GgufTensor {
  readonly name: string
  /** Fastest-running dimension first. */
  readonly shape: readonly number[]
  readonly type: 'f32' | 'f16' | 'q8_0'
  readonly parts: readonly TensorPart[]
}

const VALUE_TYPE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const
const TENSOR_TYPE = { f32: { id: 0, bytes: 4 }, f16: { id: 1, bytes: 2 }, q8_0: { id: 8, bytes: 34 / 32 } } as const
const ALIGNMENT = 32

/** Writes a GGUF file. @param options `headerOnly`: the file ends where the tensors' data would begin. @returns its size in bytes */
export async function writeGguf(
  file: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[],
  options: { readonly headerOnly?: boolean } = {},
): Promise<number> {
  const keys = Object.entries(metadata)
  const header = [Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(keys.length)]
  for (const [key, value] of keys) header.push(string(key), Buffer.concat(encode(value)))
  let offset = 0
  const placed = tensors.map((tensor) => {
    const at = offset
    offset = aligned(offset + tensorBytes(tensor))
    return { tensor, at }
  })
  for (const { tensor, at } of placed) {
    const { name, shape, type } = tensor
    header.push(string(name), u32(shape.length), ...shape.map(u64), u32(TENSOR_TYPE[type].id), u64(at))
  }
  const head = Buffer.concat(header)
  const start = aligned(head.length)
  const handle = await fs.open(file, 'w')
  try {
    await handle.truncate(options.headerOnly ? start : start + offset)
    await handle.write(head, 0, head.length, 0)
    if (options.headerOnly) return start
    for (const { tensor, at } of placed) {
      for (const part of tensor.parts) await handle.write(part.data, 0, part.data.length, start + at + part.at)
    }
  } finally {
    await handle.close()
  }
  return start + offset
}

/** Bytes that a tensor takes. */
export function tensorBytes({ shape, type }: Pick<GgufTensor, 'shape' | 'type'>): number {
  return shape.reduce((product, size) => product * size, TENSOR_TYPE[type].bytes)
}

/** Numbers as 32-bit floats. */
export function f32Data(values: ArrayLike<number>): Buffer {
  return Buffer.from(Float32Array.from(values).buffer)
}

/** Numbers as 16-bit floats, rounded to the nearest. */
export function f16Data(values: ArrayLike<number>): Buffer {
  return Buffer.from(Uint16Array.from(values, half).buffer)
}

/** IEEE 754 binary16. Infinite above 65,504; zero below 2^-24. */
function half(value: number): number {
  const sign = value < 0 ? 0x8000 : 0
  const size = Math.abs(value)
  if (size === 0) return sign
  const exponent = Math.max(Math.floor(Math.log2(size)), -14)
  const mantissa = Math.round(size * 2 ** (10 - exponent))
  // Below 2^-14 the leading bit is not implied, and a mantissa that rounds up carries into the exponent by itself.
  return sign | Math.min(((exponent + 14) << 10) + mantissa, 0x7c00)
}

function encode(value: GgufValue): Buffer[] {
  if ('u32' in value) return [u32(VALUE_TYPE.u32), u32(value.u32)]
  if ('f32' in value) return [u32(VALUE_TYPE.f32), f32Data([value.f32])]
  if ('bool' in value) return [u32(VALUE_TYPE.bool), Buffer.from([value.bool ? 1 : 0])]
  if ('string' in value) return [u32(VALUE_TYPE.string), string(value.string)]
  if ('f32s' in value) return [...array('f32', value.f32s.length), f32Data(value.f32s)]
  if ('i32s' in value) return [...array('i32', value.i32s.length), Buffer.from(Int32Array.from(value.i32s).buffer)]
  return [...array('string', value.strings.length), ...value.strings.map(string)]
}

function array(type: keyof typeof VALUE_TYPE, length: number): Buffer[] {
  return [u32(VALUE_TYPE.array), u32(VALUE_TYPE[type]), u64(length)]
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32LE(value)
  return buffer
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt(value))
  return buffer
}

function string(text: string): Buffer {
  const data = Buffer.from(text)
  return Buffer.concat([u64(data.length), data])
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
}
