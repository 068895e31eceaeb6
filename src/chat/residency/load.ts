/**
 * One load: it makes progress, or ends; given up, it leaves nothing in memory.
 *
 * @module
 */
import type { Backend } from '../backend.ts'
import { type Clock, limit, pause } from '../clock.ts'
import { backendError } from '../failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from '../model.ts'

/** Bound on one unload, in ms. */
const UNLOAD_LIMIT_MS = 30_000
/** How long a load that is given up may take to clear up before others go on, in ms. */
const CLEAR_UP_MS = 100

/** What to load, and what with. */
export interface LoadOrder {
  readonly backend: Backend
  readonly model: ModelInfo
  readonly settings: LoadSettings
  /** Longest time without progress, in ms. */
  readonly idleMs: number
  readonly clock: Clock
  readonly onProgress: (fraction: number) => void
  /** Gives it up. */
  readonly signal: AbortSignal
}

/** @throws MaiError of `failure.ts`, `MAI_LOAD_TIMEOUT` after a time without progress; the signal's reason */
export async function loadModel({ backend, model, settings, idleMs, clock, onProgress, signal }: LoadOrder): Promise<LoadedInstance> {
  signal.throwIfAborted()
  const giving = new AbortController()
  const stop = giving.signal
  const giveUp = (): void => giving.abort(signal.reason)
  signal.addEventListener('abort', giveUp, { once: true })
  const late = (): void => giving.abort(backendError('MAI_LOAD_TIMEOUT', `Loading ${model.key} made no progress for ${idleMs / 1000} s.`))
  let disarm = clock.after(idleMs, late)
  const progress = (fraction: number): void => {
    if (stop.aborted) return
    disarm()
    disarm = clock.after(idleMs, late)
    onProgress(fraction)
  }
  const loading = backend.load(model, settings, progress, stop)
  const ended = loading.then(
    // A load that ends after it was given up must not stay in memory unseen.
    (instance) => void (stop.aborted && unloadInstance(backend, instance, clock).catch(() => {})),
    () => {},
  )
  try {
    const instance = await Promise.race([loading, aborted(stop)])
    if (instance !== undefined && !stop.aborted) return instance
    await Promise.race([ended, pause(clock, CLEAR_UP_MS)])
    throw stop.reason
  } catch (error) {
    throw stop.aborted ? stop.reason : error
  } finally {
    disarm()
    signal.removeEventListener('abort', giveUp)
  }
}

/** Bounded, whatever the backend does. */
export async function unloadInstance(backend: Backend, instance: LoadedInstance, clock: Clock): Promise<void> {
  const { signal, end } = limit(clock, UNLOAD_LIMIT_MS)
  const unloading = backend.unload(instance, signal)
  unloading.catch(() => {})
  const late = aborted(signal).then(() => Promise.reject(signal.reason))
  late.catch(() => {})
  try {
    await Promise.race([unloading, late])
  } finally {
    end()
  }
}

/** Resolves when a signal of our own aborts; it is forgotten with the signal. */
function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}
