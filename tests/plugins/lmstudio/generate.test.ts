import { describe, expect, it } from 'vitest'
import { traitsOf } from '../../../src/chat/failure.ts'
import type { ImagePart } from '../../../src/chat/message.ts'
import { generate } from '../../../src/plugins/lmstudio/generate.ts'
import { lmStudioSchema } from '../../../src/plugins/lmstudio/options.ts'
import { Session } from '../../../src/plugins/lmstudio/session.ts'
import type { LmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { kvConfigStack, predictionSettings } from '../../../src/testing/lmstudio-server/wire.ts'
import { scriptedEngine } from '../../../src/testing/scripted-engine.ts'
import { answer, failure, loaded, never, SDK, world } from './harness.ts'

const TEXT = 'The sea was calm that morning, and the boats went out.'
const a = scriptedEngine({ key: 'a', answer: TEXT })
const endless = scriptedEngine({ key: 'endless', answer: 'word '.repeat(100_000) })
const seeing = scriptedEngine({ key: 'seeing', answer: 'A cat.', vision: true })
const image: ImagePart = { type: 'image', mediaType: 'image/png', data: 'iVBORw0KGgo=' }

/** What the last prediction was asked with. */
function asked(log: LmStudioServer['log']): { predictionConfigStack: unknown; history: unknown } {
  const { parameter } = log.findLast(({ endpoint }) => endpoint === 'predict') ?? {}
  // The server has parsed it.
  return parameter as ReturnType<typeof asked>
}

/** The configuration of the last prediction, by key. */
function sent(log: LmStudioServer['log']): Record<string, unknown> {
  const { layers } = kvConfigStack.parse(asked(log).predictionConfigStack)
  return Object.fromEntries(layers.flatMap(({ config }) => config.fields.map(({ key, value }) => [key, value])))
}

function history(log: LmStudioServer['log']): { role: string; content: Record<string, unknown>[] }[] {
  return (asked(log).history as { messages: ReturnType<typeof history> }).messages
}

describe('an answer', () => {
  it('streams the very text of the result, with the model’s count of tokens', async () => {
    const { backend } = await world({ models: [a] })
    const { text, result, pieces } = await answer(backend, await loaded(backend, 'a'))
    expect(text).toBe(TEXT)
    expect(result).toEqual({ finish: 'stop', usage: { promptTokens: 4, completionTokens: 11 } })
    const prefill = pieces.flatMap((piece) => (piece.type === 'prefill' ? [piece.fraction] : []))
    expect(prefill[0]).toBe(0)
    expect(prefill.at(-1)).toBe(1)
  })

  it.each([
    ['failed', 'failed'],
    ['contextLengthReached', 'context-full'],
    ['maxPredictedTokensReached', 'length'],
    ['eosFound', 'stop'],
  ] as const)('that LM Studio ends for %s ends as %s', async (reason, finish) => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'stop', reason, afterFragments: 2 })
    const { result, text } = await answer(backend, instance)
    expect([result.finish, text]).toEqual([finish, 'The sea'])
  })

  it('ends with a limit of tokens and with a stop string', async () => {
    const { backend } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    expect((await answer(backend, instance, { sampling: { maxTokens: 3 } })).result).toMatchObject({
      finish: 'length',
      usage: { completionTokens: 3 },
    })
    expect(await answer(backend, instance, { sampling: { stop: [' calm'] } })).toMatchObject({
      text: 'The sea was',
      result: { finish: 'stop' },
    })
  })

  it('passes every sampling setting on', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    const schema = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }
    await answer(backend, instance, {
      sampling: { temperature: 0.3, topP: 0.9, repeatPenalty: 1.2, maxTokens: 50, stop: ['END'], seed: 42 },
      responseSchema: schema,
    })
    expect(sent(server.log)).toEqual({
      'llm.prediction.contextOverflowPolicy': 'stopAtLimit',
      'llm.prediction.temperature': 0.3,
      'llm.prediction.topPSampling': { checked: true, value: 0.9 },
      'llm.prediction.repeatPenalty': { checked: true, value: 1.2 },
      'llm.prediction.maxPredictedTokens': { checked: true, value: 50 },
      'llm.prediction.stopStrings': ['END'],
      'llm.prediction.seed': { checked: true, value: 42 },
      'llm.prediction.structured': { type: 'json', jsonSchema: schema },
    })
  })

  it('with a setting that the SDK refuses is an invalid request, and nothing is sent', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    expect((await failure(answer(backend, instance, { sampling: { maxTokens: 1.5 } }))).code).toBe('MAI_REQUEST_INVALID')
    expect(server.log.filter(({ endpoint }) => endpoint === 'predict')).toEqual([])
  })

  it('keeps reasoning apart, without its tags', async () => {
    const thinking = scriptedEngine({ key: 'thinking', answer: ['<think>', 'Let me', ' see.', '</think>', 'It is', ' <b>four</b>.'] })
    const { backend } = await world({ models: [thinking] })
    const { text, reasoning } = await answer(backend, await loaded(backend, 'thinking'))
    expect([reasoning, text]).toEqual(['Let me see.', 'It is <b>four</b>.'])
  })

  it('goes on behind a partial answer, at the very character', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    for (const at of [0, 1, 7, 8, 30, TEXT.length - 1]) {
      const { text, result } = await answer(backend, instance, { continueFrom: TEXT.slice(0, at) })
      expect(TEXT.slice(0, at) + text).toBe(TEXT)
      expect(result.finish).toBe('stop')
    }
    // From version 2 on there is a channel for raw text.
    if (SDK === '2') expect(server.log.at(-1)?.endpoint).toBe('completeRawText')
    else expect(predictionSettings(kvConfigStack.parse(asked(server.log).predictionConfigStack)).raw).toBe(true)
  })

  it('goes on in another model that knows the conversation', async () => {
    const echo = scriptedEngine({ key: 'echo', answer: (_, messages) => `You said ${messages?.at(-1)?.text}, twice.` })
    const { backend } = await world({ models: [echo] })
    const { text } = await answer(backend, await loaded(backend, 'echo'), { continueFrom: 'You said He' })
    expect(text).toBe('llo, twice.')
  })
})

