import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { EngineModel } from '../../src/testing/engine.ts'
import { startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine, scriptedTemplate } from '../../src/testing/scripted-engine.ts'
import { connect, failure, hangsFor, start } from './lmstudio-server-client.ts'

const TEXT = 'The sea was calm that morning, and the boats went out.'
const a = scriptedEngine({ key: 'a', answer: TEXT, sizeBytes: 4_000_000, maxContextLength: 8_192, vision: true })
const endless = scriptedEngine({ key: 'endless', answer: 'word '.repeat(5_000), pace: { delayMs: 1 } })

describe('the stand-in LM Studio, seen through the SDK', () => {
  it('greets a plain HTTP request as LM Studio does', async () => {
    const { server } = await start({ models: [a] })
    const greeting = await fetch(`http://127.0.0.1:${server.port}/lmstudio-greeting`)
    expect(await greeting.json()).toEqual({ lmstudio: true })
    const other = await fetch(`http://127.0.0.1:${server.port}/nowhere`)
    expect(await other.json()).toEqual({ error: 'Unexpected endpoint or method. (GET /nowhere)' })
  })

  it('lists what is on disk, and its version', async () => {
    const { client, server } = await start({ models: [a, endless] })
    const models = await client.system.listDownloadedModels()
    expect(models.map(({ modelKey }) => modelKey)).toEqual(['a', 'endless'])
    expect(models[0]).toMatchObject({
      type: 'llm',
      format: 'gguf',
      sizeBytes: 4_000_000,
      maxContextLength: 8_192,
      vision: true,
      trainedForToolUse: false,
      quantization: { name: 'Q4_K_M', bits: 4 },
    })
    expect(await client.system.getLMStudioVersion()).toEqual({ version: '0.4.0', build: 1 })
    expect(server.log.map(({ namespace, endpoint }) => `${namespace}.${endpoint}`)).toEqual([
      'system.listDownloadedModels',
      'system.version',
    ])
  })

  it('loads with progress and the window that was asked for', async () => {
    const { client, server } = await start({ models: [a] })
    const progress: number[] = []
    const model = await client.llm.load('a', { verbose: false, config: { contextLength: 2_048 }, onProgress: (p) => progress.push(p) })
    expect(progress).toEqual([0, 0.25, 0.5, 0.75, 1])
    expect(await model.getContextLength()).toBe(2_048)
    expect(server.loaded()).toEqual([{ identifier: 'a', model: 'a', contextLength: 2_048, ttlMs: undefined, predicting: 0 }])
    expect(server.log[0]).toMatchObject({ namespace: 'llm', endpoint: 'loadModel', model: 'a' })
  })

  it('loads with 4,096 tokens when no window is asked for, and never more than the model has', async () => {
    const small = scriptedEngine({ key: 'small', answer: '', maxContextLength: 512 })
    const { client } = await start({ models: [a, small] })
    expect(await (await client.llm.load('a', { verbose: false })).getContextLength()).toBe(4_096)
    expect(await (await client.llm.load('small', { verbose: false, config: { contextLength: 9_999 } })).getContextLength()).toBe(512)
  })

  it('leaves nothing loaded when a load is aborted', async () => {
    const slow = scriptedEngine({ key: 'slow', answer: '', loadMs: 60_000 })
    const { client, server } = await start({ models: [slow] })
    const abort = new AbortController()
    const loading = client.llm.load('slow', {
      verbose: false,
      signal: abort.signal,
      onProgress: () => abort.abort(new Error('changed my mind')),
    })
    expect((await failure(loading)).message).toBe('changed my mind')
    // The cancel reaches the server on the same socket before this call.
    expect(await client.llm.listLoaded()).toEqual([])
    expect(server.loaded()).toEqual([])
  })

  it('names a second instance key:2, and serves each by its own name', async () => {
    const { client } = await start({ models: [a] })
    await client.llm.load('a', { verbose: false, config: { contextLength: 1_024 } })
    await client.llm.load('a', { verbose: false, config: { contextLength: 2_048 } })
    const loaded = await client.llm.listLoaded()
    expect(loaded.map(({ identifier }) => identifier)).toEqual(['a', 'a:2'])
    expect(await client.llm.createDynamicHandle('a:2').getContextLength()).toBe(2_048)
  })

  it('refuses a name that is taken', async () => {
    const { client } = await start({ models: [a], preloaded: [{ model: 'a', identifier: 'mine' }] })
    expect((await failure(client.llm.load('a', { verbose: false, identifier: 'mine' }))).message).toContain('already loaded')
  })

  it('tells which models there are when one is not found', async () => {
    const { client } = await start({ models: [a] })
    const error = await failure(client.llm.load('nothing', { verbose: false }))
    expect(error.title).toBe('Model not found')
    expect(error.message).toContain('nothing')
    expect(error.message).toContain('a')
  })

  it('answers on demand with an instance of another window when one is loaded', async () => {
    const { client } = await start({ models: [a], preloaded: [{ model: 'a', contextLength: 1_024 }] })
    const model = await client.llm.model('a', { verbose: false, config: { contextLength: 4_096 } })
    expect(await model.getContextLength()).toBe(1_024)
  })

  it('keeps one model loaded on demand, and evicts no other', async () => {
    const b = scriptedEngine({ key: 'b', answer: '' })
    const { client, server } = await start({ models: [a, b, endless], preloaded: ['endless'] })
    await client.llm.model('a', { verbose: false })
    await client.llm.model('b', { verbose: false })
    expect(server.loaded().map(({ identifier, ttlMs }) => [identifier, ttlMs])).toEqual([
      ['endless', undefined],
      ['b', 3_600_000],
    ])
  })

  it('unloads, after which the old handle fails with a title', async () => {
    const { client } = await start({ models: [a] })
    const model = await client.llm.load('a', { verbose: false })
    await client.llm.unload('a')
    expect(await client.llm.listLoaded()).toEqual([])
    expect((await failure(model.respond('hello'))).title).toBe('Model unloaded')
    expect((await failure(client.llm.unload('a'))).title).toBe('Cannot find a model with the given identifier')
    expect((await failure(client.llm.createDynamicHandle('a').respond('hello'))).title).toBe('No model found that fits the query')
  })

  it('unloads a model that was idle for its time to live', async () => {
    const { client, server } = await start({ models: [a] })
    await client.llm.load('a', { verbose: false, ttl: 0.05 })
    await expect.poll(() => server.loaded()).toEqual([])
  })

  it('streams an answer whose fragments are the words of the text, with statistics', async () => {
    const { client } = await start({ models: [a] })
    const model = await client.llm.load('a', { verbose: false })
    const prefill: number[] = []
    const fragments: string[] = []
    const prediction = model.respond([{ role: 'user', content: 'How was the sea?' }], {
      onPromptProcessingProgress: (p) => prefill.push(p),
    })
    for await (const { content, tokensCount } of prediction) {
      fragments.push(content)
      expect(tokensCount).toBe(1)
    }
    expect(fragments).toEqual(TEXT.split(/(?= )/))
    expect(prefill).toEqual([0, 1])
    const { content, stats, modelInfo } = await prediction.result()
    expect(content).toBe(TEXT)
    expect(stats).toMatchObject({ stopReason: 'eosFound', predictedTokensCount: 11 })
    expect(stats.promptTokensCount).toBe(await model.countTokens(scriptedTemplate([{ role: 'user', text: 'How was the sea?' }])))
    expect(stats.totalTokensCount).toBe((stats.promptTokensCount ?? 0) + 11)
    expect(stats.tokensPerSecond).toBeGreaterThan(0)
    expect(stats.timeToFirstTokenSec).toBeGreaterThanOrEqual(0)
    expect(modelInfo.identifier).toBe('a')
  })

  it('stops at once when cancelled, and resolves', async () => {
    const { client } = await start({ models: [endless] })
    const model = await client.llm.load('endless', { verbose: false })
    const prediction = model.respond('go')
    let got = ''
    for await (const { content } of prediction) {
      got += content
      if (got.length > 20) await prediction.cancel()
    }
    const { content, stats } = await prediction.result()
    expect(stats.stopReason).toBe('userStopped')
    expect(content).toBe(got)
    expect(content.length).toBeLessThan(100)
  })

  it('stops when the signal aborts', async () => {
    const { client } = await start({ models: [endless] })
    const model = await client.llm.load('endless', { verbose: false })
    const abort = new AbortController()
    const prediction = model.respond('go', { signal: abort.signal, onFirstToken: () => abort.abort() })
    expect((await prediction.result()).stats.stopReason).toBe('userStopped')
  })

  it('honours the limit of tokens and the stop strings', async () => {
    const { client } = await start({ models: [a] })
    const model = await client.llm.load('a', { verbose: false })
    const short = await model.respond('?', { maxTokens: 4 })
    expect([short.content, short.stats.stopReason]).toEqual(['The sea was calm', 'maxPredictedTokensReached'])
    const stopped = await model.respond('?', { stopStrings: ['orning'] })
    expect([stopped.content, stopped.stats.stopReason]).toEqual(['The sea was calm that m', 'stopStringFound'])
  })

  it('passes the temperature on', async () => {
    const seen: (number | undefined)[] = []
    const warm: EngineModel = {
      ...a,
      async load(...args) {
        const engine = await a.load(...args)
        return {
          contextLength: engine.contextLength,
          tokenize: (text) => engine.tokenize(text),
          applyTemplate: (messages) => engine.applyTemplate(messages),
          dispose: () => engine.dispose(),
          generate(request, onFragment) {
            seen.push(request.temperature)
            return engine.generate(request, onFragment)
          },
        }
      },
    }
    const { client } = await start({ models: [warm], preloaded: ['a'] })
    const model = client.llm.createDynamicHandle('a')
    await model.respond('?', { temperature: 0.3 })
    await model.respond('?')
    expect(seen).toEqual([0.3, undefined])
  })

  it('ends with contextLengthReached when the window is full', async () => {
    const { client } = await start({ models: [endless] })
    const model = await client.llm.load('endless', { verbose: false, config: { contextLength: 20 } })
    const { stats } = await model.respond('go')
    expect(stats.stopReason).toBe('contextLengthReached')
    expect(stats.totalTokensCount).toBe(20)
  })

  it('refuses a prompt larger than the window, with the message of LM Studio', async () => {
    const { client } = await start({ models: [a] })
    const model = await client.llm.load('a', { verbose: false, config: { contextLength: 10 } })
    const error = await failure(model.respond('too '.repeat(20), { contextOverflowPolicy: 'stopAtLimit' }))
    expect(error.message).toMatch(/Trying to keep the first \d+ tokens when context the overflows.*only 10 tokens/s)
  })

  it('drops messages in the middle where the policy lets it', async () => {
    const echo = scriptedEngine({
      key: 'echo',
      answer: (_, messages) => messages?.map(({ text }) => text.slice(0, 2).trim()).join(',') ?? '',
    })
    const { client } = await start({ models: [echo] })
    const model = await client.llm.load('echo', { verbose: false, config: { contextLength: 20 } })
    const chat = ['s', 'q1', 'a1', 'q2', 'a2', 'q3'].map((content, at) => ({
      role: at === 0 ? ('system' as const) : at % 2 === 1 ? ('user' as const) : ('assistant' as const),
      content: `${content} x`,
    }))
    const middle = await model.respond(chat, { contextOverflowPolicy: 'truncateMiddle' })
    expect(middle.content).toBe('s,q1,q2,a2,q3')
    const rolling = await model.respond(chat, { contextOverflowPolicy: 'rollingWindow' })
    expect(rolling.content).toBe('s,a1,q2,a2,q3')
  })

  it('continues a partial answer from the raw prompt, at any character', async () => {
    const { client } = await start({ models: [a] })
    const model = await client.llm.load('a', { verbose: false })
    const prompt = await model.applyPromptTemplate([{ role: 'user', content: 'Go on.' }])
    expect(prompt).toBe(scriptedTemplate([{ role: 'user', text: 'Go on.' }]))
    for (const cut of [0, 3, 10, 17, TEXT.length - 1]) {
      const { content } = await model.complete(prompt + TEXT.slice(0, cut))
      expect(TEXT.slice(0, cut) + content).toBe(TEXT)
    }
  })

  it('counts tokens as its tokenizer cuts them', async () => {
    const { client } = await start({ models: [a] })
    const model = await client.llm.load('a', { verbose: false })
    const tokens = await model.tokenize('one two one two')
    expect(tokens).toHaveLength(4)
    expect(tokens[1]).toBe(tokens[3])
    expect(await model.countTokens('one two one two')).toBe(4)
  })

  it('queues answers of one instance, and gives as many at a time as configured', async () => {
    const { client, server } = await start({ models: [endless], preloaded: ['endless'], parallel: 2 })
    const model = client.llm.createDynamicHandle('endless')
    const predictions = [model.respond('1'), model.respond('2'), model.respond('3')]
    await expect.poll(() => server.loaded()[0]?.predicting).toBe(2)
    for (const prediction of predictions) await prediction.cancel()
    const reasons = await Promise.all(predictions.map(async (prediction) => (await prediction.result()).stats.stopReason))
    expect(reasons).toEqual(['userStopped', 'userStopped', 'userStopped'])
    expect(server.loaded()[0]?.predicting).toBe(0)
  })

  it('ends an answer with modelUnloaded when another program unloads the model', async () => {
    const { client, server } = await start({ models: [endless], preloaded: ['endless'] })
    const prediction = client.llm.createDynamicHandle('endless').respond('go', { onFirstToken: () => void server.unload('endless') })
    expect((await prediction.result()).stats.stopReason).toBe('modelUnloaded')
    expect(server.loaded()).toEqual([])
  })

  it('stops generating when the client goes away', async () => {
    const { client, server } = await start({ models: [endless], preloaded: ['endless'] })
    const prediction = client.llm.createDynamicHandle('endless').respond('go')
    await prediction[Symbol.asyncIterator]().next()
    server.dropConnections()
    expect((await failure(prediction.result())).message).toBe('WebSocket connection closed')
    await expect.poll(() => server.loaded()[0]?.predicting).toBe(0)
  })

  it('refuses loads beyond its memory by the guardrail, until there is room', async () => {
    const b = scriptedEngine({ key: 'b', answer: '', sizeBytes: 50_000_000 })
    const { client, server } = await start({ models: [a, b], preloaded: ['a'], memoryBytes: 57_000_000 })
    expect((await failure(client.llm.load('b', { verbose: false }))).message).toContain('insufficient system resources')
    await client.llm.unload('a')
    await client.llm.load('b', { verbose: false })
    server.memoryBytes = undefined
    await client.llm.load('a', { verbose: false })
    expect(server.loaded()).toHaveLength(2)
  })

  it('lets in only who has the passkey', async () => {
    const { server, client } = await start({ models: [a], passkey: 'secret' })
    expect((await failure(client.system.listDownloadedModels())).message).toMatch(/^Failed to authenticate: Invalid passkey/)
    const friend = connect(server.baseUrl, { clientIdentifier: 'friend', clientPasskey: 'secret' })
    expect(await friend.system.listDownloadedModels()).toHaveLength(1)
  })

  it('answers an unknown endpoint with a warning, so that the call hangs as with LM Studio', async () => {
    const { client } = await start({ models: [a] })
    expect(await hangsFor(100, client.repository.installPluginDependencies('/nowhere'))).toBe(true)
  })

  it('has no embedding models, and says so', async () => {
    const { client } = await start({ models: [a] })
    expect(await client.embedding.listLoaded()).toEqual([])
    expect((await failure(client.embedding.load('a', { verbose: false }))).message).toContain('wrong domain')
  })

  it('answers keep-alives', async () => {
    const { server } = await start({ models: [a] })
    const ws = new WebSocket(`${server.baseUrl}/system`)
    const frames: unknown[] = []
    const got = new Promise<void>((resolve) => {
      ws.on('message', (data) => {
        frames.push(JSON.parse(String(data)))
        if (frames.length === 1) ws.send('{"type":"keepAlive"}')
        else resolve()
      })
    })
    ws.on('open', () => ws.send(JSON.stringify({ authVersion: 1, clientIdentifier: 'raw', clientPasskey: '' })))
    await got
    expect(frames).toEqual([{ success: true }, { type: 'keepAliveAck' }])
    ws.close()
  })

  it('dies and comes back on the same port with nothing loaded, and old handles work on', async () => {
    const { client, server } = await start({ models: [endless, a], preloaded: ['endless'] })
    const prediction = client.llm.createDynamicHandle('endless').respond('go')
    await prediction[Symbol.asyncIterator]().next()
    const { port } = server
    await server.kill()
    expect((await failure(prediction.result())).message).toBe('WebSocket connection closed')
    expect((await failure(client.llm.listLoaded())).code).toBe('ECONNREFUSED')
    await server.restart()
    expect(server.port).toBe(port)
    expect(await client.llm.listLoaded()).toEqual([])
    expect((await (await client.llm.load('a', { verbose: false })).respond('?')).content).toBe(TEXT)
  })

  it('closes promptly while answers, loads and stalls are under way', async () => {
    const slow = scriptedEngine({ key: 'slow', answer: '', loadMs: 60_000 })
    const server = await startLmStudioServer({ models: [endless, slow], preloaded: ['endless'] })
    server.faults.add({ kind: 'stall', afterFragments: 1, ignoreCancel: true })
    const client = connect(server.baseUrl)
    const stalled = client.llm.createDynamicHandle('endless').respond('go')
    const loading = client.llm.load('slow', { verbose: false })
    await stalled[Symbol.asyncIterator]().next()
    const settled = Promise.allSettled([stalled.result(), loading])
    await server.close()
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(server.connections).toBe(0)
  })
})
