/**
 * What a person has typed, kept across runs for ↑: one JSON string a line, so that an entry may have line breaks.
 *
 * @module
 */
import { appendFile, chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

/** Entries that are kept. */
const MAX_ENTRIES = 1000
/** Longer ones are not kept, in characters: ↑ is for what was typed. */
const MAX_LENGTH = 16_384
/** Only its owner may read it. */
const MODE = 0o600

/** The history of all chats of this person. Entries are added at the end, so that two chats at once lose nothing. */
export class HistoryFile {
  readonly #file: string
  readonly #entries: string[]

  private constructor(file: string, entries: string[]) {
    this.#file = file
    this.#entries = entries
  }

  /** Reads what there is; damaged lines are left out. */
  static async open(file: string): Promise<HistoryFile> {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    const lines = text.split('\n').filter((line) => line !== '')
    const entries = lines.flatMap(entryOf).slice(-MAX_ENTRIES)
    if (text !== '') await chmod(file, MODE)
    if (lines.length > 2 * MAX_ENTRIES) await replace(file, entries)
    return new HistoryFile(file, entries)
  }

  /** Newest first, as readline wants it. */
  get newestFirst(): string[] {
    return this.#entries.toReversed()
  }

  /** Remembers an entry, unless it repeats the one before it. */
  async add(entry: string): Promise<void> {
    if (entry.trim() === '' || entry.length > MAX_LENGTH || entry === this.#entries.at(-1)) return
    this.#entries.push(entry)
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift()
    await appendFile(this.#file, `${JSON.stringify(entry)}\n`, { mode: MODE })
  }
}

function entryOf(line: string): string[] {
  try {
    const entry: unknown = JSON.parse(line)
    return typeof entry === 'string' && entry !== '' ? [entry] : []
  } catch {
    // A line that a crash has cut.
    return []
  }
}

/** All or nothing: a crash leaves the old file. */
async function replace(file: string, entries: readonly string[]): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`
  await writeFile(temporary, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''), { mode: MODE })
  await rename(temporary, file)
}
