import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { GenerateRequest, GenerationPiece, GenerationResult, PromptMessage } from '../../../src/chat/backend.ts'
import type { ModelInfo } from '../../../src/chat/model.ts'
import { OpenAiBackend, type Outside } from '../../../src/plugins/openai-compatible/backend.ts'
import { type OpenAiCompatibleOptions, openAiCompatibleSchema } from '../../../src/plugins/openai-compatible/options.ts'
import { type OpenAiServer, type OpenAiServerOptions, startOpenAiServer } from '../../../src/testing/openai-server/server.ts'

const TEXT = 'Grüße from the other side of the wire 😀 as promised.'
const signal = new AbortController().signal
const user = (text: string): PromptMessage => ({ role: 'user', parts: [{ type: 'text', text }] })

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function server(options: Partial<OpenAiServerOptions> = {}): Promise<OpenAiServer> {
  const started = await startOpenAiServer({ models: [{ id: 'small', answer: TEXT }], ...options })
  cleanups.push(() => started.close())
  return started
}

function backend(options: OpenAiCompatibleOptions, outside: Partial<Outside> = {}): OpenAiBackend {
  const made = new OpenAiBackend(openAiCompatibleSchema.parse(options), { env: {}, now: Date.now, random: () => 0, ...outside })
  cleanups.push(() => made.close())
  return made
}

interface Said {
  readonly text: string
  readonly pieces: readonly GenerationPiece[]
  readonly result: GenerationResult
}

async function say(from: OpenAiBackend, model: ModelInfo, more: Partial<GenerateRequest> = {}): Promise<Said> {
  const pieces: GenerationPiece[] = []
  const [instance] = model.instances
  if (!instance) throw new Error('no instance')
  const request = { instance, messages: [user('Hello there.')], sampling: {}, signal, ...more }
  const result = await from.generate(request, (piece) => void pieces.push(piece))
  return { text: pieces.map((piece) => (piece.type === 'text' ? piece.text : '')).join(''), pieces, result }
}

async function only(from: OpenAiBackend): Promise<ModelInfo> {
  const [model, ...others] = await from.list(signal)
  if (!model || others.length > 0) throw new Error('not one model')
  return model
}

