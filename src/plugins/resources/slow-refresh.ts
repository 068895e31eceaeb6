/**
 * Runs the slow reading in the background: one at a time, time-limited, and never fatal.
 *
 * @module
 */
import { MaiError } from '../../core/errors.ts'
import { within } from '../../core/scope.ts'
import type { SlowFacts, SlowReader } from './reading.ts'

/** Its effects. */
export interface SlowRefreshParts {
  readonly read: SlowReader
  readonly timeoutMs: number
  /** Aborted when the plugin closes: a reading under way is then abandoned. */
  readonly signal: AbortSignal
  readonly onFacts: (facts: SlowFacts) => void
  /** Told once; a machine whose tools are broken would fail every time. */
  readonly onFirstFailure: (error: unknown) => void
}

export class SlowRefresh {
  readonly #parts: SlowRefreshParts
  #running: Promise<void> | undefined
  #again = false
  #failed = false

  constructor(parts: SlowRefreshParts) {
    this.#parts = parts
  }

  /** Reads now, or once more after the reading under way. Never rejects. */
  now(): Promise<void> {
    if (this.#running) this.#again = true
    else this.#running = this.#readUntilSettled().finally(() => (this.#running = undefined))
    return this.#running
  }

  async #readUntilSettled(): Promise<void> {
    do {
      this.#again = false
      await this.#readOnce()
    } while (this.#again && !this.#parts.signal.aborted)
  }

  async #readOnce(): Promise<void> {
    const { read, timeoutMs, signal, onFacts, onFirstFailure } = this.#parts
    if (signal.aborted) return
    try {
      const reading = within(read(signal), timeoutMs, () => tooSlow(timeoutMs))
      const facts = await orUndefined(reading, signal)
      if (facts !== undefined) onFacts(facts)
    } catch (error) {
      if (this.#failed || signal.aborted) return
      this.#failed = true
      onFirstFailure(error)
    }
  }
}

/** Settles as `work` does, or with undefined as soon as the signal aborts: closing does not wait for a child process. */
function orUndefined<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve(undefined)
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

function tooSlow(ms: number): MaiError {
  return new MaiError('MAI_RESOURCES_SLOW', `Graphics and battery did not answer within ${ms / 1000} s.`, {
    cure: 'Check the graphics driver (nvidia-smi), or set graphics: false in the options of resources.',
  })
}
