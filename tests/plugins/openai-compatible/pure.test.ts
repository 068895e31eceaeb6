import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isLoopback, mayCarryKey, parseBaseUrl } from '../../../src/plugins/openai-compatible/address.ts'
import { plain, readRefusal, refusalError, retryAfter, thrownError } from '../../../src/plugins/openai-compatible/errors.ts'
import { toWire } from '../../../src/plugins/openai-compatible/messages.ts'
import { dialectOf, offered, windowInProps, withConfigured } from '../../../src/plugins/openai-compatible/models.ts'
import { openAiCompatibleSchema } from '../../../src/plugins/openai-compatible/options.ts'
import { pickRoute } from '../../../src/plugins/openai-compatible/pool.ts'
import { chatBody, NO_QUIRKS, quirksAfter } from '../../../src/plugins/openai-compatible/request.ts'
import { ToolCalls } from '../../../src/plugins/openai-compatible/tool-calls.ts'

const NOW = Date.UTC(2026, 0, 1)

describe('addresses', () => {
  it.each([
    ['http://127.0.0.1:8000/v1', true],
    ['http://127.9.9.9/v1', true],
    ['http://127.1/v1', true],
    ['http://localhost:1/v1', true],
    ['http://[::1]:1/v1', true],
    ['http://[::ffff:127.0.0.1]:1/v1', true],
    ['http://0.0.0.0:1/v1', false],
    ['http://192.168.1.2/v1', false],
    ['http://127.0.0.1.example.org/v1', false],
    ['http://localhost.example.org/v1', false],
    ['https://api.example.org/v1', false],
  ])('%s is this machine: %s', (url, local) => {
    expect(isLoopback(url)).toBe(local)
  })

  it.each([
    ['http://127.0.0.1:8000/v1/', 'http://127.0.0.1:8000/v1'],
    ['HTTP://LocalHost:8000', 'http://localhost:8000'],
    ['http://user:secret@127.0.0.1/v1', undefined],
    ['http://127.0.0.1/v1?key=1', undefined],
    ['ws://127.0.0.1', undefined],
    ['127.0.0.1:8000', undefined],
  ])('%s is read as %s', (text, address) => {
    expect(parseBaseUrl(text)).toBe(address)
  })

  it('lets a key go only where nobody reads along', () => {
    expect([mayCarryKey('https://a.example/v1'), mayCarryKey('http://127.0.0.1/v1'), mayCarryKey('http://a.example/v1')]).toEqual([
      true,
      true,
      false,
    ])
  })
})

describe('options', () => {
  const issues = (options: unknown): string =>
    openAiCompatibleSchema
      .safeParse(options)
      .error?.issues.map(({ message, path }) => `${path.map(String).join('.')}: ${message}`)
      .join('; ') ?? ''

  it('refuses what cannot work, and shows no secret', () => {
    expect(issues({ endpoints: [] })).toContain('at least one endpoint')
    expect(issues({ endpoints: [{ baseUrl: 'http://a.example/v1', apiKeyEnv: 'KEY' }] })).toContain('a key goes only over https')
    expect(issues({ endpoints: [{ baseUrl: 'https://a.example/v1', apiKeyEnv: 'sk-123' }] })).toContain('not the key itself')
    const shown = issues({ endpoints: [{ baseUrl: 'https://me:hunter2@a.example/v1' }] })
    expect(shown).toContain('without user')
    expect(shown).not.toContain('hunter2')
    expect(issues({ name: 'A/b', endpoints: [{ baseUrl: 'http://127.0.0.1/v1' }] })).toContain('lower case')
  })
})