describe('an answer', () => {
  it('streams text and reasoning apart, and reports the usage of the server', async () => {
    const { baseUrl } = await server({ models: [{ id: 'small', answer: TEXT, reasoning: 'Let me think.' }] })
    const from = backend({ endpoints: [{ baseUrl }] })
    const { text, pieces, result } = await say(from, await only(from))
    expect(text).toBe(TEXT)
    expect(pieces.flatMap((piece) => (piece.type === 'reasoning' ? [piece.text] : [])).join('')).toBe('Let me think.')
    expect(result).toEqual({ finish: 'stop', usage: { promptTokens: 2, completionTokens: 14 } })
  })

  it('takes reasoning out of the text of a server that does not', async () => {
    const { baseUrl } = await server({ models: [{ id: 'small', answer: `<think>\nLet me see.</think>\n\n${TEXT}` }] })
    const from = backend({ endpoints: [{ baseUrl }] })
    const { text, pieces } = await say(from, await only(from))
    expect(text).toBe(TEXT)
    expect(pieces.flatMap((piece) => (piece.type === 'reasoning' ? [piece.text] : [])).join('')).toBe('\nLet me see.')
  })

  it('hands tools, a schema, images and sampling over, and gives calls back whole', async () => {
    const toolCall = { name: 'look', arguments: '{"at":"the sea"}' }
    const standIn = await server({ models: [{ id: 'small', answer: TEXT, toolCall }] })
    const { baseUrl } = standIn
    const from = backend({ endpoints: [{ baseUrl, models: [{ id: 'small', vision: true }] }] })
    const { pieces, result } = await say(from, await only(from), {
      messages: [
        {
          role: 'user',
          parts: [
            { type: 'text', text: 'Look.' },
            { type: 'image', mediaType: 'image/png', data: 'AAAA' },
          ],
        },
      ],
      tools: [{ name: 'look', description: 'Looks.', parameters: { type: 'object', properties: { at: { type: 'string' } } } }],
      responseSchema: { type: 'object' },
      sampling: { temperature: 0, seed: 3, stop: ['\n'] },
    })
    expect(pieces).toContainEqual({ type: 'tool-call', callId: 'call_1', ...toolCall })
    expect(result.finish).toBe('tool-calls')
    const [sent] = standIn.answers
    expect(sent?.request).toMatchObject({ tools: true, stream: true, usage: true, messages: [{ images: 1 }] })
    expect(sent?.request?.body).toMatchObject({ temperature: 0, seed: 3, stop: ['\n'], response_format: { type: 'json_schema' } })
  })

  it('ends with `length` at a limit that was set, and with a full window where the window is the limit', async () => {
    const { baseUrl } = await server({ models: [{ id: 'small', answer: TEXT, listed: { max_model_len: 9 } }] })
    const from = backend({ endpoints: [{ baseUrl }] })
    const model = await only(from)
    expect(model.maxContextLength).toBe(9)
    expect((await say(from, model, { sampling: { maxTokens: 3 } })).result).toMatchObject({
      finish: 'length',
      usage: { completionTokens: 3 },
    })
  })

  it('is not whole where the server ends it at a limit of its own', async () => {
    const capped = http.createServer((_, response) => {
      const choices = [{ index: 0, message: { role: 'assistant', content: 'and then the sen' }, finish_reason: 'length' }]
      const usage = { prompt_tokens: 3, completion_tokens: 4 }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ choices, usage }))
    })
    const from = backend({ endpoints: [{ baseUrl: await listening(capped), models: ['any'] }] })
    const model = await only(from)
    expect((await say(from, model)).result.finish).toBe('context-full')
    expect((await say(from, model, { sampling: { maxTokens: 4 } })).result.finish).toBe('length')
  })

  it('works with a server that refuses the fields it does not know, and asks for them once', async () => {
    const standIn = await server({ refusedFields: ['stream_options', 'seed'] })
    const { baseUrl } = standIn
    const from = backend({ endpoints: [{ baseUrl }] })
    const model = await only(from)
    const { text, result } = await say(from, model, { sampling: { seed: 1 } })
    expect([text, result.usage.completionTokens]).toEqual([TEXT, 11])
    await say(from, model, { sampling: { seed: 1 } })
    expect(standIn.answers.length).toBe(4)
  })

  it('works with a server that does not stream', async () => {
    const plain = http.createServer((_, response) => {
      const choices = [{ index: 0, message: { role: 'assistant', content: TEXT }, finish_reason: 'stop' }]
      const usage = { prompt_tokens: 2, completion_tokens: 9 }
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify({ choices, usage }, null, 2))
    })
    const from = backend({ endpoints: [{ baseUrl: await listening(plain), models: ['any'] }] })
    const { text, result } = await say(from, await only(from))
    expect([text, result]).toEqual([TEXT, { finish: 'stop', usage: { promptTokens: 2, completionTokens: 9 } }])
  })

  it('stops within milliseconds when it is told to, and lets go of the connection', async () => {
    const { baseUrl } = await server({ faults: [{ kind: 'stall', afterPieces: 3 }] })
    const from = backend({ endpoints: [{ baseUrl }] })
    const stop = new AbortController()
    let stoppedAt = 0
    const model = await only(from)
    const [instance] = model.instances
    if (!instance) throw new Error('no instance')
    const result = await from.generate({ instance, messages: [user('Hello')], sampling: {}, signal: stop.signal }, () => {
      stoppedAt ||= setTimeout(() => stop.abort(), 50) && performance.now() + 50
    })
    expect(result.finish).toBe('cancelled')
    expect(performance.now() - stoppedAt).toBeLessThan(500)
  })

  it('hands on what the sink throws, and is well afterwards', async () => {
    const { baseUrl } = await server()
    const from = backend({ endpoints: [{ baseUrl }] })
    const model = await only(from)
    const [instance] = model.instances
    if (!instance) throw new Error('no instance')
    const broken = from.generate({ instance, messages: [user('Hello')], sampling: {}, signal }, () => {
      throw new Error('sink')
    })
    await expect(broken).rejects.toThrow('sink')
    expect((await say(from, model)).text).toBe(TEXT)
  })
})

