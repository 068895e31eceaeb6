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
  return { signal: controller.signal, end: abortWith(controller, signals) }
}

/** Aborts a controller as the first of some signals does. @returns lets go of them */
export function abortWith(controller: AbortController, signals: readonly AbortSignal[]): () => void {
  const listening = signals.map((signal) => {
    const abort = (): void => controller.abort(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    return { signal, abort }
  })
  return () => {
    for (const { signal, abort } of listening) signal.removeEventListener('abort', abort)
  }
}
