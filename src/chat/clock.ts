/**
 * Time as something that is given: the system's, or a test's.
 *
 * @module
 */

/** Tells the time and calls back later. */
export interface Clock {
  /** Epoch ms. */
  now(): number
  /** Calls once after so many ms. @returns gives it up */
  after(ms: number, call: () => void): () => void
}

/** The system's timers. @param now epoch ms */
export function systemClock(now: () => number = Date.now): Clock {
  return {
    now,
    after(ms, call) {
      const timer = setTimeout(call, ms)
      return () => clearTimeout(timer)
    },
  }
}

/** Resolves after so many ms, or as soon as the signal aborts; never rejects. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      giveUp()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const giveUp = clock.after(ms, done)
    if (signal?.aborted) done()
    else signal?.addEventListener('abort', done, { once: true })
  })
}

/** A signal that aborts after so many ms, unless it is let go of before. */
export function limit(clock: Clock, ms: number): { readonly signal: AbortSignal; end(): void } {
  const late = new AbortController()
  const end = clock.after(ms, () => late.abort(new DOMException('It took too long.', 'TimeoutError')))
  return { signal: late.signal, end }
}
