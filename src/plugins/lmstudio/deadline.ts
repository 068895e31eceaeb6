/**
 * A time limit of our own for every call: the SDK's promises may hang for ever.
 *
 * @module
 */
import { backendError } from '../../chat/failure.ts'
import { classify, type Doing } from './errors.ts'

/**
 * Settles as `work` does, or rejects when the time is up or the signal aborts.
 * @throws MaiError; or the signal's reason
 */
export async function bounded<T>(work: Promise<T>, what: string, limitMs: number, signal: AbortSignal, doing: Doing = 'call'): Promise<T> {
  work.catch(() => {})
  let timer: NodeJS.Timeout | undefined
  let onAbort = (): void => {}
  const stopped = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(backendError('MAI_BACKEND_TIMEOUT', `LM Studio did not ${what} within ${limitMs / 1000} s.`)), limitMs)
    onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([work, stopped])
  } catch (error) {
    if (signal.aborted && error === signal.reason) throw error
    throw classify(error, doing)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
