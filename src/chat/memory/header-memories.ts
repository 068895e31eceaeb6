/**
 * Reads the headers of models whose files are known, each once.
 *
 * @module
 */
import { readModelHeader } from '../gguf/split-header.ts'
import type { ModelInfo } from '../model.ts'
import { headerFacts } from './header-estimate.ts'
import { HeaderMemory } from './model-memory.ts'

/** Reading a list of models waits at most so long for headers, in ms; the rest is there the next time. */
const LONGEST_WAIT_MS = 500
/** Headers read at the same time. */
const AT_ONCE = 4

export class HeaderMemories {
  readonly #known: Map<string, HeaderMemory | undefined> = new Map()
  #reading: Promise<void> = Promise.resolve()

  /** What is known of a model's file. */
  of({ path }: ModelInfo): HeaderMemory | undefined {
    return path === undefined ? undefined : this.#known.get(path)
  }

  /** Reads what has not been read, and waits for it a bounded time. A file that cannot be read is not asked again. */
  async learn(models: readonly ModelInfo[]): Promise<void> {
    const unread = [...new Set(models.flatMap(({ path, remote }) => (path === undefined || remote || this.#known.has(path) ? [] : [path])))]
    if (unread.length === 0) return
    for (const path of unread) this.#known.set(path, undefined)
    this.#reading = this.#reading.then(() => this.#read(unread))
    let timer: NodeJS.Timeout | undefined
    await Promise.race([
      this.#reading,
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, LONGEST_WAIT_MS)
      }),
    ])
    clearTimeout(timer)
  }

  async #read(paths: readonly string[]): Promise<void> {
    const waiting = [...paths]
    const worker = async (): Promise<void> => {
      for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
        // Damaged or of another format: the next best estimate stands in.
        const facts = await readModelHeader(path).then(headerFacts, () => undefined)
        if (facts) this.#known.set(path, new HeaderMemory(facts))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }
}
