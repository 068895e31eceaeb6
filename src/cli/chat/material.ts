/**
 * Standard input as material of a message: text, within bounds.
 *
 * @module
 */
import { MaiError } from '../../core/errors.ts'

/** What came in. */
export interface Material {
  readonly text: string
  /** Bytes that are no text were replaced. */
  readonly damaged: boolean
}

/** Reads to the end. @throws MaiError `MAI_MESSAGE_TOO_LARGE` as soon as it is too much, `MAI_USAGE` for what is no text */
export async function readMaterial(input: AsyncIterable<Uint8Array | string>, maxBytes: number): Promise<Material> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input) {
    const buffer = Buffer.from(chunk)
    bytes += buffer.length
    // Leaving the loop closes the input, so that a writer without end learns of it.
    if (bytes > maxBytes) throw tooLarge(maxBytes)
    chunks.push(buffer)
  }
  return decoded(Buffer.concat(chunks))
}

/** UTF-8, or UTF-16 that says so. @throws MaiError `MAI_USAGE` for what is no text */
function decoded(bytes: Buffer): Material {
  const text = new TextDecoder(encodingOf(bytes)).decode(bytes)
  // Text has no NUL; pictures, archives and programs do, early.
  if (text.includes('\0')) {
    throw new MaiError('MAI_USAGE', 'Standard input is not text.', {
      cure: 'Attach a picture with --image; extract the text of other files first.',
    })
  }
  return { text, damaged: text.includes('\ufffd') }
}

/** As its byte order mark says. */
function encodingOf(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le'
  return bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8'
}

function tooLarge(maxBytes: number): MaiError {
  return new MaiError('MAI_MESSAGE_TOO_LARGE', `Standard input has more than the ${maxBytes} bytes that a message may have.`, {
    cure: 'Send less at once, or raise turn.maxMessageBytes in mai.config.ts.',
    details: { limit: maxBytes },
  })
}