describe('images', () => {
  const messages = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'What is this?' }, image] }]

  it('are uploaded and shown to a model that can see', async () => {
    const { backend, server } = await world({ models: [seeing] })
    const { text } = await answer(backend, await loaded(backend, 'seeing'), { messages })
    expect(text).toBe('A cat.')
    expect(server.log.find(({ endpoint }) => endpoint === 'uploadFileBase64')?.parameter).toEqual({
      name: 'image-1.png',
      contentBase64: image.data,
    })
    expect(history(server.log)[0]?.content).toEqual([
      { type: 'text', text: 'What is this?' },
      { type: 'file', name: 'image-1.png', identifier: expect.any(String), sizeBytes: 8, fileType: 'image' },
    ])
  })

  it('for a model that cannot see are a clear error, and nothing is uploaded', async () => {
    const { backend, server } = await world({ models: [a] })
    const error = await failure(answer(backend, await loaded(backend, 'a'), { messages }))
    expect(error.code).toBe('MAI_REQUEST_INVALID')
    expect(error.message).toMatch(/"a" cannot see images.*vision/)
    expect(server.log.map(({ endpoint }) => endpoint)).not.toContain('uploadFileBase64')
  })

  it('are named in a prompt that goes on', async () => {
    const { backend, server } = await world({ models: [seeing] })
    const { text } = await answer(backend, await loaded(backend, 'seeing'), { messages, continueFrom: 'A ' })
    expect(text).toBe('cat.')
    expect(JSON.stringify(server.log.at(-1)?.parameter)).toContain('[image image/png]')
  })
})