describe('what servers refuse', () => {
  const code = (status: number, body: unknown, headers: Record<string, unknown> = {}): string =>
    refusalError('here', readRefusal(status, headers, typeof body === 'string' ? body : JSON.stringify(body), NOW), []).code

  it.each([
    [400, { error: { code: 'context_length_exceeded', message: 'Too long.' } }, 'MAI_CONTEXT_OVERFLOW'],
    [
      400,
      { object: 'error', message: "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens" },
      'MAI_CONTEXT_OVERFLOW',
    ],
    [
      400,
      { error: { type: 'exceed_context_size_error', message: 'the request exceeds the available context size' } },
      'MAI_CONTEXT_OVERFLOW',
    ],
    [400, { error: 'the input length exceeds the context length' }, 'MAI_CONTEXT_OVERFLOW'],
    [400, { error: { message: 'litellm.ContextWindowExceededError: too many' } }, 'MAI_CONTEXT_OVERFLOW'],
    [413, 'Payload Too Large', 'MAI_CONTEXT_OVERFLOW'],
    [400, { error: { code: 'content_filter', message: 'Filtered.' } }, 'MAI_CONTENT_FILTERED'],
    [400, { error: { message: 'litellm.ContentPolicyViolationError: no' } }, 'MAI_CONTENT_FILTERED'],
    [403, { error: { code: 'content_policy_violation', message: 'No.' } }, 'MAI_CONTENT_FILTERED'],
    [400, { error: { message: 'temperature must be below 2' } }, 'MAI_REQUEST_INVALID'],
    [422, { detail: [{ loc: ['body', 'messages'], msg: 'field required' }] }, 'MAI_REQUEST_INVALID'],
    [401, { error: { message: 'Bad key.' } }, 'MAI_AUTH_REFUSED'],
    [403, 'Forbidden', 'MAI_AUTH_REFUSED'],
    [404, { error: { message: "model 'x' not found" } }, 'MAI_MODEL_NOT_FOUND'],
    [429, { error: { message: 'Slow down.' } }, 'MAI_RATE_LIMITED'],
    [429, { error: { code: 'insufficient_quota', message: 'Pay.' } }, 'MAI_AUTH_REFUSED'],
    [408, '', 'MAI_BACKEND_ERROR'],
    [500, '<html>oops</html>', 'MAI_BACKEND_ERROR'],
    [503, { error: { message: 'Loading model', type: 'unavailable_error' } }, 'MAI_BACKEND_ERROR'],
    [307, '', 'MAI_REQUEST_INVALID'],
  ])('%s %j is %s', (status, body, expected) => {
    expect(code(status, body)).toBe(expected)
  })

  it('tells what the server counted, and how long it wants us to wait', () => {
    const body = JSON.stringify({
      error: { type: 'exceed_context_size_error', message: 'exceeds the available context size', n_ctx: 4096, n_prompt_tokens: 5000 },
    })
    expect(refusalError('here', readRefusal(400, {}, body, NOW), []).details).toEqual({
      status: 400,
      contextLength: 4096,
      promptTokens: 5000,
    })
    expect(retryAfter({ 'retry-after': '1.5' }, NOW)).toBe(1500)
    expect(retryAfter({ 'retry-after': new Date(NOW + 7000).toUTCString() }, NOW)).toBe(7000)
    expect(retryAfter({ 'retry-after': new Date(NOW - 7000).toUTCString() }, NOW)).toBe(0)
    expect(retryAfter({ 'retry-after-ms': '250', 'retry-after': '9' }, NOW)).toBe(250)
    expect(retryAfter({ 'retry-after': 'soon' }, NOW)).toBeUndefined()
  })

  it('keeps keys and control characters out of what it says', () => {
    const refusal = readRefusal(401, {}, JSON.stringify({ error: { message: 'Incorrect API key provided: sk-secret.\u001b[31m' } }), NOW)
    const error = refusalError('here', refusal, ['sk-secret'])
    expect(error.message).not.toContain('sk-secret')
    const thrown = thrownError('here', new Error('header sk-secret is bad'), ['sk-secret'])
    expect([thrown.message.includes('sk-secret'), thrown.cause]).toEqual([false, undefined])
    const control = (text: string): boolean => [...text].some((each) => each < ' ' || (each >= '\u007f' && each <= '\u009f'))
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => !control(plain(text))))
  })

  it('shows no part of a key, wherever a long message is cut', () => {
    const key = 'sk-abcdefghijklmnopqrstuvwxyz0123456789'
    for (let before = 150; before < 600; before++) {
      const body = JSON.stringify({ error: { message: `${'x'.repeat(before)} ${key} is no key` } })
      expect(refusalError('here', readRefusal(401, {}, body, NOW), [key]).message).not.toContain('sk-')
    }
  })

  it.each([
    ['ECONNREFUSED', 'MAI_BACKEND_UNREACHABLE'],
    ['UND_ERR_CONNECT_TIMEOUT', 'MAI_BACKEND_UNREACHABLE'],
    ['ECONNRESET', 'MAI_BACKEND_LOST'],
    ['UND_ERR_SOCKET', 'MAI_BACKEND_LOST'],
    ['HPE_INVALID_CONSTANT', 'MAI_BACKEND_ERROR'],
  ])('%s is %s', (system, expected) => {
    expect(thrownError('here', Object.assign(new Error('x'), { code: system }), []).code).toBe(expected)
  })
})

