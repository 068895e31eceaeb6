/**
 * One load: it makes progress, or ends; given up, it leaves nothing in memory.
 *
 * @module
 */
import type { Backend } from './backend.ts'
import { type Clock, limit, pause } from './clock.ts'
import { backendError } from './failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from './model.ts'

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
  const idle = new AbortController()
  const stop = AbortSignal.any([signal, idle.signal])
  const late = (): void => idle.abort(backendError('MAI_LOAD_TIMEOUT', `Loading ${model.key} made no progress for ${idleMs / 1000} s.`))
  let disarm = clock.after(idleMs, late)
  const progress = (fraction: number): void => {
    if (stop.aborted) return
    disarm()
    disarm = clock.after(idleMs, late)
    onProgress(fraction)
  }
  const loading = backend.load(model, settings, progress, stop)
  const settled = new AbortController()
  loading.then(
    (instance) => {
      settled.abort()
      // A load that ends after it was given up must not stay in memory unseen.
      if (stop.aborted) void unloadInstance(backend, instance, clock).catch(() => {})
    },
    () => settled.abort(),
  )
  try {
    const given = await Promise.race([loading, aborted(stop, settled.signal)])
    if (given !== undefined && !stop.aborted) return given
    await pause(clock, CLEAR_UP_MS, settled.signal)
    throw stop.reason
  } catch (error) {
    throw stop.aborted ? stop.reason : error
  } finally {
    disarm()
  }
}

/** Bounded, whatever the backend does. */
export async function unloadInstance(backend: Backend, instance: LoadedInstance, clock: Clock): Promise<void> {
  const { signal, end } = limit(clock, UNLOAD_LIMIT_MS)
  const over = new AbortController()
  try {
    const unloading = backend.unload(instance, signal)
    unloading.catch(() => {})
    await Promise.race([unloading, aborted(signal, over.signal).then(() => Promise.reject(signal.reason))])
  } finally {
    over.abort()
    end()
  }
}

/** Resolves when `signal` aborts; lets go of it when `end` does. */
function aborted(signal: AbortSignal, end: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done)
      end.removeEventListener('abort', done)
      if (signal.aborted) resolve(undefined)
    }
    if (signal.aborted) done()
    signal.addEventListener('abort', done, { once: true })
    end.addEventListener('abort', done, { once: true })
  })
}
