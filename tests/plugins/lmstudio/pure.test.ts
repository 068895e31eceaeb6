import type { LLMInfo, LLMInstanceInfo } from '@lmstudio/sdk'
import { describe, expect, it } from 'vitest'
import type { ImagePart } from '../../../src/chat/message.ts'
import { isLoopback, localAddresses, parseAddress, portIn } from '../../../src/plugins/lmstudio/address.ts'
import { classify, type Doing, plain } from '../../../src/plugins/lmstudio/errors.ts'
import { canEstimate, toMemoryEstimate } from '../../../src/plugins/lmstudio/estimate.ts'
import { freeName, loadConfig } from '../../../src/plugins/lmstudio/load.ts'
import { parseParameters, toModels } from '../../../src/plugins/lmstudio/models.ts'
import { lmStudioSchema } from '../../../src/plugins/lmstudio/options.ts'
import { imageName, predictionConfig, toChat, toTools } from '../../../src/plugins/lmstudio/prompt.ts'
import { never } from './harness.ts'

describe('an address', () => {
  it.each([
    ['ws://127.0.0.1:1234', 'ws://127.0.0.1:1234'],
    ['ws://127.0.0.1:1234/', 'ws://127.0.0.1:1234'],
    ['http://studio.local:1234', 'ws://studio.local:1234'],
    ['HTTPS://studio.example/lm/', 'wss://studio.example/lm'],
    ['ws://[::1]:1234', 'ws://[::1]:1234'],
    ['127.0.0.1:1234', undefined],
    ['localhost:1234', undefined],
    ['ftp://127.0.0.1', undefined],
    ['ws://user:secret@host:1', undefined],
    ['ws://host:1/?token=secret', undefined],
    ['ws://host:99999', undefined],
    ['', undefined],
  ])('%j is read as %j', (text, address) => {
    expect(parseAddress(text)).toBe(address)
  })

  it.each([
    ['ws://127.0.0.1:1234', true],
    ['ws://127.9.9.9', true],
    ['ws://localhost:1', true],
    ['ws://lm.localhost:1', true],
    ['ws://[::1]:1', true],
    ['ws://[::ffff:127.0.0.1]:1', true],
    ['ws://127.0.0.1.example.org:1', false],
    ['ws://localhost.example.org:1', false],
    ['ws://192.168.1.5:1234', false],
    ['ws://0.0.0.0:1234', false],
    ['ws://studio:1234', false],
  ])('%s is this machine: %s', (url, here) => {
    expect(isLoopback(url)).toBe(here)
  })

  it('is tried at the written port first, then at the usual ones, each once', () => {
    const urls = localAddresses(41343)
    expect(urls.slice(0, 2)).toEqual(['ws://127.0.0.1:41343', 'ws://127.0.0.1:1234'])
    expect(new Set(urls).size).toBe(urls.length)
    expect(localAddresses(undefined)[0]).toBe('ws://127.0.0.1:1234')
    expect(localAddresses(5000)).toHaveLength(7)
  })
})

describe('the port file', () => {
  it.each([
    ['{"port":1234}', 1234],
    ['{"port":1234,"more":[]}', 1234],
    ['{"port":"1234"}', undefined],
    ['{"port":0}', undefined],
    ['{"port":65536}', undefined],
    ['{"port":12.5}', undefined],
    ['{"port":null}', undefined],
    ['{}', undefined],
    ['null', undefined],
    ['[1234]', undefined],
    ['1234', undefined],
    ['{"port":12', undefined],
    ['', undefined],
  ])('%j gives %s', (text, port) => {
    expect(portIn(text)).toBe(port)
  })
})