describe('tools', () => {
  const tools = [{ name: 'add', description: 'Adds', parameters: { type: 'object', properties: { a: { type: 'number' } } } }]
  const call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'

  it('are offered, and a call of one comes as a piece', async () => {
    const { backend, server } = await world({ models: [scriptedEngine({ key: 'caller', answer: `I add. ${call}` })] })
    const { result, pieces, text } = await answer(backend, await loaded(backend, 'caller'), { tools })
    expect(text.trim()).toBe('I add.')
    expect(result.finish).toBe('tool-calls')
    expect(pieces.find(({ type }) => type === 'tool-call')).toEqual({
      type: 'tool-call',
      callId: 'tool-1',
      name: 'add',
      arguments: '{"a":1}',
    })
    expect(sent(server.log)['llm.prediction.tools']).toEqual({
      type: 'toolArray',
      tools: [{ type: 'function', function: tools[0] }],
    })
  })

  it('get their results back in LM Studio’s form', async () => {
    const { backend, server } = await world({ models: [a] })
    await answer(backend, await loaded(backend, 'a'), {
      tools,
      messages: [
        { role: 'user', parts: [{ type: 'text', text: 'Add' }] },
        { role: 'assistant', parts: [{ type: 'tool-call', callId: 'c1', name: 'add', arguments: '{"a":1}' }] },
        { role: 'tool', parts: [{ type: 'tool-result', callId: 'c1', text: '2' }] },
      ],
    })
    expect(history(server.log).map(({ role }) => role)).toEqual(['user', 'assistant', 'tool'])
    expect(history(server.log)[2]?.content).toEqual([{ type: 'toolCallResult', content: '2', toolCallId: 'c1' }])
  })

  it('that are called in a way nobody can read are a failure that may pass', async () => {
    const { backend, server } = await world({ models: [scriptedEngine({ key: 'bad', answer: '<tool_call>add one</tool_call>' })] })
    const error = await failure(answer(backend, await loaded(backend, 'bad'), { tools }))
    expect(error.code).toBe('MAI_BACKEND_ERROR')
    expect(traitsOf(error).transient).toBe(true)
    await expect.poll(() => server.loaded()[0]?.predicting).toBe(0)
  })
})

describe('cancelling an answer', () => {
  it('ends it on the server, and no piece comes after', async () => {
    const { backend, server } = await world({ models: [endless] })
    const instance = await loaded(backend, 'endless')
    const stop = new AbortController()
    let after = 0
    const result = await backend.generate(
      { instance, messages: [{ role: 'user', parts: [{ type: 'text', text: 'Go' }] }], sampling: {}, signal: stop.signal },
      (piece) => {
        if (stop.signal.aborted) after++
        if (piece.type === 'text') stop.abort()
      },
    )
    expect(result.finish).toBe('cancelled')
    await expect.poll(() => server.loaded()[0]?.predicting).toBe(0)
    expect(after).toBe(0)
    expect(result.usage.completionTokens).toBeLessThan(1000)
  })

  it('before it begins sends nothing', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    const { result } = await answer(backend, instance, { signal: AbortSignal.abort() })
    expect(result).toEqual({ finish: 'cancelled', usage: { promptTokens: 0, completionTokens: 0 } })
    expect(server.log.map(({ endpoint }) => endpoint)).not.toContain('predict')
  })

  it('while its template is applied resolves as cancelled', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'hang-call', endpoint: 'applyPromptTemplate' })
    const stop = new AbortController()
    const answering = answer(backend, instance, { signal: stop.signal, continueFrom: 'The' })
    await expect.poll(() => server.faults.fired.length).toBe(1)
    stop.abort()
    expect((await answering).result.finish).toBe('cancelled')
  })

  it('settles although the server does not listen', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'stall', afterFragments: 2, ignoreCancel: true })
    const stop = new AbortController()
    let seen = 0
    const result = await backend.generate({ instance, messages: [], sampling: {}, signal: stop.signal }, (piece) => {
      if (piece.type === 'text' && ++seen === 2) stop.abort()
    })
    expect(result).toEqual({ finish: 'cancelled', usage: { promptTokens: 0, completionTokens: 2 } })
  })
})