describe('a partial answer', () => {
  const half = TEXT.slice(0, 22)
  const counting = (question: string): string => (question.startsWith('Count from one') ? 'one two three four five six' : TEXT)

  it.each([
    ['continue', 'continue', undefined, 2],
    ['refuse', 'refuse', undefined, 2],
    ['ignore', 'ignore', undefined, 2],
    ['is said to continue and does not', 'ignore', true, 1],
    ['is said to continue and refuses', 'refuse', true, 2],
    ['fail in its template', 'fail', undefined, 2],
    ['is said to continue and fails in its template', 'fail', true, 2],
    ['is said not to continue', 'continue', false, 1],
  ] as const)('is finished to the letter by a server that would %s', async (_, prefill, told, requests) => {
    const standIn = await server({ models: [{ id: 'small', answer: counting }], prefill })
    const { baseUrl } = standIn
    const from = backend({ endpoints: [{ baseUrl, ...(told === undefined ? {} : { prefill: told }) }] })
    const model = await only(from)
    expect(half + (await say(from, model, { continueFrom: half })).text).toBe(TEXT)
    expect(standIn.answers.length).toBe(requests)
    // What it has learned it does not ask again.
    expect(half + (await say(from, model, { continueFrom: half })).text).toBe(TEXT)
    expect(standIn.answers.length).toBe(requests + 1)
  })

  it('is continued by vLLM in its own words, without a question', async () => {
    const standIn = await server({ models: [{ id: 'small', answer: counting }], ownedBy: 'vllm' })
    const { baseUrl } = standIn
    const from = backend({ endpoints: [{ baseUrl }] })
    expect(half + (await say(from, await only(from), { continueFrom: half })).text).toBe(TEXT)
    expect(standIn.answers.map(({ request }) => request?.body.continue_final_message)).toEqual([true])
  })
})

describe('keys', () => {
  const env = { POOL_KEY: 'sk-very-secret' }

  it('come from the environment and go with every request', async () => {
    const { baseUrl } = await server({ apiKey: env.POOL_KEY })
    const from = backend({ endpoints: [{ baseUrl, apiKeyEnv: 'POOL_KEY' }] }, { env })
    expect((await say(from, await only(from))).text).toBe(TEXT)
    const without = backend({ endpoints: [{ baseUrl, apiKeyEnv: 'POOL_KEY' }] })
    await expect(without.list(signal)).rejects.toMatchObject({ code: 'MAI_AUTH_REFUSED', cure: expect.stringContaining('POOL_KEY') })
  })

  it('never show in an error, also when the server repeats them', async () => {
    const error = { message: `Incorrect API key provided: ${env.POOL_KEY}` }
    const { baseUrl } = await server({ faults: [{ kind: 'status', status: 401, error }] })
    const from = backend({ endpoints: [{ baseUrl, apiKeyEnv: 'POOL_KEY' }] }, { env })
    const model = await only(from)
    const failed = await say(from, model).catch((thrown: unknown) => thrown)
    expect(failed).toMatchObject({ code: 'MAI_AUTH_REFUSED' })
    expect(JSON.stringify(failed) + String(failed) + String((failed as Error).cause)).not.toContain(env.POOL_KEY)
  })

  it('do not follow a redirect', async () => {
    const elsewhere = await server()
    const location = `${elsewhere.baseUrl}/chat/completions`
    const { baseUrl } = await server({ faults: [{ kind: 'redirect', location }] })
    const from = backend({ endpoints: [{ baseUrl, apiKeyEnv: 'POOL_KEY' }] }, { env })
    await expect(say(from, await only(from))).rejects.toMatchObject({
      code: 'MAI_REQUEST_INVALID',
      cure: expect.stringContaining('baseUrl'),
    })
    expect(elsewhere.log).toEqual([])
  })
})

