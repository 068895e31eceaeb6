/**
 * Reads the header of a GGUF file, versions 2 and 3: what a model is, without loading it.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * Nothing in a file is believed: it is read forwards in pieces of bounded size, what is not wanted is skipped without
 * being read, and a count allocates nothing.
 *
 * @module
 */

import { headerErrors } from './errors.ts'
import { GgufSource } from './source.ts'
import { alignmentOf, checkTensorsFit, type PlacedTensor } from './tensors.ts'
import { type Metadata, readValue } from './value.ts'

/** The header of one file. */
export interface GgufHeader {
  readonly version: number
  /** Numbers, booleans, texts of up to a megabyte and short arrays of numbers. Of other arrays only their length. */
  readonly metadata: ReadonlyMap<string, Metadata>
  readonly tensors: readonly PlacedTensor[]
  /** Tokens such as `<0x0A>` in the vocabulary. */
  readonly byteTokens: number
  /** Size of the file, in bytes. */
  readonly fileBytes: number
  /** Bytes of the header. */
  readonly headerBytes: number
}

/** Far more than any model has. */
const MOST_KEYS = 65_536
const MOST_TENSORS = 100_000
/** Longest key, as the format states. */
const MOST_KEY_BYTES = 65_535
const MOST_DIMENSIONS = 8
/** A tensor's name: 63 bytes in ggml; some converters write longer ones. */
const MOST_NAME_BYTES = 1024
const MAGIC = 0x46554747 // "GGUF"

/**
 * @param options `headerOnly`: the tensors' data may be missing, as in what is read of a file that is still far away
 * @throws MaiError `MAI_MODEL_FILE` for anything that is not a whole GGUF file; `MAI_MODEL_FILE_UNREADABLE` where it may not be read
 */
export async function readGgufHeader(file: string, options: { readonly headerOnly?: boolean } = {}): Promise<GgufHeader> {
  const source = await GgufSource.open(file)
  try {
    if ((await source.u32()) !== MAGIC) throw headerErrors.notGguf(file)
    const version = await source.u32()
    if (version !== 2 && version !== 3) throw headerErrors.version(file, version)
    const tensorCount = await source.count('tensors', MOST_TENSORS)
    const keyCount = await source.count('keys', MOST_KEYS)
    const metadata = new Map<string, Metadata>()
    let byteTokens = 0
    for (let index = 0; index < keyCount; index++) {
      const key = await source.text(MOST_KEY_BYTES)
      const value = await readValue(source)
      if (key === 'tokenizer.ggml.tokens' && typeof value === 'object' && 'byteTokens' in value) byteTokens = value.byteTokens
      metadata.set(key, value)
    }
    const tensors: PlacedTensor[] = []
    for (let index = 0; index < tensorCount; index++) tensors.push(await readTensor(source))
    const alignment = alignmentOf(source, metadata.get('general.alignment'))
    if (options.headerOnly !== true) checkTensorsFit(source, tensors, alignment)
    return { version, metadata, tensors, byteTokens, fileBytes: source.size, headerBytes: source.position }
  } finally {
    await source.close()
  }
}

async function readTensor(source: GgufSource): Promise<PlacedTensor> {
  const name = await source.text(MOST_NAME_BYTES)
  const dimensions = await source.u32()
  if (dimensions > MOST_DIMENSIONS) throw headerErrors.damaged(source.file, `a tensor of ${dimensions} dimensions`)
  // What an object takes beside its name.
  source.keep(128)
  const shape: number[] = []
  for (let index = 0; index < dimensions; index++) shape.push(await source.count('elements', Number.MAX_SAFE_INTEGER))
  const type = await source.u32()
  const offset = await source.count('bytes', Number.MAX_SAFE_INTEGER)
  return { name, shape, type, offset }
}
