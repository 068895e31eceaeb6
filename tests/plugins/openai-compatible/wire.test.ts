import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OpenAiBackend } from '../../../src/plugins/openai-compatible/backend.ts'
import { openAiCompatibleSchema } from '../../../src/plugins/openai-compatible/options.ts'

/** What servers, and what stands before them, really put on the line; sent byte by byte as the row says. */

const TEXT = 'Grüße 😀 from the other side.'
const PIECES = TEXT.match(/\s*\S+/g) ?? []
const event = (value: unknown, end = '\n'): string => `data: ${typeof value === 'string' ? value : JSON.stringify(value)}${end}${end}`
const piece = (content: string): unknown => ({ choices: [{ index: 0, delta: { content } }] })
const finish = (reason: string): string => event({ choices: [{ index: 0, delta: {}, finish_reason: reason }] })
const said = PIECES.map((text) => event(piece(text))).join('')
const END = `${finish('stop')}${event('[DONE]')}`
const stream = said + END
const whole = JSON.stringify({ choices: [{ message: { content: TEXT }, finish_reason: 'stop' }] }, null, 2)
const half = PIECES.slice(0, 2).map((text) => event(piece(text)))
const escaped = [...Array(TEXT.length).keys()].map((at) => `\\u${TEXT.charCodeAt(at).toString(16).padStart(4, '0')}`)

interface Wire {
  readonly body: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  /** Bytes at once; default all. */
  readonly step?: number
}

let server: http.Server
let wire: Wire

beforeAll(async () => {
  server = http.createServer(async (request, response) => {
    for await (const _ of request);
    response.writeHead(200, { 'content-type': 'text/event-stream', ...wire.headers })
    const bytes = Buffer.from(wire.body)
    for (let at = 0; at < bytes.length; at += wire.step ?? bytes.length) {
      response.write(bytes.subarray(at, at + (wire.step ?? bytes.length)))
      await new Promise(setImmediate)
    }
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => server.close())

/** Finish and text of the answer, or the code of the error and the text before it; and the tokens that are reported. */
async function answerTo(sent: Wire): Promise<readonly [string, string, number]> {
  wire = sent
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  const backend = new OpenAiBackend(openAiCompatibleSchema.parse({ endpoints: [{ baseUrl, models: ['m'] }] }))
  const instance = { instanceId: 'm', model: 'openai-compatible/m', contextLength: 4096 }
  const messages = [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'Hello.' }] }]
  let text = ''
  const request = { instance, messages, sampling: {}, signal: new AbortController().signal }
  const ended = backend.generate(request, (said) => {
    if (said.type === 'text') text += said.text
  })
  const how = await ended.then(
    ({ finish, usage }) => [finish, usage.completionTokens] as const,
    ({ code }: { code: string }) => [code, 0] as const,
  )
  await backend.close()
  return [how[0], text, how[1]]
}

describe('an answer is whole', () => {
  it.each<[string, Wire]>([
    [
      'with CRLF, a byte-order mark, comments and characters split between packets',
      { body: `\ufeff: hello\r\n\r\n${stream.replaceAll('\n', '\r\n')}`, step: 5 },
    ],
    ['with carriage returns alone', { body: stream.replaceAll('\n', '\r') }],
    [
      'with an object over several lines',
      { body: `${PIECES.map((text) => `data:${JSON.stringify(piece(text), null, 1).replaceAll('\n', '\ndata:')}\n\n`).join('')}${END}` },
    ],
    [
      'with an emoji in two pieces',
      { body: `${escaped.map((unit) => `data: {"choices":[{"delta":{"content":"${unit}"}}]}\n\n`).join('')}${END}` },
    ],
    [
      'with pieces that have no choice, null for one, or another answer',
      {
        body: `${event({ choices: [] })}${event({ choices: null })}${event({ choices: [{ index: 0, delta: null }] })}${event({ choices: [{ index: 1, delta: { content: 'No.' }, finish_reason: 'stop' }] })}${stream}`,
      },
    ],
    ['with a first choice that is not the first by its number', { body: stream.replaceAll('"index":0', '"index":1') }],
    ['with a number in words', { body: stream.replaceAll('"index":0', '"index":"0"') }],
    ['without an empty line at its end', { body: (said + finish('stop')).trimEnd() }],
    ['with a reason in capitals', { body: said + finish('STOP') }],
    ['as a stream that is called JSON', { body: stream, headers: { 'content-type': 'application/json' } }],
    ['as a stream that is called a page', { body: stream, headers: { 'content-type': 'text/html' } }],
    ['as one object', { body: whole, headers: { 'content-type': 'application/json' }, step: 7 }],
    ['as one object that is called a stream', { body: `\n${whole}` }],
    ['compressed by gzip', { body: gzipSync(stream), headers: { 'content-encoding': 'gzip' }, step: 9 }],
    ['compressed by deflate', { body: deflateSync(stream), headers: { 'content-encoding': 'deflate' } }],
    ['compressed by brotli', { body: brotliCompressSync(stream), headers: { 'content-encoding': 'br' } }],
  ])('%s', async (_, sent) => {
    expect((await answerTo(sent)).slice(0, 2)).toEqual(['stop', TEXT])
  })
})