describe('models', () => {
  it('are named with their window, and are there already', async () => {
    const { baseUrl } = await server({ models: [{ id: 'org/big-70b', answer: TEXT, listed: { max_model_len: 32_768 } }] })
    const from = backend({ name: 'pool', endpoints: [{ baseUrl }] })
    expect(await only(from)).toMatchObject({
      key: 'pool/org/big-70b',
      id: 'org/big-70b',
      remote: false,
      parameters: 70e9,
      maxContextLength: 32_768,
      instances: [{ instanceId: 'org/big-70b', model: 'pool/org/big-70b', contextLength: 32_768 }],
    })
  })

  it('are those that are configured, where the server has no list or is down', async () => {
    const { baseUrl } = await server({ lists: false })
    await expect(backend({ endpoints: [{ baseUrl }] }).list(signal)).rejects.toMatchObject({ cure: expect.stringContaining('models:') })
    const named = backend({
      endpoints: [
        { baseUrl, models: ['small'] },
        { baseUrl: 'http://127.0.0.1:9/v1', models: ['other'] },
      ],
    })
    expect((await named.list(signal)).map(({ id }) => id)).toEqual(['small', 'other'])
  })

  it.each([undefined, ['small']])('are gone with a server that broke off, and back with it (configured: %j)', async (models) => {
    const one = await server({ faults: [{ kind: 'kill-server', afterPieces: 2 }] })
    const from = backend({ endpoints: [{ baseUrl: one.baseUrl, ...(models ? { models } : {}) }] })
    await expect(say(from, await only(from))).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    await expect(from.list(signal)).rejects.toMatchObject({ code: 'MAI_BACKEND_UNREACHABLE' })
    await one.restart()
    expect((await say(from, await only(from))).text).toBe(TEXT)
  })

  it.each([503, 500, 'late'] as const)('stay with a server that broke off and then lists nothing: %s', async (how) => {
    let broke = false
    const one = http.createServer(async (request, response) => {
      if (request.method === 'POST') {
        broke = true
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"choices":[{"delta":{"content":"Once"}}]}\n\n')
        return setTimeout(() => response.destroy(), 20)
      }
      if (broke && how === 'late') return undefined
      if (broke) return response.writeHead(Number(how)).end()
      return response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[{"id":"a"},{"id":"b"}]}')
    })
    const from = backend({ endpoints: [{ baseUrl: await listening(one) }] })
    const [model] = await from.list(signal)
    await expect(say(from, model as ModelInfo)).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    expect((await from.list(signal)).map(({ id }) => id)).toEqual(['a', 'b'])
  })

  it('of an endpoint that hangs do not keep the others waiting', async () => {
    const hanging = http.createServer(() => {})
    const { baseUrl } = await server()
    const from = backend({ endpoints: [{ baseUrl: await listening(hanging) }, { baseUrl }], listMs: 300 })
    const began = performance.now()
    expect((await from.list(signal)).map(({ id }) => id)).toEqual(['small'])
    expect(performance.now() - began).toBeLessThan(2000)
  })

  it('learn their true window from a refusal', async () => {
    const { baseUrl } = await server({
      faults: [{ kind: 'overflow', words: 'llama.cpp' }],
      models: [{ id: 'small', answer: TEXT, contextLength: 2000 }],
    })
    const from = backend({ endpoints: [{ baseUrl }] })
    await expect(say(from, await only(from))).rejects.toMatchObject({ code: 'MAI_CONTEXT_OVERFLOW', details: { contextLength: 2000 } })
    expect((await only(from)).maxContextLength).toBe(2000)
  })

  it('of other machines are remote, and chosen by themselves only where that is allowed', async () => {
    const { baseUrl } = await server()
    const far = { baseUrl: 'http://192.0.2.1/v1', models: ['far', 'small'] }
    const rows = async (allowRemote: boolean): Promise<unknown[]> => {
      const from = backend({
        endpoints: [
          { baseUrl, models: ['small'] },
          { ...far, allowRemote },
        ],
        listMs: 100,
        connectMs: 100,
      })
      return (await from.list(signal)).map(({ id, remote, allowRemote: allowed }) => [id, remote, allowed])
    }
    // A model that is here too stays here.
    expect(await rows(false)).toEqual([
      ['small', false, true],
      ['far', true, false],
    ])
    expect(await rows(true)).toEqual([
      ['small', true, true],
      ['far', true, true],
    ])
  })
})

