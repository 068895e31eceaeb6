/**
 * A time limit of our own for every call: the SDK's promises may hang for ever.
 *
 * @module
 */
import { type BackendErrorCode, backendError } from '../../chat/failure.ts'

/** A limit that starts anew with each sign of life. */
export interface Watch {
  /** Rejects when the time is up, or with the signal's reason. Never resolves. */
  readonly stopped: Promise<never>
  /** A sign of life. @returns whether it was still watched for */
  alive(): boolean
  /** Lets go of timer and signal. */
  end(): void
}

/** Looks for signs of life within a limit: it is found to be over at most an eighth late. */
const LOOKS = 8

/** Starts watching. @param late the error for when nothing was heard for `limitMs` */
export function watch(limitMs: number, late: () => Error, signal: AbortSignal): Watch {
  let onAbort = (): void => {}
  let timer: NodeJS.Timeout | undefined
  let watching = true
  // Signs of life come by the thousand: each leaves a mark, and now and then somebody looks. A clock for each would cost more than passing it on.
  let heard = false
  let silentLooks = 0
  const stopped = new Promise<never>((_, reject) => {
    onAbort = () => {
      watching = false
      reject(signal.reason)
    }
    timer = setInterval(() => {
      silentLooks = heard ? 0 : silentLooks + 1
      heard = false
      if (silentLooks >= LOOKS) reject(late())
    }, limitMs / LOOKS)
  })
  stopped.catch(() => {})
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return {
    stopped,
    alive: () => {
      heard = true
      return watching
    },
    end: () => {
      watching = false
      clearInterval(timer)
      signal.removeEventListener('abort', onAbort)
    },
  }
}

/** Settles as `work` does, or rejects when the time is up or the signal aborts. The work itself is not stopped. */
export async function bounded<T>(work: Promise<T>, what: string, limitMs: number, signal: AbortSignal): Promise<T> {
  // Whatever comes after we left is nobody's.
  work.catch(() => {})
  const { stopped, end } = watch(limitMs, () => tooLate('MAI_BACKEND_TIMEOUT', what, limitMs), signal)
  try {
    return await Promise.race([work, stopped])
  } finally {
    end()
  }
}

/** The error for a call that took too long. @param what completes "LM Studio did not …" */
export function tooLate(code: BackendErrorCode, what: string, limitMs: number): Error {
  return backendError(code, `LM Studio did not ${what} within ${limitMs >= 1000 ? `${limitMs / 1000} s` : `${limitMs} ms`}.`, {
    cure: 'Check that LM Studio still works; restart it if it hangs.',
  })
}