describe('options', () => {
  const parse = (options: object) => lmStudioSchema.safeParse(options)

  it('have defaults', () => {
    expect(parse({}).data).toEqual({
      autoStart: true,
      allowRemote: false,
      probeMs: 1500,
      startMs: 30_000,
      callMs: 10_000,
      loadIdleMs: 300_000,
      answerIdleMs: 600_000,
    })
  })

  it('split an API token into what both SDKs authenticate with', () => {
    expect(parse({ apiToken: 'sk-lm-AbCdEf12:0123456789abcdefghij' }).data).toMatchObject({
      clientIdentifier: 'AbCdEf12',
      clientPasskey: '0123456789abcdefghij',
    })
  })

  it.each([[{ baseUrl: 'ws://user:hunter2@host:1' }], [{ apiToken: 'hunter2' }], [{ apiToken: 'sk-lm-a:b', clientPasskey: 'hunter2' }]])(
    'that are wrong are refused without being repeated: %j',
    (options) => {
      const { error } = parse(options)
      expect(error?.issues).toHaveLength(1)
      expect(JSON.stringify(error?.issues)).not.toContain('hunter2')
    },
  )

  it.each([[{ callMs: 0 }], [{ probeMs: -1 }], [{ autostart: true }], [{ clientPasskey: '' }]])('refuse %j', (options) => {
    expect(parse(options).success).toBe(false)
  })
})

