/**
 * Scopes own effects: whatever is registered, started or opened hangs on one and ends with it.
 *
 * @module
 */
import { kernelErrors } from './errors.ts'
import type { Disposer } from './events.ts'

/** Undoes one effect; may take time. */
export type Cleanup = () => void | Promise<void>

interface Effect {
  readonly label: string
  readonly cleanup: Cleanup
}

/** A problem met while closing; closing goes on. */
export interface CloseProblem {
  readonly effect: string
  readonly error: unknown
}

/** Owner of effects. Closing undoes them in reverse order, once, within a time limit. */
export class Scope {
  readonly name: string
  readonly #effects: Set<Effect> = new Set()
  readonly #abort: AbortController = new AbortController()
  #closing: Promise<CloseProblem[]> | undefined

  constructor(name: string) {
    this.name = name
  }

  /** Aborted when the scope begins to close. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Labels of the living effects, oldest first. */
  list(): string[] {
    return [...this.#effects].map((effect) => effect.label)
  }

  /** @throws MaiError `MAI_SCOPE_CLOSED` */
  assertOpen(action: string): void {
    if (this.#closing) throw kernelErrors.scopeClosed(this.name, action)
  }

  /**
   * Hangs an effect on this scope.
   * @returns a disposer that undoes it early
   * @throws MaiError `MAI_SCOPE_CLOSED`
   */
  own(label: string, undo: () => void): Disposer {
    const effect = this.#add(label, undo)
    return () => {
      if (this.#effects.delete(effect)) undo()
    }
  }

  /** Hangs a cleanup that may take time. @throws MaiError `MAI_SCOPE_CLOSED` */
  onDispose(cleanup: Cleanup, label = 'disposer'): void {
    this.#add(label, cleanup)
  }

  /**
   * Undoes everything, newest first. A cleanup that throws or outlasts the limit is reported and passed over.
   * @param limitMs for all cleanups together
   */
  close(limitMs = 5000): Promise<CloseProblem[]> {
    this.#closing ??= this.#undoAll(limitMs)
    return this.#closing
  }

  #add(label: string, cleanup: Cleanup): Effect {
    this.assertOpen(`own "${label}"`)
    const effect: Effect = { label, cleanup }
    this.#effects.add(effect)
    return effect
  }

  async #undoAll(limitMs: number): Promise<CloseProblem[]> {
    // The turn of the loop lets `#closing` be set before anything runs.
    await undefined
    this.#abort.abort(kernelErrors.scopeClosed(this.name, 'work'))
    const problems: CloseProblem[] = []
    const deadline = performance.now() + limitMs
    for (const effect of [...this.#effects].reverse()) {
      if (!this.#effects.delete(effect)) continue
      try {
        const running = effect.cleanup()
        if (running !== undefined) {
          const left = Math.max(0, deadline - performance.now())
          await within(running, left, () => kernelErrors.closeTimeout(this.name, effect.label, limitMs))
        }
      } catch (error) {
        problems.push({ effect: effect.label, error })
      }
    }
    return problems
  }
}

/** Settles as `work` does, or rejects with `late()` after `ms`. The work itself is not stopped. */
export async function within<T>(work: PromiseLike<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(late()), ms)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}