describe('a request', () => {
  const sampling = { temperature: 0.5, topP: 0.9, repeatPenalty: 1.1, maxTokens: 50, stop: ['END'], seed: 7 }
  const body = (dialect: 'openai' | 'vllm' | 'llama.cpp', quirks = NO_QUIRKS): Record<string, unknown> => ({
    ...chatBody('m', [], { sampling }, dialect, quirks),
  })

  it('asks for a stream with usage, and names the repeat penalty as the server does', () => {
    expect(body('openai')).toEqual({
      model: 'm',
      messages: [],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
      top_p: 0.9,
      max_tokens: 50,
      stop: ['END'],
      seed: 7,
    })
    expect(body('vllm').repetition_penalty).toBe(1.1)
    expect(body('llama.cpp')).toMatchObject({ repeat_penalty: 1.1, return_progress: true })
  })

  it('leaves out what a server says it does not know, and nothing else', () => {
    const sent = chatBody('m', [], { sampling }, 'openai', NO_QUIRKS)
    const without = quirksAfter('Unrecognized request argument supplied: stream_options', sent, NO_QUIRKS)
    expect(without?.dropped).toEqual(['stream_options'])
    expect(body('openai', without)).not.toHaveProperty('stream_options')
    const renamed = quirksAfter("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", sent, NO_QUIRKS)
    expect(body('openai', renamed)).toMatchObject({ max_completion_tokens: 50 })
    expect(quirksAfter('Unsupported parameter: tools', sent, NO_QUIRKS)).toBeUndefined()
    expect(quirksAfter('The prompt is silly.', sent, NO_QUIRKS)).toBeUndefined()
  })

  it('carries images, calls and results in their own form, and never reasoning', () => {
    const wire = toWire([
      { role: 'system', parts: [{ type: 'text', text: 'Be brief.' }] },
      {
        role: 'user',
        parts: [
          { type: 'text', text: 'What is it?' },
          { type: 'image', mediaType: 'image/png', data: 'AAAA' },
        ],
      },
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', text: 'Hm, SECRET.' },
          { type: 'tool-call', callId: 'c1', name: 'look', arguments: '{"at":1}' },
        ],
      },
      { role: 'tool', parts: [{ type: 'tool-result', callId: 'c1', text: 'A cat.' }] },
    ])
    expect(wire).toEqual([
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
        ],
      },
      { role: 'assistant', content: '', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{"at":1}' } }] },
      { role: 'tool', tool_call_id: 'c1', content: 'A cat.' },
    ])
    expect(JSON.stringify(wire)).not.toContain('SECRET')
  })
})

