/**
 * What headers said, remembered by path, size and time of the files: a second look reads no model.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { readGgufHeader } from '../../../chat/gguf/header.ts'
import { toErrorFact } from '../../../core/errors.ts'
import { describeModel, engineProblem, type ModelFacts } from '../describe.ts'
import type { FoundFile } from './find-files.ts'

/** What is known of a file: facts, or why it cannot be used; sometimes both. */
export interface KnownFile {
  readonly facts: ModelFacts | undefined
  readonly problem: string | undefined
}

interface Remembered extends KnownFile {
  readonly size: number
  readonly mtimeMs: number
}

/** Of the format below: an older memory is forgotten. */
const VERSION = 3
/** Headers read at the same time. */
const AT_ONCE = 4

/** Loads, asks, and saves what is new. */
export class HeaderCache {
  readonly #file: string
  #known: Map<string, Remembered> | undefined

  constructor(file: string) {
    this.#file = file
  }

  /** Facts of all files, in their order. Reads the headers of those that are new or have changed. */
  async describe(files: readonly FoundFile[]): Promise<KnownFile[]> {
    this.#known ??= await load(this.#file)
    const known = this.#known
    const fresh = (file: FoundFile): boolean => {
      const remembered = known.get(file.realPath)
      return remembered?.size === file.size && remembered.mtimeMs === file.mtimeMs
    }
    const unread = files.filter((file) => !fresh(file))
    const waiting = [...unread]
    const worker = async (): Promise<void> => {
      for (let file = waiting.shift(); file; file = waiting.shift()) {
        const { lasting, ...facts } = await read(file.realPath)
        // What may be mended without touching the file, such as its rights, is asked again the next time.
        known.set(file.realPath, { size: lasting ? file.size : -1, mtimeMs: file.mtimeMs, ...facts })
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    if (unread.length > 0) {
      await forgetGone(known, files)
      await save(this.#file, known)
    }
    return files.map(({ realPath }) => known.get(realPath) ?? { facts: undefined, problem: 'it could not be read' })
  }
}

async function read(file: string): Promise<KnownFile & { readonly lasting: boolean }> {
  try {
    const header = await readGgufHeader(file)
    return { facts: describeModel(header), problem: engineProblem(header), lasting: true }
  } catch (error) {
    const { code, message } = toErrorFact(error)
    return { facts: undefined, problem: message, lasting: code === 'MAI_MODEL_FILE' }
  }
}

/** Files that are no longer there; those of places that were not asked for this time stay. */
async function forgetGone(known: Map<string, Remembered>, files: readonly FoundFile[]): Promise<void> {
  const seen = new Set(files.map(({ realPath }) => realPath))
  const others = [...known.keys()].filter((file) => !seen.has(file))
  await Promise.all(others.map((file) => fs.access(file).catch(() => known.delete(file))))
}

async function load(file: string): Promise<Map<string, Remembered>> {
  try {
    const { version, files } = JSON.parse(await fs.readFile(file, 'utf8')) as { version: number; files: [string, Remembered][] }
    return version === VERSION ? new Map(files) : new Map()
  } catch {
    // None yet, or damaged: everything is read anew.
    return new Map()
  }
}

/** A cache that cannot be written costs time, nothing else. */
async function save(file: string, known: ReadonlyMap<string, Remembered>): Promise<void> {
  const own = `${file}.${randomUUID()}`
  try {
    await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    await fs.writeFile(own, JSON.stringify({ version: VERSION, files: [...known] }), { mode: 0o600 })
    await fs.rename(own, file)
  } catch {
    await fs.rm(own, { force: true }).catch(() => {})
  }
}
