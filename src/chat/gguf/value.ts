/**
 * Values of GGUF metadata: what is small is kept, of what is large only how long it is.
 *
 * @module
 */

import { headerErrors } from './errors.ts'
import type { GgufSource } from './source.ts'

/** A large array. */
export interface LongArray {
  readonly length: number
  /** Of its texts, those that are byte tokens. */
  readonly byteTokens: number
}

/** A value of the metadata. A text that is too long to keep is a {@link LongArray} too. */
export type Metadata = number | boolean | string | readonly number[] | LongArray

/** Longest text that is kept, in bytes: chat templates are the longest. */
const MOST_TEXT = 1024 * 1024
/** Longest array that is kept: numbers for each layer. */
const MOST_NUMBERS = 2048
const MOST_ELEMENTS = 0xffff_ffff
/** Longest list of texts that is gone through, as their lengths must be read: the largest vocabularies have 300,000. */
const MOST_TEXTS = 8_000_000

const STRING = 8
const ARRAY = 9
/** Bytes of each type of number; 0: not a number. */
const WIDTH: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]

export async function readValue(source: GgufSource): Promise<Metadata> {
  const type = await source.u32()
  if (type === STRING) return readText(source)
  if (type === ARRAY) return readArray(source)
  return readNumber(source, type)
}

async function readText(source: GgufSource): Promise<Metadata> {
  const length = await source.count('bytes of text', source.size)
  if (length <= MOST_TEXT) return source.utf8(length)
  source.skip(length)
  return { length, byteTokens: 0 }
}

async function readArray(source: GgufSource): Promise<Metadata> {
  const type = await source.u32()
  const length = await source.count('values', MOST_ELEMENTS)
  if (type === STRING) return readTexts(source, length)
  if (type === ARRAY) throw headerErrors.damaged(source.file, 'arrays of arrays')
  const width = widthOf(source, type)
  if (length > MOST_NUMBERS) {
    source.skip(length * width)
    return { length, byteTokens: 0 }
  }
  source.keep(length * 8)
  const numbers: number[] = []
  for (let index = 0; index < length; index++) numbers.push(Number(await readNumber(source, type)))
  return numbers
}

/** Vocabularies have 150,000 texts and more: nothing waits that need not, and nothing is kept. */
async function readTexts(source: GgufSource, length: number): Promise<LongArray> {
  if (length > MOST_TEXTS) throw headerErrors.damaged(source.file, `a list of ${length} texts`)
  let byteTokens = 0
  const count = (): void => void byteTokens++
  for (let left = length; left > 0; ) {
    const taken = source.takeTexts(left, count)
    left -= taken
    if (taken > 0) continue
    // The last ones of a file may be shorter than a byte token.
    if (source.size - source.position >= 14) await source.need(14)
    else {
      source.skip(await source.count('bytes of text', source.size))
      left--
    }
  }
  return { length, byteTokens }
}

async function readNumber(source: GgufSource, type: number): Promise<number | boolean> {
  const width = widthOf(source, type)
  if (source.ready < width) await source.need(width)
  switch (type) {
    case 0:
      return source.takeNumber('readUInt8', 1)
    case 1:
      return source.takeNumber('readInt8', 1)
    case 2:
      return source.takeNumber('readUInt16LE', 2)
    case 3:
      return source.takeNumber('readInt16LE', 2)
    case 4:
      return source.takeU32()
    case 5:
      return source.takeNumber('readInt32LE', 4)
    case 6:
      return source.takeNumber('readFloatLE', 4)
    case 7:
      return source.takeNumber('readUInt8', 1) !== 0
    case 10:
      return source.takeU64()
    case 11:
      return source.takeI64()
    default:
      return source.takeNumber('readDoubleLE', 8)
  }
}

function widthOf(source: GgufSource, type: number): number {
  const width = WIDTH[type] ?? 0
  if (width === 0) throw headerErrors.damaged(source.file, `a value of type ${type}`)
  return width
}
