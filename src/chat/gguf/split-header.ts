/**
 * The header of a whole model, which may lie in several files.
 * Names and keys: https://github.com/ggml-org/llama.cpp/blob/master/tools/gguf-split/README.md
 *
 * @module
 */
import { headerErrors } from './errors.ts'
import { type GgufHeader, readGgufHeader } from './header.ts'

const PART = /-(\d{5})-of-(\d{5})(\.gguf)$/i
/** Far more than any model has. */
const MOST_PARTS = 1000

/**
 * Reads the header of a model, whichever of its files is named: facts from the first, tensors from all.
 * @throws MaiError as `readGgufHeader`, also for any other file of the model
 */
export async function readModelHeader(file: string, options: { readonly headerOnly?: boolean } = {}): Promise<GgufHeader> {
  const header = await readGgufHeader(file, options)
  const count = Number(header.metadata.get('split.count') ?? 0)
  if (!(count > 1)) return header
  if (count > MOST_PARTS) throw headerErrors.damaged(file, `${count} files`)
  if (Number(PART.exec(file)?.[2]) !== count) throw headerErrors.unnamedPart(file, count)
  const parts: GgufHeader[] = []
  for (let part = 1; part <= count; part++) {
    parts.push(await readGgufHeader(file.replace(PART, `-${String(part).padStart(5, '0')}-of-$2$3`), options))
  }
  const [first = header] = parts
  return {
    ...first,
    tensors: parts.flatMap(({ tensors }) => tensors),
    fileBytes: parts.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    headerBytes: parts.reduce((sum, { headerBytes }) => sum + headerBytes, 0),
  }
}
