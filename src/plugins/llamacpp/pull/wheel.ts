/**
 * Reads files out of a wheel, which is a zip archive. Paths in it are names to look for and never places to write to.
 *
 * @module
 */
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import type { Entry, ZipFile } from 'yauzl'

/** A file in a wheel. */
export interface WheelFile {
  readonly name: string
  readonly sizeBytes: number
  /** Its content, checked against the archive's own size and checksum. */
  read(): Promise<Readable>
}

/** An open wheel. */
export interface Wheel {
  readonly files: readonly WheelFile[]
  /** A small file as text. */
  text(file: WheelFile): Promise<string>
  close(): void
}

/** More entries than any wheel of a model has. */
const MOST_FILES = 10_000
/** Most bytes that are read as text. */
const TEXT_LIMIT = 1024 * 1024

/** @throws Error for a file that is no zip archive */
export async function openWheel(file: string): Promise<Wheel> {
  const yauzl = await import('yauzl')
  const open = promisify<string, { lazyEntries: boolean; autoClose: boolean }, ZipFile>(yauzl.open)
  const zip = await open(file, { lazyEntries: true, autoClose: false })
  const files = (await entries(zip)).map(
    (entry): WheelFile => ({
      name: entry.fileName,
      sizeBytes: entry.uncompressedSize,
      read: () => promisify<Entry, Readable>(zip.openReadStream.bind(zip))(entry),
    }),
  )
  return {
    files,
    async text(wanted) {
      if (wanted.sizeBytes > TEXT_LIMIT) return ''
      const chunks: Buffer[] = []
      for await (const chunk of await wanted.read()) chunks.push(chunk as Buffer)
      return Buffer.concat(chunks).toString('utf8')
    },
    close: () => zip.close(),
  }
}

function entries(zip: ZipFile): Promise<Entry[]> {
  return new Promise((resolve, reject) => {
    const found: Entry[] = []
    zip.on('entry', (entry: Entry) => {
      found.push(entry)
      if (found.length > MOST_FILES) reject(new Error('The archive has too many entries.'))
      else zip.readEntry()
    })
    zip.on('end', () => resolve(found))
    zip.on('error', reject)
    zip.readEntry()
  })
}
