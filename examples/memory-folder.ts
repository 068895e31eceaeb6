/** Memories on disk: one small file each, never changed, so that processes need not wait for each other and a person can read them. */
import { randomUUID } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import type { Memory } from './memory-learn.ts'

const schema = z.object({ id: z.string(), text: z.string(), sessionId: z.string(), time: z.number() })

/** A folder of memories; made when the first one is kept. */
export class MemoryFolder {
  readonly #folder: string
  /** Files never change: each is read once. */
  readonly #read: Map<string, Memory> = new Map()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Oldest first. */
  async all(): Promise<Memory[]> {
    const names = (await fs.readdir(this.#folder).catch((): string[] => [])).filter((name) => name.endsWith('.json'))
    for (const known of this.#read.keys()) if (!names.includes(known)) this.#read.delete(known)
    await Promise.all(names.filter((name) => !this.#read.has(name)).map((name) => this.#load(name)))
    return [...this.#read.values()].sort((a, b) => a.time - b.time)
  }

  /** On the disk when it resolves: written whole under another name first. */
  async keep(memory: Omit<Memory, 'id'>): Promise<Memory> {
    const kept = { id: randomUUID().slice(0, 8), ...memory }
    await fs.mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const file = path.join(this.#folder, `${kept.id}.json`)
    const handle = await fs.open(`${file}.new`, 'wx', 0o600)
    try {
      await handle.writeFile(`${JSON.stringify(kept)}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.rename(`${file}.new`, file)
    return kept
  }

  /** @returns whether it was there */
  async forget({ id }: Memory): Promise<boolean> {
    this.#read.delete(`${id}.json`)
    return fs.unlink(path.join(this.#folder, `${id}.json`)).then(
      () => true,
      () => false,
    )
  }

  async #load(name: string): Promise<void> {
    try {
      this.#read.set(name, schema.parse(JSON.parse(await fs.readFile(path.join(this.#folder, name), 'utf8'))))
    } catch {
      // Forgotten by another process meanwhile, or no memory: then it is none.
    }
  }
}