describe('an answer in trouble', () => {
  it.each([
    ['drop-socket', 'MAI_BACKEND_LOST', 'backend-lost'],
    ['kill-server', 'MAI_BACKEND_LOST', 'backend-lost'],
    ['crash', 'MAI_MODEL_CRASHED', 'crashed'],
    ['overflow', 'MAI_CONTEXT_OVERFLOW', 'context-full'],
  ] as const)('(%s) rejects with %s, after what had come', async (kind, code, struggle) => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind, afterFragments: 3 })
    let text = ''
    const error = await failure(
      backend.generate({ instance, messages: [], sampling: {}, signal: new AbortController().signal }, (piece) => {
        if (piece.type === 'text') text += piece.text
      }),
    )
    expect([error.code, traitsOf(error).kind, text]).toEqual([code, struggle, 'The sea was'])
  })

  it('tells an error of the engine in its own words', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'answer-error', message: 'Channel 7 is on fire' })
    const error = await failure(answer(backend, instance))
    expect(error).toMatchObject({ code: 'MAI_BACKEND_ERROR', problem: 'LM Studio: Channel 7 is on fire' })
  })

  it('is told the same in a wide terminal, where the SDK draws boxes', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'overflow' })
    const { columns } = process.stdout
    process.stdout.columns = 100
    try {
      const error = await failure(answer(backend, instance))
      expect(error.code).toBe('MAI_CONTEXT_OVERFLOW')
      expect(error.message).toMatch(/^LM Studio: Trying to keep the first \d+ tokens when [\w .,]+ only 4096 tokens/)
    } finally {
      process.stdout.columns = columns
    }
  })

  it('with a model that was unloaded ends as such, and the next answer says that it is gone', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'unload', afterFragments: 3 })
    expect((await answer(backend, instance)).result.finish).toBe('model-unloaded')
    expect((await failure(answer(backend, instance))).code).toBe('MAI_MODEL_UNLOADED')
  })

  it('finds a model again that was loaded anew under the same name', async () => {
    const { backend, server } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    await server.unload('a')
    await server.load('a')
    expect((await failure(answer(backend, instance))).code).toBe('MAI_MODEL_UNLOADED')
    expect((await answer(backend, instance)).text).toBe(TEXT)
  })

  it('that falls silent is given up and cancelled, in bounded time', async () => {
    const { backend, server } = await world({ models: [a] }, { answerIdleMs: 700 })
    const instance = await loaded(backend, 'a')
    server.faults.add({ kind: 'stall', afterFragments: 3 })
    const error = await failure(answer(backend, instance))
    expect(error.code).toBe('MAI_BACKEND_TIMEOUT')
    await expect.poll(() => server.loaded()[0]?.predicting).toBe(0)
  })

  it('that breaks off on a client that is closing is one failure, and no cancel is thrown behind it', async () => {
    const { backend, server } = await world({ models: [endless] })
    const instance = await loaded(backend, 'endless')
    const limits = lmStudioSchema.parse({ baseUrl: server.baseUrl, answerIdleMs: 700 })
    const session = await Session.open(server.baseUrl, limits)
    const messages = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'Go on.' }] }]
    let closing: Promise<void> | undefined
    const request = { instance, messages, sampling: {}, signal: never() }
    const answering = generate(
      session,
      request,
      () => {
        if (closing) return
        closing = session.close(5000)
        void server.kill()
      },
      limits,
      never(),
    )
    await expect(answering).rejects.toThrow()
    // A rejection that nobody handles would fail this run.
    await closing
    await new Promise((resolve) => setTimeout(resolve, 20))
  })

  it('is cancelled when its listener throws, and the throw comes through', async () => {
    const { backend, server } = await world({ models: [endless] })
    const instance = await loaded(backend, 'endless')
    const broken = backend.generate({ instance, messages: [], sampling: {}, signal: new AbortController().signal }, (piece) => {
      if (piece.type === 'text') throw new TypeError('a watcher broke')
    })
    expect((await failure(broken)).message).toContain('a watcher broke')
    await expect.poll(() => server.loaded()[0]?.predicting).toBe(0)
  })
})

describe('a count of tokens', () => {
  const messages = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'Three words here' }] }]

  it('is what the model counts for the same prompt, template and all', async () => {
    const { backend } = await world({ models: [a] })
    const instance = await loaded(backend, 'a')
    const counted = await backend.countTokens(instance, messages, new AbortController().signal)
    expect(counted).toBe((await answer(backend, instance, { messages })).result.usage.promptTokens)
  })

  it('is not given where images are in the prompt: they would be left out', async () => {
    const { backend } = await world({ models: [seeing] })
    const instance = await loaded(backend, 'seeing')
    const withImage = [{ role: 'user' as const, parts: [image] }]
    expect(await backend.countTokens(instance, withImage, new AbortController().signal)).toBeUndefined()
  })
})
