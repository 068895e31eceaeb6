/**
 * Loading: the channels `loadModel` and `getOrLoad`.
 *
 * @module
 */
import { z } from 'zod'
import type { EngineModel } from '../engine.ts'
import { wireErrors } from './errors.ts'
import type { LoadFaults } from './faults.ts'
import { estimateBytes, type Instance, instanceInfo, modelInfo } from './instances.ts'
import { aborted, pause } from './pause.ts'
import type { ChannelContext, ChannelHandler, Studio } from './studio.ts'
import { askedContextLength, collapse, type KvConfig, kvConfigStack } from './wire.ts'

/** Window of a load that asks for none, in tokens. */
export const DEFAULT_CONTEXT_LENGTH = 4_096
/** Idle time after which a model loaded on demand goes: an hour, as in LM Studio. */
const JIT_TTL_MS = 3_600_000

/** What to load. */
export interface LoadOrder {
  readonly model: EngineModel
  readonly identifier: string | undefined
  readonly config: KvConfig
  readonly ttlMs: number | undefined
  readonly jit: boolean
  readonly faults: LoadFaults
}

/** Loads a model, faults and all. Undefined when `signal` aborted it; nothing is left in memory then. */
export async function loadInstance(
  { instances, memoryBytes }: Studio,
  order: LoadOrder,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<Instance | undefined> {
  const { model, faults } = order
  const asked = Math.min(askedContextLength(order.config) ?? DEFAULT_CONTEXT_LENGTH, model.maxContextLength)
  const contextLength = faults.wrongContext?.contextLength ?? asked
  const needed = estimateBytes(model, contextLength)
  const used = instances.loaded.reduce((sum, { model, engine }) => sum + estimateBytes(model, engine.contextLength), 0)
  if (used + needed > (memoryBytes() ?? Number.POSITIVE_INFINITY)) throw wireErrors.guardrail(needed)
  const identifier = instances.reserve(model.key, order.identifier)
  // At once: the client's next load, right behind its cancel, gets the name.
  const release = (): void => instances.release(identifier)
  signal.addEventListener('abort', release, { once: true })
  try {
    await failAsScripted(faults, needed, onProgress, signal)
    if (signal.aborted) return undefined
    const engine = await model.load(contextLength, onProgress, signal)
    if (signal.aborted) {
      await engine.dispose()
      return undefined
    }
    return instances.add({ identifier, model, engine, config: order.config, ttlMs: order.ttlMs, jit: order.jit })
  } catch (error) {
    if (signal.aborted) return undefined
    throw error
  } finally {
    if (!signal.aborted) release()
    signal.removeEventListener('abort', release)
  }
}

async function failAsScripted(
  { ending, slow }: LoadFaults,
  neededBytes: number,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<void> {
  if (slow) {
    for (let step = 0; step < 10; step++) {
      onProgress(step / 10)
      await pause(slow.ms / 10, signal)
    }
  }
  if (!ending || signal.aborted) return
  switch (ending.kind) {
    case 'refuse-load':
      throw ending.message === undefined ? wireErrors.guardrail(neededBytes) : wireErrors.loadFailed(ending.message)
    case 'fail-load':
      throw wireErrors.loadFailed(ending.message ?? 'Failed to load the model')
    case 'crash-load':
      throw wireErrors.crashed(ending.exitCode ?? 134)
    case 'hang-load':
      onProgress(ending.atProgress ?? 0)
      return aborted(signal)
  }
}

/** Sends progress that only rises, 0 first. */
function risingProgress(send: (fraction: number) => void): (fraction: number) => void {
  let last = -1
  return (fraction) => {
    if (fraction <= last) return
    last = fraction
    send(fraction)
  }
}

const loadParameter = z.object({
  modelKey: z.string(),
  identifier: z.string().optional(),
  ttlMs: z.number().int().positive().optional(),
  loadConfigStack: kvConfigStack,
})

/** Always loads another instance. */
export const loadModel: ChannelHandler = async (studio, channel) => {
  const { modelKey, identifier, ttlMs, loadConfigStack } = loadParameter.parse(channel.parameter)
  const model = studio.instances.model(modelKey)
  channel.send({ type: 'resolved', info: modelInfo(model) })
  const progress = risingProgress((fraction) => channel.send({ type: 'progress', progress: fraction }))
  progress(0)
  const faults = studio.faults.takeLoad(model.key)
  const order = { model, identifier, config: collapse(loadConfigStack), ttlMs, jit: false, faults }
  const instance = await loadInstance(studio, order, progress, channel.signal)
  if (!instance) return
  progress(1)
  channel.send({ type: 'success', info: instanceInfo(instance) })
}

const getOrLoadParameter = z.object({
  identifier: z.string(),
  loadTtlMs: z.number().int().positive().optional(),
  loadConfigStack: kvConfigStack,
})

/** Loads on demand: any loaded instance of that name serves, whatever its configuration. */
export const getOrLoad: ChannelHandler = async (studio, channel) => {
  const { identifier, loadTtlMs, loadConfigStack } = getOrLoadParameter.parse(channel.parameter)
  const present = studio.instances.find(identifier)
  if (present) {
    channel.send({ type: 'alreadyLoaded', info: instanceInfo(present) })
    return
  }
  const model = studio.instances.model(identifier)
  if (studio.jitEvicts) await evictOthers(studio, channel)
  channel.send({ type: 'startLoading', identifier: model.key, info: modelInfo(model) })
  const progress = risingProgress((fraction) => channel.send({ type: 'loadProgress', progress: fraction }))
  progress(0)
  const faults = studio.faults.takeLoad(model.key)
  const config = collapse(loadConfigStack)
  const order = { model, identifier: undefined, config, ttlMs: loadTtlMs ?? JIT_TTL_MS, jit: true, faults }
  const instance = await loadInstance(studio, order, progress, channel.signal)
  if (!instance) return
  progress(1)
  channel.send({ type: 'loadSuccess', info: instanceInfo(instance) })
}

/** LM Studio keeps one model loaded on demand, and evicts it even while it answers. */
async function evictOthers({ instances }: Studio, channel: ChannelContext): Promise<void> {
  for (const instance of instances.loaded.filter(({ jit }) => jit)) {
    channel.send({ type: 'unloadingOtherJITModel', info: instanceInfo(instance) })
    instances.remove(instance)
  }
  await instances.settled()
}