describe('lists of models', () => {
  it.each([
    ['vLLM', { id: 'a', owned_by: 'vllm', max_model_len: 32_768 }, 32_768],
    ['llama-server', { id: 'a', owned_by: 'llamacpp', meta: { n_ctx_train: 131_072, n_ctx: 4096 } }, 4096],
    ['an older llama-server', { id: 'a', meta: { n_ctx_train: 8192 } }, 8192],
    ['OpenRouter', { id: 'a', context_length: 200_000 }, 200_000],
    ['Groq', { id: 'a', context_window: 131_072 }, 131_072],
    ['nobody', { id: 'a' }, undefined],
  ])('reads the window as %s gives it', (_, entry, window) => {
    expect(offered({ object: 'list', data: [entry] })[0]?.contextLength).toBe(window)
  })

  it('tells servers apart, and the window that a llama-server really has', () => {
    const by = (owner: string): string => dialectOf({ data: [{ id: 'a', owned_by: owner }] })
    expect([by('vllm'), by('llamacpp'), by('library'), by('openai')]).toEqual(['vllm', 'llama.cpp', 'ollama', 'openai'])
    expect(windowInProps({ default_generation_settings: { n_ctx: 2048 } })).toBe(2048)
  })

  it('leaves out what does not converse, and survives anything', () => {
    const ids = ['llama-3.1-8b', 'nomic-embed-text', 'bge-m3', 'whisper-1', 'qwen2.5-vl-7b', 'text-embedding-3-small']
    expect(offered({ data: ids.map((id) => ({ id })) }).map(({ id, vision, parameters }) => [id, vision, parameters])).toEqual([
      ['llama-3.1-8b', false, 8e9],
      ['qwen2.5-vl-7b', true, 7e9],
    ])
    fc.assert(fc.property(fc.anything(), (value) => void offered(value)))
  })

  it('puts what is configured above what is listed, and takes only that', () => {
    const listed = offered({ data: [{ id: 'a', max_model_len: 100 }, { id: 'b' }] })
    const models = withConfigured(listed, [
      { id: 'a', vision: true },
      { id: 'hidden-70b', contextLength: 9000, tools: false },
    ])
    expect(models).toMatchObject([
      { id: 'a', contextLength: 100, vision: true, tools: true },
      { id: 'hidden-70b', contextLength: 9000, parameters: 70e9, tools: false },
    ])
  })
})

describe('the choice of an endpoint', () => {
  const route = (weight: number, resting = false, restsUntil = 0): { weight: number; resting: boolean; restsUntil: number } => ({
    weight,
    resting,
    restsUntil,
  })

  it('goes by weight', () => {
    const [a, b] = [route(3), route(1)]
    const picks = Array.from({ length: 100 }, (_, index) => pickRoute([a, b], index / 100))
    expect(picks.filter((pick) => pick === a).length).toBe(75)
  })

  it('passes over what rests, and takes the one that rested longest where all do', () => {
    const [a, b] = [route(100, true, 5), route(1)]
    expect(pickRoute([a, b], 0.1)).toBe(b)
    expect(pickRoute([route(1, true, 9), a], 0.1)).toBe(a)
    expect(pickRoute([], 0.1)).toBeUndefined()
  })
})

it('puts calls of tools together from their pieces, in any interleaving', () => {
  const calls = new ToolCalls()
  calls.push([{ index: 0, id: 'x', function: { name: 'look', arguments: '' } }])
  calls.push([{ index: 1, id: 'y', function: { name: 'hear', arguments: '{}' } }])
  calls.push([{ index: 0, function: { arguments: '{"at"' } }])
  calls.push([{ index: 0, function: { arguments: ':1}' } }])
  expect(calls.pieces()).toEqual([
    { type: 'tool-call', callId: 'x', name: 'look', arguments: '{"at":1}' },
    { type: 'tool-call', callId: 'y', name: 'hear', arguments: '{}' },
  ])
})
