/**
 * Loading: joins what is loaded already, leaves nothing behind when it is broken off.
 *
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { LLM, LLMLoadModelConfig } from '@lmstudio/sdk'
import type { LoadProgress } from '../../chat/backend.ts'
import { backendError } from '../../chat/failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from '../../chat/model.ts'
import { bounded, tooLate, watch } from './deadline.ts'
import { classify } from './errors.ts'
import type { LmStudioSettings } from './options.ts'
import type { Session } from './session.ts'

/** How long to wait before looking again for an instance that somebody else is loading, in ms. */
const TAKEN_PAUSE_MS = 200
/** How long clearing up after a load may take, in ms. */
const CLEAR_UP_MS = 1000

/** What to load. */
export interface LoadOrder {
  readonly model: ModelInfo
  readonly settings: LoadSettings
  readonly onProgress: LoadProgress
}

/** Resident after it resolves. @throws MaiError; the signal's reason */
export async function load(session: Session, order: LoadOrder, limits: LmStudioSettings, signal: AbortSignal): Promise<LoadedInstance> {
  const config = loadConfig(order.settings, order.model.maxContextLength)
  const deadline = performance.now() + limits.loadIdleMs
  for (;;) {
    const present = await loadedNow(session, limits.callMs, signal)
    const serves = present.find(
      ({ handle, contextLength }) => handle.modelKey === order.model.id && contextLength >= (config.contextLength ?? 0),
    )
    if (serves) {
      order.onProgress(1)
      return { instanceId: serves.handle.identifier, model: order.model.key, contextLength: serves.contextLength }
    }
    const identifier = freeName(
      order.model.id,
      present.map(({ handle }) => handle.identifier),
    )
    try {
      const handle = await loadAs(session, identifier, config, order, limits, signal)
      session.remember(handle)
      // What was asked for is not always what was loaded.
      const contextLength = await bounded(handle.getContextLength(), 'say its context length', limits.callMs, signal)
      return { instanceId: identifier, model: order.model.key, contextLength }
    } catch (error) {
      // Somebody else is loading under this name, most likely the same model: it is waited for, not doubled.
      if (!/identifier .*already/i.test(String(error)) || performance.now() > deadline) throw error
      await delay(TAKEN_PAUSE_MS, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }
}

/**
 * The SDK never lets go of a load's signal, and throws when that aborts after the client is gone:
 * each load gets its own. Named explicitly, so that an instance of this name is ours to remove.
 */
async function loadAs(
  { client }: Session,
  identifier: string,
  config: LLMLoadModelConfig,
  { model, settings, onProgress }: LoadOrder,
  { loadIdleMs, callMs }: LmStudioSettings,
  signal: AbortSignal,
): Promise<LLM> {
  const stop = new AbortController()
  const late = (): Error => tooLate('MAI_LOAD_TIMEOUT', `get on with loading ${model.id}`, loadIdleMs)
  const { stopped, alive, end } = watch(loadIdleMs, late, signal)
  let furthest = -1
  let over = false
  const loading = client.llm.load(model.id, {
    identifier,
    config,
    verbose: false,
    signal: stop.signal,
    // In whole seconds, as LM Studio counts it.
    ...(settings.keepAliveMs === undefined ? {} : { ttl: Math.max(1, Math.round(settings.keepAliveMs / 1000)) }),
    onProgress: (fraction) => {
      if (over || fraction <= furthest) return
      furthest = fraction
      alive()
      onProgress(fraction)
    },
  })
  let pending = true
  loading
    .catch(() => {})
    .finally(() => {
      pending = false
    })
  try {
    return await Promise.race([loading, stopped])
  } catch (error) {
    over = true
    if (pending) {
      stop.abort(error)
      // The load may have been ready just before the cancel arrived.
      await bounded(client.llm.unload(identifier), 'unload', Math.min(callMs, CLEAR_UP_MS), new AbortController().signal).catch(() => {})
    }
    throw error
  } finally {
    over = true
    end()
  }
}

interface Loaded {
  readonly handle: LLM
  readonly contextLength: number
}

/** What is loaded, as LM Studio says now. */
async function loadedNow(session: Session, callMs: number, signal: AbortSignal): Promise<Loaded[]> {
  const handles = await bounded(session.client.llm.listLoaded(), 'list what is loaded', callMs, signal)
  const found = await Promise.all(
    handles.map(async (handle): Promise<Loaded | undefined> => {
      const info = await unlessGone(bounded(handle.getModelInfo(), 'describe a model', callMs, signal))
      return info && { handle, contextLength: info.contextLength }
    }),
  )
  return found.filter((each) => each !== undefined)
}

/** Undefined where the model was unloaded between two questions. */
export async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    const { code } = classify(error, 'generate')
    if (code === 'MAI_MODEL_UNLOADED') return undefined
    throw error
  }
}

/** `key`, `key:2`, `key:3` …, as LM Studio names them itself. */
export function freeName(key: string, taken: readonly string[]): string {
  let name = key
  for (let copy = 2; taken.includes(name); copy++) name = `${key}:${copy}`
  return name
}

/** Mai's settings in LM Studio's words. @throws MaiError `MAI_REQUEST_INVALID` for what it cannot express */
export function loadConfig(settings: LoadSettings, maxContextLength: number): LLMLoadModelConfig {
  const { contextLength, gpuLayers, kvType } = settings
  // LM Studio quantises the cache only with flash attention.
  const flashAttention = settings.flashAttention ?? (kvType !== undefined && kvType !== 'f16' ? true : undefined)
  const window = contextLength !== undefined && maxContextLength > 0 ? Math.min(contextLength, maxContextLength) : contextLength
  return {
    ...(window === undefined ? {} : { contextLength: window }),
    ...(gpuLayers === undefined ? {} : { gpu: { ratio: gpuRatio(gpuLayers) } }),
    ...(flashAttention === undefined ? {} : { flashAttention }),
    ...(kvType === undefined ? {} : { llamaKCacheQuantizationType: kvType, llamaVCacheQuantizationType: kvType }),
  }
}

function gpuRatio(layers: number | 'max' | 'off'): number | 'max' | 'off' {
  if (typeof layers === 'string') return layers
  if (layers === 0) return 'off'
  throw backendError(
    'MAI_REQUEST_INVALID',
    `LM Studio takes a share of a model for the GPU, not a number of layers (gpuLayers: ${layers}).`,
    {
      cure: "Set gpuLayers to 'max', 'off' or 0, or leave the choice to LM Studio.",
    },
  )
}
