/**
 * How many threads this machine is fastest with: measured once, when nobody is waiting, and remembered.
 *
 * @module
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import path from 'node:path'
import { bestThreads, type ThreadSpeed } from './measure-threads.ts'

/** So long nobody must have wanted anything before a measurement begins, in ms. */
const REST_MS = 1000
const MOST_THREADS = 1024

/** What the figure belongs to: another processor, or another number of cores that may be used, is another machine. */
function thisMachine(): string {
  return `${cpus()[0]?.model ?? 'unknown'} × ${availableParallelism()}`
}

/** Measures when told that all is quiet, and stops at once when it is not. */
export class ThreadMemory {
  readonly #file: string
  readonly #machine: string
  readonly #restMs: number
  #timer: NodeJS.Timeout | undefined
  #running: AbortController | undefined
  /** A machine that cannot be measured is not tried again and again. */
  #settled = false

  constructor(file: string, machine: string = thisMachine(), restMs: number = REST_MS) {
    this.#file = file
    this.#machine = machine
    this.#restMs = restMs
  }

  /** What was found; undefined while nothing was. Read at once: the file is small, and a load must not wait for it. */
  best(): number | undefined {
    return this.#known()[this.#machine]
  }

  /** Somebody wants something: a measurement ends, and one to come does not begin. */
  busy(): void {
    clearTimeout(this.#timer)
    this.#running?.abort()
  }

  /** Nobody wants anything any more. @param measure asks an engine; gives nothing when aborted */
  quiet(measure: (signal: AbortSignal) => Promise<readonly ThreadSpeed[]>): void {
    clearTimeout(this.#timer)
    if (this.#settled || this.best() !== undefined) return
    this.#timer = setTimeout(() => void this.#measure(measure), this.#restMs).unref()
  }

  async #measure(measure: (signal: AbortSignal) => Promise<readonly ThreadSpeed[]>): Promise<void> {
    const running = new AbortController()
    this.#running = running
    try {
      const best = bestThreads(await measure(running.signal))
      if (best !== undefined) this.#remember(best)
      else if (!running.signal.aborted) this.#settled = true
    } catch {
      // The engine has gone, or has no room: nobody has asked for this, and the default stays.
      this.#settled ||= !running.signal.aborted
    } finally {
      if (this.#running === running) this.#running = undefined
    }
  }

  #known(): Record<string, number> {
    try {
      const known: unknown = JSON.parse(readFileSync(this.#file, 'utf8'))
      const valid = ([, threads]: [string, unknown]): boolean =>
        Number.isInteger(threads) && Number(threads) >= 1 && Number(threads) <= MOST_THREADS
      return Object.fromEntries(Object.entries(known ?? {}).filter(valid))
    } catch {
      // None yet, or damaged.
      return {}
    }
  }

  /** A memory that cannot be written is measured anew by the next process. */
  #remember(threads: number): void {
    const own = `${this.#file}.${process.pid}`
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 })
      writeFileSync(own, JSON.stringify({ ...this.#known(), [this.#machine]: threads }), { mode: 0o600 })
      renameSync(own, this.#file)
    } catch {
      this.#settled = true
      rmSync(own, { force: true })
    }
  }
}