describe('an error of the SDK', () => {
  const coded = (code: string): Error => Object.assign(new Error('connect failed'), { code })
  const titled = (title: string, code: string): Error => Object.assign(new Error('a box'), { title, displayData: { code } })
  const guardrail =
    'Model loading was stopped due to insufficient system resources. Under the current settings, this model requires 8 GB of memory.'

  it.each<[string, unknown, Doing, string]>([
    ['server down', coded('ECONNREFUSED'), 'call', 'MAI_BACKEND_UNREACHABLE'],
    ['unknown host', coded('ENOTFOUND'), 'call', 'MAI_BACKEND_UNREACHABLE'],
    ['reset', coded('ECONNRESET'), 'generate', 'MAI_BACKEND_LOST'],
    ['dropped', new Error('WebSocket connection closed'), 'generate', 'MAI_BACKEND_LOST'],
    ['timed out socket', new Error('WebSocket timed out'), 'call', 'MAI_BACKEND_LOST'],
    ['disposed', new Error('WebSocket client transport disposed'), 'call', 'MAI_BACKEND_LOST'],
    ['proxy in between', new Error('Unexpected server response: 404'), 'call', 'MAI_BACKEND_LOST'],
    ['auth refused', new Error('Failed to authenticate: Invalid passkey'), 'call', 'MAI_AUTH_REFUSED'],
    ['no such file', titled('Model not found', 'generic.pathNotFound'), 'load', 'MAI_MODEL_NOT_FOUND'],
    ['no such instance', titled('Cannot find a model', 'generic.identifierNotFound'), 'call', 'MAI_MODEL_UNLOADED'],
    ['nothing fits', titled('No model found that fits the query', 'generic.noModelMatchingQuery'), 'generate', 'MAI_MODEL_UNLOADED'],
    ['unloaded meanwhile', titled('Model unloaded', 'generic.specificModelUnloaded'), 'generate', 'MAI_MODEL_UNLOADED'],
    ['embedding model', titled('Model has wrong domain', 'generic.domainMismatch'), 'load', 'MAI_REQUEST_INVALID'],
    ['a code of tomorrow', titled('Odd', 'generic.new'), 'call', 'MAI_BACKEND_ERROR'],
    ['no such file, in 1.5', new Error('Cannot find a model with path "x"\n\n • a-exit code'), 'load', 'MAI_MODEL_NOT_FOUND'],
    ['no such instance, in 1.5', new Error('Cannot find a model with identifier "x"'), 'call', 'MAI_MODEL_UNLOADED'],
    ['nothing fits, in 1.5', new Error('No loaded model satisfies all requirements specified in the query.'), 'call', 'MAI_MODEL_UNLOADED'],
    ['embedding model, in 1.5', new Error('Model has wrong domain.'), 'load', 'MAI_REQUEST_INVALID'],
    ['unloaded, as text', new Error('This model has already been unloaded.'), 'generate', 'MAI_MODEL_UNLOADED'],
    ['not found, as text, answering', new Error('Model "a" not found'), 'generate', 'MAI_MODEL_UNLOADED'],
    ['not found, as text, loading', new Error('Model "a" not found'), 'load', 'MAI_MODEL_NOT_FOUND'],
    ['guardrail', new Error(guardrail), 'load', 'MAI_LOAD_REFUSED'],
    ['guardrail, short', new Error('Model loading aborted due to insufficient memory'), 'load', 'MAI_LOAD_REFUSED'],
    ['overflow', new Error('Trying to keep the first 5000 tokens when context the overflows.'), 'generate', 'MAI_CONTEXT_OVERFLOW'],
    ['overflow of llama.cpp', new Error('n_keep (5000) >= n_ctx (4096)'), 'generate', 'MAI_CONTEXT_OVERFLOW'],
    ['crash', new Error('The model has crashed without additional information. (Exit code: 134)'), 'generate', 'MAI_MODEL_CRASHED'],
    ['out of memory', new Error('CUDA error: out of memory'), 'load', 'MAI_MODEL_CRASHED'],
    ['bad parameter', new Error('Invalid parameter(s) for model.respond: opts.temperature'), 'generate', 'MAI_REQUEST_INVALID'],
    ['unknown', new Error('Something odd'), 'call', 'MAI_BACKEND_ERROR'],
    ['unknown, loading', new Error('Something odd'), 'load', 'MAI_LOAD_FAILED'],
    ['unknown, answering', new Error('Something odd'), 'generate', 'MAI_BACKEND_ERROR'],
    ['no error at all', 'odd', 'call', 'MAI_BACKEND_ERROR'],
    ['nothing', undefined, 'call', 'MAI_BACKEND_ERROR'],
    ['an empty error', new Error(''), 'load', 'MAI_LOAD_FAILED'],
  ])('(%s) has a code and a cure', (_, error, doing, code) => {
    const known = classify(error, doing)
    expect(known.code).toBe(code)
    expect(known.cure).toMatch(/\.$/)
    expect(known.problem).toMatch(/^LM Studio: ./)
  })

  it('is read through the box that the SDK draws round it in a terminal', () => {
    const boxed = '\n╭── Error ──╮\n│ \u001b[91mTrying to keep the │\n│ first 50 tokens    │\n╰──╯'
    const raw = '\u001b[91m Trying to keep the first 50 tokens \u001b[39m'
    expect(classify(Object.defineProperty(new Error(boxed), 'lmstudioRawError', { value: raw }), 'generate')).toMatchObject({
      code: 'MAI_CONTEXT_OVERFLOW',
      problem: 'LM Studio: Trying to keep the first 50 tokens',
    })
    expect(classify(new Error(boxed), 'generate').code).toBe('MAI_CONTEXT_OVERFLOW')
  })

  it('is shown on one line, cut to length, and never inside a character', () => {
    expect(plain('a\u001b[31mb\u001b[0m\r\n\tc\u0007\u202ed')).toBe('ab c d')
    const long = plain(`${'x'.repeat(299)}😀😀`)
    expect(long).toBe(`${'x'.repeat(299)}…`)
  })

  it('never shows a secret, in its text or in its cause', () => {
    const error = classify(new Error('Failed to authenticate: "hunter2" is wrong'), 'call', ['hunter2'])
    expect(error.code).toBe('MAI_AUTH_REFUSED')
    expect(`${error.message} ${JSON.stringify(error.details)} ${String(error.cause)}`).not.toContain('hunter2')
    expect(classify(new Error('odd'), 'call', ['hunter2']).cause).toBeInstanceOf(Error)
  })
})

