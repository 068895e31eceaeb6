import { describe, expect, it } from 'vitest'
import { traitsOf } from '../../../src/chat/failure.ts'
import type { LmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { kvConfigStack } from '../../../src/testing/lmstudio-server/wire.ts'
import { scriptedEngine } from '../../../src/testing/scripted-engine.ts'
import { answer, failure, modelOf, never, open, SDK, world } from './harness.ts'

const a = scriptedEngine({ key: 'a', answer: 'Hello there.' })
const b = scriptedEngine({ key: 'b', answer: 'Good day.' })

/** What the last load was asked with. */
function asked(log: LmStudioServer['log']): { identifier: string; ttlMs?: number; config: Record<string, unknown> } {
  const { parameter } = log.findLast(({ endpoint }) => endpoint === 'loadModel') ?? {}
  // The server has parsed it.
  const { identifier, ttlMs, loadConfigStack } = parameter as { identifier: string; ttlMs?: number; loadConfigStack: unknown }
  const fields = kvConfigStack.parse(loadConfigStack).layers.flatMap(({ config }) => config.fields)
  return { identifier, ...(ttlMs === undefined ? {} : { ttlMs }), config: Object.fromEntries(fields.map(({ key, value }) => [key, value])) }
}

const loads = (server: LmStudioServer): number => server.log.filter(({ endpoint }) => endpoint === 'loadModel').length

describe('a load', () => {
  it('tells its progress, which only rises, and is resident at its end', async () => {
    const { backend, server } = await world({ models: [a] })
    const progress: number[] = []
    const instance = await backend.load(
      await modelOf(backend, 'a'),
      { contextLength: 2048 },
      (fraction) => progress.push(fraction),
      never(),
    )
    expect(progress).toEqual([0, 0.25, 0.5, 0.75, 1])
    expect(instance).toEqual({ instanceId: 'a', model: 'lmstudio/a', contextLength: 2048 })
    expect(server.loaded()).toMatchObject([{ identifier: 'a', contextLength: 2048 }])
    expect((await answer(backend, instance)).text).toBe('Hello there.')
  })

  it('passes window, GPU, cache and time to live on', async () => {
    const { backend, server } = await world({ models: [a] })
    const settings = { contextLength: 2048, gpuLayers: 'max', kvType: 'q8_0', keepAliveMs: 90_400 } as const
    await backend.load(await modelOf(backend, 'a'), settings, () => {}, never())
    const { ttlMs, config } = asked(server.log)
    expect(ttlMs).toBe(90_000)
    expect(config).toMatchObject({
      'llm.load.contextLength': 2048,
      'llm.load.llama.acceleration.offloadRatio': 'max',
      'llm.load.llama.flashAttention': true,
      'llm.load.llama.kCacheQuantizationType': { checked: true, value: 'q8_0' },
      'llm.load.llama.vCacheQuantizationType': { checked: true, value: 'q8_0' },
    })
    expect(server.loaded()[0]?.ttlMs).toBe(90_000)
  })

  it('without settings leaves everything to LM Studio', async () => {
    const { backend, server } = await world({ models: [a] })
    await backend.load(await modelOf(backend, 'a'), {}, () => {}, never())
    const { config, ...rest } = asked(server.log)
    expect(rest).toEqual({ identifier: 'a' })
    // SDK 1.5 adds this one by itself.
    expect(Object.keys(config)).toEqual(SDK === '2' ? [] : ['load.gpuSplitConfig'])
  })

  it('reports the window that was really loaded', async () => {
    const { backend, server } = await world({ models: [a] })
    server.faults.add({ kind: 'wrong-context', contextLength: 1024 })
    const instance = await backend.load(await modelOf(backend, 'a'), { contextLength: 4096 }, () => {}, never())
    expect(instance.contextLength).toBe(1024)
  })

  it('asks for no larger window than the model has', async () => {
    const { backend } = await world({ models: [a] })
    const instance = await backend.load(await modelOf(backend, 'a'), { contextLength: 99_999 }, () => {}, never())
    expect(instance.contextLength).toBe(8192)
  })

  it('is refused where LM Studio cannot express it, before anything is loaded', async () => {
    const { backend, server } = await world({ models: [a] })
    const error = await failure(backend.load(await modelOf(backend, 'a'), { gpuLayers: 12 }, () => {}, never()))
    expect(error.code).toBe('MAI_REQUEST_INVALID')
    expect(loads(server)).toBe(0)
  })
})

describe('a model that is loaded already', () => {
  it('serves when its window is large enough, whoever loaded it', async () => {
    const { backend, server } = await world({ models: [a] })
    const model = await modelOf(backend, 'a')
    await server.load({ model: 'a', identifier: 'mine', contextLength: 4096 })
    const progress: number[] = []
    const instance = await backend.load(model, { contextLength: 2048 }, (fraction) => progress.push(fraction), never())
    expect(instance).toEqual({ instanceId: 'mine', model: 'lmstudio/a', contextLength: 4096 })
    expect(progress).toEqual([1])
    expect(loads(server)).toBe(0)
  })

  it('with too small a window is left alone, and a second one gets its own name', async () => {
    const { backend, server } = await world({ models: [a], preloaded: [{ model: 'a', contextLength: 1024 }] })
    const instance = await backend.load(await modelOf(backend, 'a'), { contextLength: 4096 }, () => {}, never())
    expect(instance).toMatchObject({ instanceId: 'a:2', contextLength: 4096 })
    expect(server.loaded().map(({ identifier }) => identifier)).toEqual(['a', 'a:2'])
    expect((await answer(backend, instance)).text).toBe('Hello there.')
  })

  it('by somebody else in the very moment is waited for, not doubled', async () => {
    const { backend, server } = await world({ models: [a] })
    const other = await open({ baseUrl: server.baseUrl })
    const model = await modelOf(backend, 'a')
    server.faults.add({ kind: 'slow-load', ms: 300 })
    const both = await Promise.all([backend, other.backend].map((each) => each.load(model, {}, () => {}, never())))
    expect(both.map(({ instanceId }) => instanceId)).toEqual(['a', 'a'])
    expect(server.loaded()).toHaveLength(1)
  })
})

describe('a load that fails', () => {
  it.each([
    ['refuse-load', 'MAI_LOAD_REFUSED', true],
    ['fail-load', 'MAI_LOAD_FAILED', false],
    ['crash-load', 'MAI_MODEL_CRASHED', true],
  ] as const)('(%s) is %s; memory: %s', async (kind, code, memory) => {
    const { backend, server } = await world({ models: [a] })
    const model = await modelOf(backend, 'a')
    server.faults.add({ kind })
    const error = await failure(backend.load(model, {}, () => {}, never()))
    expect(error.code).toBe(code)
    expect(traitsOf(error).memory).toBe(memory)
    expect(server.loaded()).toEqual([])
    expect((await backend.load(model, {}, () => {}, never())).instanceId).toBe('a')
  })

  it('for the guardrail says what LM Studio said, and the cure', async () => {
    const { backend } = await world({ models: [a], memoryBytes: 1000 })
    const error = await failure(backend.load(await modelOf(backend, 'a'), {}, () => {}, never()))
    expect(error.problem).toContain('insufficient system resources')
    expect(error.cure).toMatch(/smaller model.*guardrails/)
  })

  it('because there is no such model says so', async () => {
    const { backend } = await world({ models: [a] })
    const model = await modelOf(backend, 'a')
    const error = await failure(backend.load({ ...model, id: 'nothing', key: 'lmstudio/nothing' }, {}, () => {}, never()))
    expect(error).toMatchObject({
      code: 'MAI_MODEL_NOT_FOUND',
      problem: 'LM Studio: Model not found: Cannot find a model with path "nothing"',
    })
  })

  it('because the line breaks is a lost backend', async () => {
    const { backend, server } = await world({ models: [a] })
    const model = await modelOf(backend, 'a')
    server.faults.add({ kind: 'hang-load', atProgress: 0.5 })
    const error = await failure(backend.load(model, {}, (fraction) => fraction === 0.5 && server.dropConnections(), never()))
    expect(error.code).toBe('MAI_BACKEND_LOST')
    await expect.poll(() => server.loaded()).toEqual([])
    expect((await backend.load(model, {}, () => {}, never())).instanceId).toBe('a')
  })
})

describe('a load that is broken off', () => {
  it('by its signal rejects with the reason and leaves nothing loaded', async () => {
    const slow = scriptedEngine({ key: 'slow', answer: '', loadMs: 60_000 })
    const { backend, server } = await world({ models: [slow, b] })
    const stop = new AbortController()
    const seen: number[] = []
    const model = await modelOf(backend, 'slow')
    const reason = new Error('changed my mind')
    const loading = backend.load(model, {}, (fraction) => seen.push(fraction) === 1 && stop.abort(reason), stop.signal)
    expect(await failure(loading)).toBe(reason)
    expect(server.loaded()).toEqual([])
    expect(seen).toEqual([0])
    expect((await backend.load(await modelOf(backend, 'b'), {}, () => {}, never())).instanceId).toBe('b')
    await expect.poll(() => server.loaded().map(({ identifier }) => identifier)).toEqual(['b'])
  })

  it('in the moment when it is ready leaves nothing loaded either', async () => {
    const { backend, server } = await world({ models: [a] })
    const model = await modelOf(backend, 'a')
    for (let turn = 0; turn < 20; turn++) {
      const stop = new AbortController()
      const loading = backend.load(model, {}, (fraction) => fraction === 1 && stop.abort(new Error('late')), stop.signal)
      const outcome = await loading.then(
        () => 'loaded',
        (error: Error) => error.message,
      )
      expect(outcome).toBe('late')
      expect(server.loaded()).toEqual([])
    }
  })

  it('long after it has ended does nothing, even when the server is gone', async () => {
    const { backend, server, kernel } = await world({ models: [a] })
    const stop = new AbortController()
    await backend.load(await modelOf(backend, 'a'), {}, () => {}, stop.signal)
    await kernel.close()
    // The SDK would throw from its listener, past every catch.
    stop.abort()
    expect(server.loaded()).toHaveLength(1)
  })

  it('because it makes no progress is given up, and leaves nothing loaded', async () => {
    const { backend, server } = await world({ models: [a] }, { loadIdleMs: 700 })
    const model = await modelOf(backend, 'a')
    server.faults.add({ kind: 'hang-load', atProgress: 0.3 })
    const error = await failure(backend.load(model, {}, () => {}, never()))
    expect(error.code).toBe('MAI_LOAD_TIMEOUT')
    expect(error.message).toContain('loading a within 700 ms')
    expect(server.loaded()).toEqual([])
    expect((await backend.load(model, {}, () => {}, never())).instanceId).toBe('a')
  })

  it('but is slow and gets on, is waited for', async () => {
    const { backend, server } = await world({ models: [a] }, { loadIdleMs: 7000 })
    const model = await modelOf(backend, 'a')
    server.faults.add({ kind: 'slow-load', ms: 3000 })
    expect((await backend.load(model, {}, () => {}, never())).instanceId).toBe('a')
  })

  it('by the end of the plugin leaves nothing loaded', async () => {
    const { backend, server, kernel } = await world({ models: [a] })
    const model = await modelOf(backend, 'a')
    server.faults.add({ kind: 'hang-load' })
    const loading = failure(backend.load(model, {}, () => {}, never()))
    await expect.poll(() => server.faults.fired.length).toBe(1)
    await kernel.close()
    expect((await loading).code).toBe('MAI_SCOPE_CLOSED')
    await expect.poll(() => server.connections).toBe(0)
    expect(server.loaded()).toEqual([])
  })
})

describe('an unload', () => {
  it('takes the instance out of memory', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await backend.load(await modelOf(backend, 'a'), {}, () => {}, never())
    await backend.unload(instance, never())
    expect(server.loaded()).toEqual([])
  })

  it('of what is gone already is done', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await backend.load(await modelOf(backend, 'a'), {}, () => {}, never())
    await server.unload('a')
    await backend.unload(instance, never())
  })
})

it('estimates memory where the SDK can ask for it, from version 2 on', async () => {
  const { backend } = await world({ models: [a] })
  const estimate = await backend.estimateMemory?.(await modelOf(backend, 'a'), { contextLength: 2048 }, never())
  if (SDK === '2') expect(estimate).toMatchObject({ source: 'backend', weightsBytes: 1_000_000, totalBytes: 3_097_152 })
  else expect(estimate).toBeUndefined()
})