describe('an answer is not whole', () => {
  const failed = (error: string): Wire => ({ body: `${half.join('')}${error}${event('[DONE]')}` })
  it.each<[string, string, Wire]>([
    ['with an error as an event of its own', 'MAI_BACKEND_ERROR', failed(`event: error\n${event({ message: 'The engine died.' })}`)],
    ['with an error as FastAPI says it', 'MAI_BACKEND_ERROR', failed(event({ detail: 'The engine died.' }))],
    ['with an error as old vLLMs say it', 'MAI_BACKEND_ERROR', failed(event({ object: 'error', message: 'EngineDeadError', code: 500 }))],
    ['with an error in a word', 'MAI_BACKEND_ERROR', failed(event({ error: 'The engine died.' }))],
    ['with a reason that is a failure', 'failed', failed(finish('insufficient_system_resource'))],
    ['with a reason that is a cancellation', 'failed', failed(finish('cancelled'))],
    ['with a limit in capitals', 'context-full', failed(finish('MAX_TOKENS'))],
    ['with a limit by another name', 'context-full', failed(finish('max_length'))],
    ['with a window that is full', 'context-full', failed(finish('model_context_window_exceeded'))],
    ['with a limit of requests', 'failed', failed(finish('rate_limit'))],
    ['filtered, which is called an error too', 'MAI_CONTENT_FILTERED', failed(finish('content_filter_error'))],
    ['filtered, by the name of what was found', 'MAI_CONTENT_FILTERED', failed(finish('ERROR_TOXIC'))],
    ['without any end', 'MAI_BACKEND_LOST', { body: half.join('') }],
    ['compressed and cut', 'MAI_BACKEND_LOST', { body: gzipSync(half.join('')).subarray(0, -9), headers: { 'content-encoding': 'gzip' } }],
  ])('%s', async (_, how, sent) => {
    const [ended, text] = await answerTo(sent)
    expect(ended).toBe(how)
    expect(TEXT.startsWith(text)).toBe(true)
  })

  it.each<[string, Wire]>([
    ['half an object', { body: whole.slice(0, 60) }],
    ['an object without a choice', { body: '{"choices":[]}' }],
    ['a page', { body: '<html><body>Log in, please.</body></html>', headers: { 'content-type': 'text/html' } }],
    ['nothing', { body: '' }],
    ['compressed, as it says', { body: 'no gzip at all', headers: { 'content-encoding': 'gzip' } }],
  ])('as %s', async (_, sent) => {
    expect((await answerTo(sent)).slice(0, 2)).toEqual([expect.stringMatching(/^MAI_BACKEND_(ERROR|LOST)$/), ''])
  })
})

it('counts its pieces where what the server counted is no number of tokens', async () => {
  for (const completion_tokens of [-1, 40.5, 1e308, '40', null]) {
    const [, , tokens] = await answerTo({
      body: `${said}${finish('stop')}${event({ choices: [], usage: { prompt_tokens: 7, completion_tokens } })}`,
    })
    expect(tokens).toBe(PIECES.length)
  }
})
