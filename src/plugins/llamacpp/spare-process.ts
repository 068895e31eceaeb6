/**
 * One engine process ahead of the next load, with the engine's library read: reading it takes longer than loading a small
 * model does. It is started while nobody waits, and it is given up when memory is short.
 *
 * @module
 */
import type { EngineProcess } from './engine-process.ts'

/** Nothing has been asked of the engine for so long, in ms, before a process is started for what may come. */
const REST_MS = 1500
/** A longer timer runs out at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/** Keeps at most one. */
export class SpareProcess {
  readonly #start: () => EngineProcess
  readonly #idleMs: number
  #process: EngineProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #allowed = true
  #ended: Promise<void> = Promise.resolve()

  /**
   * @param start starts a process that holds nobody else's alive
   * @param idleMs unused for so long, in ms, it is ended
   */
  constructor(start: () => EngineProcess, idleMs: number) {
    this.#start = start
    this.#idleMs = Math.min(idleMs, LONGEST_TIMER_MS)
  }

  /** The engine is at work: nothing is started beside it. */
  busy(): void {
    if (!this.#process) clearTimeout(this.#timer)
  }

  /** The engine rests: one is started before long. */
  soon(): void {
    if (this.#process || !this.#allowed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#begin(), REST_MS).unref()
  }

  /** The process, which is the caller's from now on; undefined where there is none. */
  take(): EngineProcess | undefined {
    const process = this.#process
    this.#process = undefined
    clearTimeout(this.#timer)
    return process
  }

  /** Whether there is memory to spare. */
  allow(allowed: boolean): void {
    this.#allowed = allowed
    if (!allowed) void this.end()
  }

  /** Resolves when it is gone. */
  end(): Promise<void> {
    const process = this.take()
    if (process) this.#ended = process.end()
    return this.#ended
  }

  #begin(): void {
    const process = this.#start()
    this.#process = process
    this.#timer = setTimeout(() => void this.end(), this.#idleMs).unref()
    void process.gone.then(() => {
      if (this.#process === process) this.#process = undefined
    })
  }
}
