import { describe, expect, it } from 'vitest'
import type { Backend } from '../../../src/chat/backend.ts'
import { traitsOf } from '../../../src/chat/failure.ts'
import type { LoadedInstance, ModelInfo } from '../../../src/chat/model.ts'
import { toErrorFact } from '../../../src/core/errors.ts'
import type { LmStudioOptions } from '../../../src/plugins/lmstudio/options.ts'
import { startLmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../../src/testing/scripted-engine.ts'
import { answer, failure, loaded, modelOf, never, open, world } from './harness.ts'

const a = scriptedEngine({ key: 'a', answer: 'Hello there.', sizeBytes: 4_000_000, paramsString: '7B', vision: true })
const b = scriptedEngine({ key: 'b', answer: 'Good day.' })

describe('the list of models', () => {
  it('has what is on disk and what is loaded of it, and says that LM Studio is there', async () => {
    const { backend, events } = await world({ models: [a, b], preloaded: [{ model: 'a', contextLength: 2048 }, 'a'] })
    const [first, second] = await backend.list(never())
    expect(first).toMatchObject({
      key: 'lmstudio/a',
      remote: false,
      sizeBytes: 4_000_000,
      parameters: 7e9,
      quantisation: { name: 'Q4_K_M', bits: 4 },
      maxContextLength: 8192,
      abilities: { vision: true, tools: false },
      instances: [
        { instanceId: 'a', contextLength: 2048 },
        { instanceId: 'a:2', contextLength: 4096 },
      ],
    })
    expect(second).toMatchObject({ key: 'lmstudio/b', instances: [] })
    expect(events).toEqual(['connected'])
  })

  it('passes over what is unloaded while it asks', async () => {
    const { backend, server } = await world({ models: [a, b], preloaded: ['a', 'b'] })
    server.faults.add({ kind: 'slow-call', endpoint: 'getModelInfo', ms: 50, times: 2 })
    const listing = backend.list(never())
    await expect.poll(() => server.faults.fired.length).toBe(2)
    await server.unload('b')
    const models = await listing
    expect(models.map(({ instances }) => instances.length)).toEqual([1, 0])
  })
})

describe('where it is', () => {
  it.each([
    ['ws://127.0.0.1:1234', false],
    ['http://localhost:1234', false],
    ['ws://192.168.1.20:1234', true],
    ['wss://studio.example.org', true],
  ])('%s is remote: %s', async (baseUrl, remote) => {
    const { backend } = await open({ baseUrl })
    expect([backend.remote, backend.allowRemote]).toEqual([remote, false])
  })

  it('may be another machine when that is allowed', async () => {
    const { backend } = await open({ baseUrl: 'ws://192.168.1.20:1234', allowRemote: true })
    expect([backend.remote, backend.allowRemote]).toEqual([true, true])
  })
})

describe('authentication', () => {
  it('lets in who has the token', async () => {
    const { backend } = await world({ models: [a], passkey: '0123456789abcdefghij' }, { apiToken: 'sk-lm-AbCdEf12:0123456789abcdefghij' })
    expect(await backend.list(never())).toHaveLength(1)
  })

  it('that is refused is a clear error with a cure, and shows no secret', async () => {
    const { backend, server, events } = await world({ models: [a], passkey: 'right' }, { clientIdentifier: 'me', clientPasskey: 'hunter2' })
    server.faults.add({ kind: 'refuse-auth', message: 'The passkey "hunter2" is wrong' })
    const error = await failure(backend.list(never()))
    expect(error.code).toBe('MAI_AUTH_REFUSED')
    expect(error.cure).toContain('apiToken')
    expect(error.problem).toContain('Failed to authenticate')
    expect(`${error.stack}${JSON.stringify(error)}${String(error.cause)}${JSON.stringify(toErrorFact(error))}`).not.toContain('hunter2')
    expect(events).toEqual(['lost MAI_AUTH_REFUSED'])
  })

  it('that is refused once is tried anew, and nothing that was refused is sent later', async () => {
    const { backend, server, events } = await world({ models: [a] })
    server.faults.add({ kind: 'refuse-auth', times: 2 })
    expect((await failure(backend.list(never()))).code).toBe('MAI_AUTH_REFUSED')
    expect(await backend.list(never())).toHaveLength(1)
    expect(server.log.map(({ endpoint }) => endpoint).sort()).toEqual(['listDownloadedModels', 'listLoaded'])
    expect(events).toEqual(['lost MAI_AUTH_REFUSED', 'connected'])
  })
})

/** Every call of the backend, by the endpoint that it uses. */
const calls: [endpoint: string, call: (backend: Backend, model: ModelInfo, instance: LoadedInstance) => Promise<unknown>][] = [
  ['listDownloadedModels', (backend) => backend.list(never())],
  ['listLoaded', (backend) => backend.list(never())],
  ['getModelInfo', (backend) => backend.list(never())],
  ['listLoaded', (backend, model) => backend.load(model, { contextLength: 8000 }, () => {}, never())],
  ['getModelInfo', (backend, model) => backend.load(model, { contextLength: 8000 }, () => {}, never())],
  ['getLoadConfig', (backend, model) => backend.load(model, { contextLength: 8000 }, () => {}, never())],
  ['unloadModel', (backend, _, instance) => backend.unload(instance, never())],
  ['applyPromptTemplate', (backend, _, instance) => backend.countTokens(instance, [], never())],
  ['countTokens', (backend, _, instance) => backend.countTokens(instance, [], never())],
  ['applyPromptTemplate', (backend, _, instance) => answer(backend, instance, { continueFrom: 'Hello' })],
  [
    'uploadFileBase64',
    (backend, _, instance) =>
      answer(backend, instance, { messages: [{ role: 'user', parts: [{ type: 'image', mediaType: 'image/png', data: 'AAAA' }] }] }),
  ],
]

/** A world for each of the calls, all at once; what fails is named by its place and endpoint. */
async function everyCall(
  options: LmStudioOptions,
  check: (run: { call: () => Promise<unknown>; endpoint: string } & Awaited<ReturnType<typeof world>>) => Promise<void>,
): Promise<void> {
  const one = async ([endpoint, call]: (typeof calls)[number], index: number): Promise<void> => {
    try {
      const opened = await world({ models: [a] }, options)
      const model = await modelOf(opened.backend, 'a')
      const instance = await opened.backend.load(model, {}, () => {}, never())
      await check({ ...opened, endpoint, call: () => call(opened.backend, model, instance) })
    } catch (error) {
      throw new Error(`call ${index}, ${endpoint}: ${String(error)}`, { cause: error })
    }
  }
  await Promise.all(calls.map(one))
}

describe('every call', () => {
  it('has a time limit, whichever endpoint it waits for', async () => {
    await everyCall({ callMs: 1500 }, async ({ call, endpoint, backend, server }) => {
      server.faults.add({ kind: 'hang-call', endpoint })
      const error = await failure(call())
      expect(error.code).toBe('MAI_BACKEND_TIMEOUT')
      expect(error.message).toMatch(/LM Studio did not .+ within 1\.5 s\./)
      expect(await backend.list(never())).toHaveLength(1)
    })
  })

  it('that loses its line while it waits says so, and the next one works', async () => {
    await everyCall({}, async ({ call, endpoint, backend, server, events }) => {
      server.faults.add({ kind: 'drop-call', endpoint })
      const error = await failure(call())
      expect([error.code, traitsOf(error).kind]).toEqual(['MAI_BACKEND_LOST', 'backend-lost'])
      expect(await backend.list(never())).toHaveLength(1)
      expect(events).toEqual(['connected', 'lost MAI_BACKEND_LOST', 'connected'])
    })
  })

  it('that fails says what LM Studio said', async () => {
    await everyCall({}, async ({ call, endpoint, server }) => {
      server.faults.add({ kind: 'fail-call', endpoint, message: 'Odd things happened' })
      const error = await failure(call())
      expect(error.code).toMatch(/^MAI_(BACKEND_ERROR|LOAD_FAILED)$/)
      expect(error.problem).toBe('LM Studio: Odd things happened')
    })
  })

  it('that waits can be aborted', async () => {
    await everyCall({}, async ({ call, endpoint, kernel, server }) => {
      server.faults.add({ kind: 'hang-call', endpoint })
      const calling = call().then(
        () => 'resolved',
        (error: unknown) => toErrorFact(error).code,
      )
      await expect.poll(() => server.faults.fired.length).toBe(1)
      await kernel.close()
      expect(await calling).toBe('MAI_SCOPE_CLOSED')
    })
  })
})

describe('a server that goes and comes back', () => {
  it('is unreachable meanwhile, and serves again on the same port', async () => {
    const { backend, server, events } = await world({ models: [a] }, { autoStart: false })
    const instance = await loaded(backend, 'a')
    await server.kill()
    const error = await failure(answer(backend, instance))
    expect(error.code).toMatch(/^MAI_BACKEND_(LOST|UNREACHABLE)$/)
    expect((await failure(backend.list(never()))).code).toBe('MAI_BACKEND_UNREACHABLE')
    await server.restart()
    // A failure to connect is remembered for a moment.
    await expect
      .poll(() =>
        backend.list(never()).then(
          (models) => models.length,
          () => 0,
        ),
      )
      .toBe(1)
    expect((await failure(answer(backend, instance))).code).toBe('MAI_MODEL_UNLOADED')
    expect((await answer(backend, await loaded(backend, 'a'))).text).toBe('Hello there.')
    expect(events.at(-1)).toBe('connected')
  })

  it('never gets what was meant for it while it was away', async () => {
    const { backend, server } = await world({ models: [a] }, { autoStart: false })
    const model = await modelOf(backend, 'a')
    await server.kill()
    const refused = await Promise.allSettled([
      backend.load(model, {}, () => {}, never()),
      backend.load(model, { contextLength: 8000 }, () => {}, never()),
    ])
    expect(refused.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await server.restart()
    await expect
      .poll(() =>
        backend.list(never()).then(
          (models) => models.length,
          () => 0,
        ),
      )
      .toBe(1)
    expect(server.log.filter(({ endpoint }) => endpoint === 'loadModel')).toEqual([])
    expect(server.loaded()).toEqual([])
  })

  it('is asked again after a call timed out, and kept when it answers', async () => {
    const { backend, server, events } = await world({ models: [a] }, { callMs: 700 })
    await backend.list(never())
    const before = server.connections
    server.faults.add({ kind: 'hang-call', endpoint: 'listDownloadedModels' })
    await failure(backend.list(never()))
    await backend.list(never())
    expect(server.connections).toBe(before)
    expect(events).toEqual(['connected', 'lost MAI_BACKEND_TIMEOUT'])
  })

  it('that takes calls and never answers does not hold up the next connection', async () => {
    const { backend, server } = await world({ models: [a] }, { callMs: 700, autoStart: false })
    await backend.list(never())
    server.faults.add({ kind: 'hang-call', endpoint: 'listLoaded' })
    await failure(backend.list(never()))
    await server.kill()
    expect((await failure(backend.list(never()))).code).toBe('MAI_BACKEND_UNREACHABLE')
    await server.restart()
    await expect
      .poll(() =>
        backend.list(never()).then(
          (models) => models.length,
          () => 0,
        ),
      )
      .toBe(1)
  })
})

describe('callers that come together', () => {
  it('share one connection, and one that leaves does not take the others along', async () => {
    const server = await startLmStudioServer({ models: [a] })
    const { backend } = await open({ baseUrl: server.baseUrl })
    const leaving = new AbortController()
    const left = failure(backend.list(leaving.signal))
    const others = Promise.all([backend.list(never()), backend.list(never())])
    leaving.abort(new Error('not needed any more'))
    expect((await left).message).toBe('not needed any more')
    expect((await others).map((models) => models.length)).toEqual([1, 1])
    // One socket each for the namespaces `system` and `llm`.
    expect(server.connections).toBe(2)
    await server.close()
  })
})
