/**
 * One signal of several.
 *
 * @module
 */

/** A signal that aborts as the first of several does, until it is let go of. */
export interface JoinedSignal {
  readonly signal: AbortSignal
  /** Leaves nothing behind on signals that live longer. */
  end(): void
}

/** `AbortSignal.any`, which takes a tenth of a millisecond of an answer's time to its first token, with an end. */
export function joined(...signals: readonly AbortSignal[]): JoinedSignal {
  const controller = new AbortController()
  return { signal: controller.signal, end: onAbort(signals, (reason) => controller.abort(reason)) }
}

/** Calls with the reason of the first of several signals that aborts. @returns lets go of them */
export function onAbort(signals: readonly AbortSignal[], call: (reason: unknown) => void): () => void {
  const listening = signals.map((signal) => {
    const aborted = (): void => call(signal.reason)
    if (signal.aborted) aborted()
    else signal.addEventListener('abort', aborted, { once: true })
    return { signal, aborted }
  })
  return () => {
    for (const { signal, aborted } of listening) signal.removeEventListener('abort', aborted)
  }
}