describe('models', () => {
  it.each([
    ['7B', 7e9],
    ['135M', 135e6],
    ['8x7B', 56e9],
    ['0.5b', 5e8],
    ['1.5 B', 1.5e9],
    ['30B-A3B', 30e9],
    ['1T', 1e12],
    ['E4B', undefined],
    ['big', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('of %j have %s parameters', (text, count) => {
    expect(parseParameters(text)).toBe(count)
  })

  it('are listed with what is loaded of them, and without what is not known', () => {
    const info = {
      modelKey: 'a/b',
      displayName: '',
      path: 'a/b.gguf',
      sizeBytes: 0,
      maxContextLength: 4096,
      vision: true,
      trainedForToolUse: false,
    }
    const instance = { modelKey: 'a/b', identifier: 'mine', contextLength: 2048 }
    // Only what is read; the rest of the SDK's types is beside the point.
    const [model] = toModels(
      [info as LLMInfo],
      [instance as LLMInstanceInfo, { ...instance, modelKey: 'other' } as LLMInstanceInfo],
      true,
      new Map([['a/b.gguf', '/real/b.gguf']]),
    )
    expect(model).toEqual({
      key: 'lmstudio/a/b',
      backend: 'lmstudio',
      id: 'a/b',
      name: 'a/b',
      remote: true,
      sizeBytes: undefined,
      parameters: undefined,
      quantisation: undefined,
      architecture: undefined,
      maxContextLength: 4096,
      abilities: { vision: true, tools: false, reasoning: false },
      path: '/real/b.gguf',
      instances: [{ instanceId: 'mine', model: 'lmstudio/a/b', contextLength: 2048 }],
    })
  })
})

describe('load settings', () => {
  it('are put in LM Studio’s words', () => {
    expect(loadConfig({}, 8192)).toEqual({})
    expect(loadConfig({ contextLength: 99_999, gpuLayers: 'max', kvType: 'q8_0' }, 8192)).toEqual({
      contextLength: 8192,
      gpu: { ratio: 'max' },
      flashAttention: true,
      llamaKCacheQuantizationType: 'q8_0',
      llamaVCacheQuantizationType: 'q8_0',
    })
    expect(loadConfig({ gpuLayers: 0, flashAttention: false, kvType: 'f16' }, 0)).toMatchObject({
      gpu: { ratio: 'off' },
      flashAttention: false,
    })
  })

  it('that LM Studio cannot express are refused, not ignored', () => {
    expect(() => loadConfig({ gpuLayers: 20 }, 8192)).toThrow(/not a number of layers.*'max', 'off'/)
  })

  it('name an instance as LM Studio would', () => {
    expect(freeName('a', [])).toBe('a')
    expect(freeName('a', ['a', 'a:2', 'b'])).toBe('a:3')
  })
})

describe('a prompt', () => {
  const image: ImagePart = { type: 'image', mediaType: 'image/jpeg', data: 'AAAA' }
  const file = { type: 'file', name: 'image-1.jpg', identifier: 'f1', sizeBytes: 3, fileType: 'image' } as const

  it('keeps roles and joins texts, without reasoning', () => {
    expect(
      toChat([
        { role: 'system', parts: [{ type: 'text', text: 'Be brief.' }] },
        {
          role: 'user',
          parts: [
            { type: 'text', text: 'One' },
            { type: 'text', text: 'Two', origin: 'material' },
          ],
        },
        {
          role: 'assistant',
          parts: [
            { type: 'reasoning', text: 'secret' },
            { type: 'text', text: 'Three' },
          ],
        },
      ]).messages,
    ).toEqual([
      { role: 'system', content: [{ type: 'text', text: 'Be brief.' }] },
      { role: 'user', content: [{ type: 'text', text: 'One\n\nTwo' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'Three' }] },
    ])
  })

  it('hands tool calls and their results over as such', () => {
    expect(
      toChat([
        {
          role: 'assistant',
          parts: [
            { type: 'tool-call', callId: 'c1', name: 'add', arguments: '{"a":1}' },
            { type: 'tool-call', callId: 'c2', name: 'add', arguments: 'not json' },
          ],
        },
        { role: 'tool', parts: [{ type: 'tool-result', callId: 'c1', text: '3' }] },
      ]).messages,
    ).toEqual([
      {
        role: 'assistant',
        content: [
          { type: 'toolCallRequest', toolCallRequest: { type: 'function', id: 'c1', name: 'add', arguments: { a: 1 } } },
          { type: 'toolCallRequest', toolCallRequest: { type: 'function', id: 'c2', name: 'add' } },
        ],
      },
      { role: 'tool', content: [{ type: 'toolCallResult', content: '3', toolCallId: 'c1' }] },
    ])
  })

  it('shows images where they were uploaded, and names them where they were not', () => {
    const messages = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'Look' }, image] }]
    expect(toChat(messages, new Map([[image, file]])).messages).toEqual([{ role: 'user', content: [{ type: 'text', text: 'Look' }, file] }])
    expect(toChat(messages).messages).toEqual([{ role: 'user', content: [{ type: 'text', text: 'Look\n\n[image image/jpeg]' }] }])
  })

  it('is never without content', () => {
    expect(toChat([{ role: 'user', parts: [] }]).messages).toEqual([{ role: 'user', content: [{ type: 'text', text: '' }] }])
    expect(toChat([]).messages).toEqual([])
  })

  it.each([
    ['image/jpeg', 'image-1.jpg'],
    ['image/png', 'image-1.png'],
    ['image/svg+xml', 'image-1.svg'],
    ['odd', 'image-1.png'],
  ])('names an image of %s as %s', (mediaType, name) => {
    expect(imageName({ ...image, mediaType }, 0)).toBe(name)
  })

  it('offers tools with a schema that the SDK takes', () => {
    expect(toTools([{ name: 'now', description: 'The time', parameters: {} }])).toEqual([
      { type: 'function', function: { name: 'now', description: 'The time', parameters: { type: 'object', properties: {} } } },
    ])
    const parameters = { type: 'object', properties: { a: { type: 'number' } }, required: ['a'], additionalProperties: { type: 'string' } }
    expect(toTools([{ name: 'n', description: 'd', parameters }])[0]?.function.parameters).toEqual({
      type: 'object',
      properties: { a: { type: 'number' } },
      required: ['a'],
    })
  })

  it('sends only what was set, and never lets LM Studio cut it', () => {
    const request = { instance: { instanceId: 'a', model: 'lmstudio/a', contextLength: 1 }, messages: [], signal: never() }
    expect(predictionConfig({ ...request, sampling: {} })).toEqual({ contextOverflowPolicy: 'stopAtLimit' })
  })
})

