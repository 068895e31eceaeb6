import { describe, expect, it } from 'vitest'
import type { Fault } from '../../src/testing/lmstudio-server/faults.ts'
import type { LmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { connect, failure, hangsFor, start } from './lmstudio-server-client.ts'

const TEXT = 'one two three four five six seven eight nine ten'
const a = scriptedEngine({ key: 'a', answer: TEXT })
const b = scriptedEngine({ key: 'b', answer: 'I am b.' })

type Client = Awaited<ReturnType<typeof start>>['client']

async function withFaults(...faults: Fault[]): Promise<{ server: LmStudioServer; client: Client }> {
  return start({ models: [a, b], preloaded: ['a'], faults })
}

/** Streams an answer of `a`; what came, and how it ended. */
async function ask(
  client: Client,
  signal?: AbortSignal,
  onFragment = (_count: number): void => {},
): Promise<{ text: string; fragments: number; end: string }> {
  const prediction = client.llm.createDynamicHandle('a').respond('?', signal ? { signal } : {})
  let text = ''
  let fragments = 0
  try {
    for await (const { content } of prediction) {
      text += content
      onFragment(++fragments)
    }
    return { text, fragments, end: (await prediction.result()).stats.stopReason }
  } catch (error) {
    return { text, fragments, end: (error as Error).message }
  }
}

const load = (client: Client, options: { contextLength?: number; signal?: AbortSignal; onProgress?: (p: number) => void } = {}) => {
  const { contextLength, ...rest } = options
  return client.llm.load('b', { verbose: false, ...rest, ...(contextLength ? { config: { contextLength } } : {}) })
}

describe('faults of a load, seen through the SDK', () => {
  it('refuses it by the guardrail, once', async () => {
    const { client } = await withFaults({ kind: 'refuse-load', model: 'b' })
    expect((await failure(load(client))).message).toMatch(/Model loading was stopped due to insufficient system resources/)
    expect((await load(client)).identifier).toBe('b')
  })

  it('fails with a message of choice', async () => {
    const { client } = await withFaults({ kind: 'fail-load', model: 'b', message: 'Failed to load model: bad magic' })
    expect((await failure(load(client))).message).toContain('bad magic')
  })

  it('crashes as it does when memory runs out', async () => {
    const { client } = await withFaults({ kind: 'crash-load', model: 'b', exitCode: 137 })
    expect((await failure(load(client))).message).toContain('The model has crashed without additional information. (Exit code: 137)')
  })

  it('hangs until the client gives up', async () => {
    const { client, server } = await withFaults({ kind: 'hang-load', model: 'b', atProgress: 0.4 })
    const abort = new AbortController()
    const progress: number[] = []
    const loading = load(client, { signal: abort.signal, onProgress: (p) => progress.push(p) })
    await expect.poll(() => progress, { timeout: 30_000 }).toEqual([0, 0.4])
    expect(await hangsFor(100, loading)).toBe(true)
    expect(progress).toEqual([0, 0.4])
    abort.abort(new Error('enough'))
    expect((await failure(loading)).message).toBe('enough')
    await load(client)
    expect(server.loaded().map(({ identifier }) => identifier)).toEqual(['a', 'b'])
  })

  it('takes its time, with progress all the way', async () => {
    const { client } = await withFaults({ kind: 'slow-load', model: 'b', ms: 100 })
    const progress: number[] = []
    const started = performance.now()
    await load(client, { onProgress: (p) => progress.push(p) })
    expect(performance.now() - started).toBeGreaterThan(90)
    expect(progress).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
  })

  it('loads with another window than asked, and says nothing', async () => {
    const { client } = await withFaults({ kind: 'wrong-context', model: 'b', contextLength: 512 })
    const model = await load(client, { contextLength: 4_096 })
    expect(await model.getContextLength()).toBe(512)
  })
})

describe('faults of an answer, seen through the SDK', () => {
  it('drops the socket after exactly so many fragments; the same handle works on', async () => {
    const { client, server } = await withFaults({ kind: 'drop-socket', model: 'a', afterFragments: 3 })
    expect(await ask(client)).toEqual({ text: 'one two three', fragments: 3, end: 'WebSocket connection closed' })
    expect(await ask(client)).toEqual({ text: TEXT, fragments: 10, end: 'eosFound' })
    expect(server.loaded()).toHaveLength(1)
  })

  it('drops the socket and refuses connections for a while', async () => {
    const { client } = await withFaults({ kind: 'drop-socket', afterFragments: 1, refuseForMs: 150 })
    expect((await ask(client)).text).toBe('one')
    expect((await failure(client.llm.listLoaded())).code).toBe('ECONNREFUSED')
    await expect
      .poll(() =>
        client.llm.listLoaded().then(
          (loaded) => loaded.length,
          () => 0,
        ),
      )
      .toBe(1)
  })

  it('dies in the middle of an answer and comes back empty', async () => {
    const { client, server } = await withFaults({ kind: 'kill-server', model: 'a', afterFragments: 2, restartAfterMs: 20 })
    expect(await ask(client)).toMatchObject({ text: 'one two', end: 'WebSocket connection closed' })
    expect(server.loaded()).toEqual([])
    await expect
      .poll(() =>
        client.llm.listLoaded().then(
          (loaded) => loaded.length,
          () => 'refused',
        ),
      )
      .toBe(0)
  })

  it('stalls for ever, and ends when cancelled', async () => {
    const { client } = await withFaults({ kind: 'stall', model: 'a', afterFragments: 2 })
    const abort = new AbortController()
    let fragments = 0
    const asking = ask(client, abort.signal, (count) => {
      fragments = count
    })
    await expect.poll(() => fragments, { timeout: 30_000 }).toBe(2)
    expect(await hangsFor(100, asking)).toBe(true)
    abort.abort()
    expect(await asking).toEqual({ text: 'one two', fragments: 2, end: 'userStopped' })
  })

  it('stalls so hard that cancelling does not help, only losing the connection', async () => {
    const { client, server } = await withFaults({ kind: 'stall', model: 'a', ignoreCancel: true })
    const abort = new AbortController()
    const asking = ask(client, abort.signal)
    abort.abort()
    expect(await hangsFor(100, asking)).toBe(true)
    server.dropConnections()
    expect((await asking).end).toBe('WebSocket connection closed')
  })

  it('unloads the model in the middle', async () => {
    const { client, server } = await withFaults({ kind: 'unload', model: 'a', afterFragments: 4 })
    expect(await ask(client)).toEqual({ text: 'one two three four', fragments: 4, end: 'modelUnloaded' })
    expect(server.loaded()).toEqual([])
  })

  it('crashes in the middle; the model is gone', async () => {
    const { client, server } = await withFaults({ kind: 'crash', model: 'a', afterFragments: 2, exitCode: 9 })
    const { text, end } = await ask(client)
    expect(text).toBe('one two')
    expect(end).toContain('The model has crashed without additional information. (Exit code: 9)')
    expect(server.loaded()).toEqual([])
  })

  it('repeats its last fragments for ever', async () => {
    const { client } = await withFaults({ kind: 'repeat', model: 'a', afterFragments: 3, fragments: 2 })
    const prediction = client.llm.createDynamicHandle('a').respond('?')
    let text = ''
    for await (const { content } of prediction) {
      text += content
      if (text.length > 300) await prediction.cancel()
    }
    expect(text.startsWith('one two three two three two three two three')).toBe(true)
    expect((await prediction.result()).stats.stopReason).toBe('userStopped')
  })

  it('repeats no longer than the client allows', async () => {
    const { client } = await withFaults({ kind: 'repeat', model: 'a', afterFragments: 1, everyMs: 0 })
    const { content, stats } = await client.llm.createDynamicHandle('a').respond('?', { maxTokens: 5 })
    expect([content, stats.stopReason]).toEqual(['oneoneoneoneone', 'maxPredictedTokensReached'])
  })

  it('slows down in the middle', async () => {
    const { client } = await withFaults({ kind: 'slow-answer', model: 'a', afterFragments: 7, everyMs: 40 })
    const started = performance.now()
    expect((await ask(client)).text).toBe(TEXT)
    expect(performance.now() - started).toBeGreaterThan(110)
  })

  it('reads the prompt slowly, with progress, beside another fault', async () => {
    const { client } = await withFaults({ kind: 'slow-prefill', model: 'a', ms: 90 }, { kind: 'stop', reason: 'failed', afterFragments: 1 })
    const prefill: number[] = []
    const started = performance.now()
    const { content, stats } = await client.llm
      .createDynamicHandle('a')
      .respond('?', { onPromptProcessingProgress: (p) => prefill.push(p) })
    expect(performance.now() - started).toBeGreaterThan(80)
    expect(prefill).toHaveLength(11)
    expect([content, stats.stopReason]).toEqual(['one', 'failed'])
    expect(stats.timeToFirstTokenSec).toBeGreaterThan(0.08)
  })

  it('answers nothing at all, and calls it an end', async () => {
    const { client } = await withFaults({ kind: 'empty', model: 'a' })
    expect(await ask(client)).toEqual({ text: '', fragments: 0, end: 'eosFound' })
  })

  it('overflows the context', async () => {
    const { client } = await withFaults({ kind: 'overflow', model: 'a' })
    expect((await ask(client)).end).toMatch(/Trying to keep the first \d+ tokens/)
  })

  it('ends with an error of choice', async () => {
    const { client } = await withFaults({ kind: 'answer-error', message: 'n_keep (5000) >= n_ctx (4096)' })
    expect((await ask(client)).end).toContain('n_keep (5000) >= n_ctx (4096)')
  })
})

describe('faults of calls and connections, seen through the SDK', () => {
  it('refuses authentication, once', async () => {
    const { client, server } = await withFaults({ kind: 'refuse-auth' })
    expect((await failure(client.llm.listLoaded())).message).toMatch(/^Failed to authenticate: /)
    // Not the same client: the late close of its first socket fails whatever it tries at once (SDK 1.5.0).
    expect(await connect(server.baseUrl).llm.listLoaded()).toHaveLength(1)
  })

  it('hangs, fails, drops or slows a call', async () => {
    const { client } = await withFaults(
      { kind: 'hang-call', endpoint: 'listDownloadedModels' },
      { kind: 'fail-call', endpoint: 'listDownloadedModels', message: 'index is being built' },
      { kind: 'drop-call', endpoint: 'listDownloadedModels' },
      { kind: 'slow-call', endpoint: 'listDownloadedModels', ms: 50 },
    )
    const list = () => client.system.listDownloadedModels()
    expect(await hangsFor(50, list())).toBe(true)
    expect((await failure(list())).message).toContain('index is being built')
    expect((await failure(list())).message).toBe('WebSocket connection closed')
    expect(await list()).toHaveLength(2)
  })
})

describe('the fault script', () => {
  it('hits the model it names, and another not', async () => {
    const { client, server } = await withFaults({ kind: 'empty', model: 'b' })
    expect((await ask(client)).text).toBe(TEXT)
    expect(server.faults.pending).toHaveLength(1)
  })

  it('hits from the named occurrence on, as many times as given', async () => {
    const { client } = await withFaults({ kind: 'empty', occurrence: 2, times: 2 })
    const texts = []
    for (let turn = 0; turn < 5; turn++) texts.push((await ask(client)).text)
    expect(texts).toEqual([TEXT, '', '', TEXT, TEXT])
  })

  it('uses one of several faults that fit for each operation, in order, and takes more while it runs', async () => {
    const { client, server } = await withFaults({ kind: 'stop', reason: 'failed', afterFragments: 1 }, { kind: 'empty' })
    expect((await ask(client)).end).toBe('failed')
    expect((await ask(client)).text).toBe('')
    server.faults.add({ kind: 'unload', model: 'a', afterFragments: 1 }, { kind: 'empty' })
    expect((await ask(client)).end).toBe('modelUnloaded')
    server.faults.clear()
    expect(server.faults.pending).toEqual([])
    expect(server.faults.fired.map(({ kind }) => kind)).toEqual(['stop', 'empty', 'unload'])
  })

  it('does not hit an answer that ends before its fragment', async () => {
    const { client } = await withFaults({ kind: 'crash', afterFragments: 11 })
    expect((await ask(client)).end).toBe('eosFound')
  })
})