describe('a model that this machine has served', () => {
  it('never moves to another machine without permission when the endpoint here goes away', async () => {
    const [near, far] = [await server(), await server()]
    // The same socket under an address that is not this machine's own: it counts as remote, and would answer.
    const elsewhere = far.baseUrl.replace('127.0.0.1', '0.0.0.0')
    const from = backend({ endpoints: [{ baseUrl: near.baseUrl }, { baseUrl: elsewhere }], restMs: 1 })
    const model = await only(from)
    expect(model.remote).toBe(false)
    await near.close()
    expect(await from.list(signal)).toEqual([])
    await expect(say(from, model)).rejects.toMatchObject({ code: 'MAI_MODEL_NOT_FOUND' })
    expect(far.answers).toEqual([])
    const allowed = backend({ endpoints: [{ baseUrl: elsewhere, allowRemote: true }] })
    expect((await say(allowed, await only(allowed))).text).toBe(TEXT)
  })
})

describe('several endpoints with one model', () => {
  it('are one row, share by weight, and pass over one that failed for a while', async () => {
    const [a, b] = [await server(), await server()]
    let time = 1e12
    let random = 0
    const from = backend(
      { endpoints: [{ baseUrl: a.baseUrl, weight: 3 }, { baseUrl: b.baseUrl }], restMs: 1000 },
      { now: () => time, random: () => random },
    )
    const model = await only(from)
    for (random of [0, 0.5, 0.74, 0.76]) await say(from, model)
    expect([a.answers.length, b.answers.length]).toEqual([3, 1])
    a.faults.add({ kind: 'status', status: 500 })
    random = 0
    await expect(say(from, model)).rejects.toMatchObject({ code: 'MAI_BACKEND_ERROR' })
    expect(from.anotherRoute(model)).toBe(true)
    await say(from, model)
    expect([a.answers.length, b.answers.length]).toEqual([4, 2])
    time += 1001
    await say(from, model)
    expect([a.answers.length, b.answers.length]).toEqual([5, 2])
  })

  it('have no other way while both are failing, and none where there is only one', async () => {
    const [a, b] = [await server({ faults: [{ kind: 'reset', times: 9 }] }), await server({ faults: [{ kind: 'reset', times: 9 }] })]
    const from = backend({ endpoints: [{ baseUrl: a.baseUrl }, { baseUrl: b.baseUrl }] })
    const model = await only(from)
    await expect(say(from, model)).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    await expect(say(from, model)).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    expect([a.answers.length, b.answers.length]).toEqual([1, 1])
    expect(from.anotherRoute(model)).toBe(false)
  })
})

async function listening(made: http.Server): Promise<string> {
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve))
  cleanups.push(async () => {
    made.closeAllConnections()
    await new Promise((resolve) => made.close(resolve))
  })
  return `http://127.0.0.1:${(made.address() as AddressInfo).port}/v1`
}