describe('an estimate of LM Studio 2.x', () => {
  const sure = { confidence: 'high', modelBytes: 400, contextBytes: 100, totalBytes: 600 }

  it('is taken when it is sure and makes sense', () => {
    expect(toMemoryEstimate({ memory: sure, passesGuardrails: false })).toEqual({
      weightsBytes: 400,
      kvBytes: 100,
      computeBytes: 100,
      totalBytes: 600,
      source: 'backend',
      confidence: 0.9,
    })
    expect(toMemoryEstimate({ memory: { confidence: 'high', totalBytes: 600 } })).toMatchObject({ totalBytes: 600, computeBytes: 600 })
    expect(toMemoryEstimate({ memory: { ...sure, modelBytes: 900 } })).toMatchObject({ weightsBytes: 600, kvBytes: 0, computeBytes: 0 })
  })

  it.each([
    [{ memory: { ...sure, confidence: 'low' } }],
    [{ memory: { ...sure, totalBytes: Number.NaN } }],
    [{ memory: { ...sure, totalBytes: 0 } }],
    [{ memory: { ...sure, totalBytes: -1 } }],
    [{ memory: { ...sure, totalBytes: '600' } }],
    [{ memory: null }],
    [{}],
    [undefined],
    ['odd'],
  ])('is left aside otherwise: %j', (given) => {
    expect(toMemoryEstimate(given)).toBeUndefined()
  })

  it('is asked for only where the SDK can', () => {
    expect(canEstimate({})).toBe(false)
    expect(canEstimate({ estimateResourcesUsage: 1 })).toBe(false)
    expect(canEstimate({ estimateResourcesUsage: async () => ({}) })).toBe(true)
  })
})
