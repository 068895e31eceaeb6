import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import type { Reply } from '../../src/chat/reply.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { openaiCompatible } from '../../src/plugins/openai-compatible/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import type { OpenAiFault } from '../../src/testing/openai-server/faults.ts'
import { type OpenAiServer, type OpenAiServerOptions, startOpenAiServer } from '../../src/testing/openai-server/server.ts'
import { resourceTrace } from '../../src/testing/resource-trace.ts'

const CANON =
  'The harbour woke slowly. Gulls argued over a crust, the ferry coughed twice, and somebody swept yesterday off the steps of the café. ' +
  'By nine the fog had lifted – naïvely, as fog does – and the boats lay there like a sentence 😀 that nobody had finished.'
/** Goes on with what a server is asked to go on with, as a model would. */
const answer = (question: string): string => (question.startsWith('Count from one') ? 'one two three four five six seven' : CANON)
const QUESTION = 'Go on.'
/** Short enough for a test, long enough for two loaded cores. */
const FIRST_TOKEN_MS = 700
const GAP_MS = 700

interface World extends AsyncDisposable {
  readonly mai: Mai
  readonly primary: OpenAiServer
  readonly fallback: OpenAiServer
  readonly events: string[]
}

interface Setup {
  readonly fallback?: boolean
  readonly prefill?: OpenAiServerOptions['prefill']
  readonly now?: () => number
}

async function world(faults: readonly OpenAiFault[], { fallback: with2 = true, prefill = 'continue', now }: Setup = {}): Promise<World> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-http-'))
  const primary = await startOpenAiServer({ models: [{ id: 'first', answer }], faults })
  const fallback = await startOpenAiServer({ models: [{ id: 'second', answer, contextLength: 65_536 }], prefill })
  const plugins = [
    store({ file: path.join(folder, 'mai.db') }),
    resourceTrace().plugin,
    switching(),
    compression(),
    openaiCompatible({ name: 'primary', endpoints: [{ baseUrl: primary.baseUrl }] }),
    ...(with2 ? [openaiCompatible({ name: 'fallback', endpoints: [{ baseUrl: fallback.baseUrl }] })] : []),
  ]
  // What is preferred stays preferred, whatever is learned of speeds.
  const models = { first: { quality: 16 }, second: { quality: 8 } }
  const mai = await createMai({ plugins, models, turn: { firstTokenMs: FIRST_TOKEN_MS, gapMs: GAP_MS } }, now)
  const events: string[] = []
  for (const type of ['message.completed', 'message.failed', 'circuit.opened', 'circuit.closed'] as const)
    mai.on(type, () => void events.push(type))
  const end = async (): Promise<void> => {
    await mai.shutdown()
    await Promise.all([primary.close(), fallback.close()])
    await fs.rm(folder, { recursive: true, force: true })
  }
  return { mai, primary, fallback, events, [Symbol.asyncDispose]: end }
}

/** At most two requests for an answer inside any 1.5 s, and six in all. */
function expectNoHammering({ answers }: OpenAiServer): void {
  const times = answers.map(({ time }) => time)
  expect(times.length).toBeLessThanOrEqual(6)
  for (const time of times) expect(times.filter((other) => other >= time && other - time < 1500).length).toBeLessThanOrEqual(2)
}

async function expectAlive({ mai, primary }: World): Promise<void> {
  primary.faults.clear()
  expect((await mai.processMessage('And again, please.')).text).toBe(CANON)
}

/** A small generator with a seed: where in the answer it happens. */
function pieceOf(seed: number): number {
  let state = (seed * 2_654_435_761) >>> 0
  state ^= state >>> 15
  return 1 + ((Math.imul(state, 0x2c1b3c6d) >>> 0) % 30)
}

/** A few in every run; `MAI_CHAOS_SEEDS=20` for more. */
const seeds = Array.from({ length: Number(process.env.MAI_CHAOS_SEEDS ?? 4) }, (_, index) => ({
  seed: index + 1,
  afterPieces: pieceOf(index + 1),
}))

interface Case {
  readonly name: string
  readonly faults: readonly OpenAiFault[]
  readonly code: string
  readonly prefill?: OpenAiServerOptions['prefill']
}
const ever = { times: Infinity } as const
const cases: readonly Case[] = [
  { name: 'F1 429 with Retry-After', faults: [{ kind: 'status', status: 429, retryAfter: '2' }], code: 'MAI_RATE_LIMITED' },
  { name: 'F2 429 for ever', faults: [{ kind: 'status', status: 429, ...ever }], code: 'MAI_RATE_LIMITED' },
  { name: 'F3 500 once', faults: [{ kind: 'status', status: 500 }], code: 'MAI_BACKEND_ERROR' },
  { name: 'F4 503 for ever', faults: [{ kind: 'status', status: 503, ...ever }], code: 'MAI_BACKEND_ERROR' },
  { name: 'F5 reset before headers', faults: [{ kind: 'reset', ...ever }], code: 'MAI_BACKEND_LOST' },
  { name: 'F6 no answer at all', faults: [{ kind: 'silence', ...ever }], code: 'MAI_BACKEND_TIMEOUT' },
  { name: 'F6 headers and then nothing', faults: [{ kind: 'silence', headers: true, ...ever }], code: 'MAI_BACKEND_TIMEOUT' },
  { name: 'F7 first token after the limit', faults: [{ kind: 'late', ms: 4000 }], code: 'MAI_BACKEND_TIMEOUT' },
  ...seeds.flatMap(({ seed, afterPieces }): Case[] => [
    { name: `F8 cut in the middle, seed ${seed}`, faults: [{ kind: 'cut', afterPieces }], code: 'MAI_BACKEND_LOST' },
    {
      name: `F8 ended in the middle as if all were well, seed ${seed}`,
      faults: [{ kind: 'cut', afterPieces, clean: true }],
      code: 'MAI_BACKEND_LOST',
    },
    { name: `F10 malformed chunk, seed ${seed}`, faults: [{ kind: 'malformed', afterPieces }], code: 'MAI_BACKEND_ERROR' },
    {
      name: `an error in the middle of the stream, seed ${seed}`,
      faults: [{ kind: 'error-piece', afterPieces }],
      code: 'MAI_BACKEND_ERROR',
    },
    {
      name: `F14 cut, and a fallback that refuses prefill, seed ${seed}`,
      faults: [{ kind: 'cut', afterPieces }],
      code: 'MAI_BACKEND_LOST',
      prefill: 'refuse',
    },
    {
      name: `F14 cut, and a fallback that ignores prefill, seed ${seed}`,
      faults: [{ kind: 'cut', afterPieces }],
      code: 'MAI_BACKEND_LOST',
      prefill: 'ignore',
    },
  ]),
  ...seeds.slice(0, Math.ceil(seeds.length / 2)).map(
    ({ seed, afterPieces }): Case => ({
      name: `F9 stall, seed ${seed}`,
      faults: [{ kind: 'stall', afterPieces }],
      code: 'MAI_BACKEND_TIMEOUT',
    }),
  ),
  {
    name: 'F9 stall behind comments that keep the connection alive',
    faults: [{ kind: 'stall', afterPieces: 4, keepAliveMs: 50 }],
    code: 'MAI_BACKEND_TIMEOUT',
  },
  { name: 'F12 context too long', faults: [{ kind: 'overflow', ...ever }], code: 'MAI_CONTEXT_OVERFLOW' },
  { name: 'F12 context too long, as vLLM says it', faults: [{ kind: 'overflow', words: 'vllm', ...ever }], code: 'MAI_CONTEXT_OVERFLOW' },
  {
    name: 'F12 context too long, as llama.cpp says it',
    faults: [{ kind: 'overflow', words: 'llama.cpp', ...ever }],
    code: 'MAI_CONTEXT_OVERFLOW',
  },
  {
    name: 'F12 context too long, as Ollama says it',
    faults: [{ kind: 'overflow', words: 'ollama', ...ever }],
    code: 'MAI_CONTEXT_OVERFLOW',
  },
  { name: 'a key that is refused', faults: [{ kind: 'status', status: 401, ...ever }], code: 'MAI_AUTH_REFUSED' },
  { name: 'an answer without content', faults: [{ kind: 'empty' }], code: 'empty' },
]

describe.concurrent('with a fallback', () => {
  it.each(cases)('$name: one complete answer, by the fallback, in bounded time', async ({ faults, code, prefill }) => {
    await using w = await world(faults, prefill ? { prefill } : {})
    const began = performance.now()
    const reply = await w.mai.processMessage(QUESTION)
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(reply).toMatchObject({ text: CANON, model: 'fallback/second', backend: 'fallback', finishReason: 'stop' })
    expect(reply.attempts.map((attempt) => [attempt.model, attempt.outcome, attempt.code])).toEqual([
      ['primary/first', 'failed', code],
      ['fallback/second', 'completed', undefined],
    ])
    expect(reply.switches).toMatchObject([{ from: 'primary/first', to: 'fallback/second' }])
    expectAccounting(reply)
    expect(w.primary.answers.length).toBe(1)
    expectNoHammering(w.primary)
    expectNoHammering(w.fallback)
    await expectAlive(w)
    expect(w.events.filter((type) => type.startsWith('message.'))).toEqual(['message.completed', 'message.completed'])
  })

  it('F11 end without end marker: a complete answer is a complete answer, and promptly', async () => {
    for (const open of [false, true]) {
      await using w = await world([{ kind: 'no-end-marker', open }])
      const began = performance.now()
      const reply = await w.mai.processMessage(QUESTION)
      expect(performance.now() - began).toBeLessThan(3000)
      expect(reply).toMatchObject({ text: CANON, model: 'primary/first', finishReason: 'stop', switches: [] })
      expect(reply.attempts.length).toBe(1)
    }
  })

  it.each([
    ['before the answer', undefined],
    ['in the middle of it', 5],
  ] as const)('F13 content filter %s: a clean error with the reason, not retried and not evaded', async (_, afterPieces) => {
    const reason = 'The prompt triggered the policy for violence.'
    await using w = await world([{ kind: 'filter', reason, ...(afterPieces === undefined ? {} : { afterPieces }), ...ever }])
    const error = await w.mai.processMessage(QUESTION).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'MAI_CONTENT_FILTERED',
      message: expect.stringMatching(afterPieces === undefined ? reason : 'violence'),
    })
    expect([w.primary.answers.length, w.fallback.answers.length]).toEqual([1, 0])
    expect(w.events).toEqual(['message.failed'])
    await expectAlive(w)
  })

  it('F15 a model that flaps for a minute is left alone between its failures, and comes back', async () => {
    let time = Date.now()
    await using w = await world([{ kind: 'status', status: 503, times: 4 }], { now: () => time })
    for (let message = 0; message < 30; message++) {
      expect((await w.mai.processMessage(`Message ${message}.`)).text).toBe(CANON)
      time += 2000
    }
    expect(w.primary.answers.length).toBeLessThanOrEqual(4)
    expect(w.events).toContain('circuit.opened')
    w.primary.faults.clear()
    time += 31_000
    const before = w.events.length
    expect((await w.mai.processMessage('Are you back?')).model).toBe('primary/first')
    // The journal and the turn state their facts each in its own time.
    await vi.waitFor(() => expect(w.events.slice(before)).toContain('circuit.closed'))
  })

  it('F16 usage and model are those of the model that finished', async () => {
    await using w = await world([{ kind: 'cut', afterPieces: 7 }])
    const reply = await w.mai.processMessage(QUESTION)
    const words = CANON.split(' ').length
    expect(reply.usage).toEqual({ promptTokens: 2 + 7, completionTokens: words - 7 })
  })
})

/** No more than the final model wrote and read. */
function expectAccounting({ usage }: Reply): void {
  const words = CANON.split(' ').length
  expect(usage.completionTokens).toBeGreaterThan(0)
  expect(usage.completionTokens).toBeLessThanOrEqual(words)
}

describe.concurrent('with a single model', () => {
  it.each([
    ['F1 429 with Retry-After', [{ kind: 'status', status: 429, retryAfter: '1' }], 1000],
    ['F3 500 once', [{ kind: 'status', status: 500 }], 0],
    ['F5 reset once', [{ kind: 'reset' }], 0],
    ['F8 cut once', [{ kind: 'cut', afterPieces: 9 }], 0],
    ['F10 malformed chunk', [{ kind: 'malformed', afterPieces: 3 }], 0],
  ] as const)('%s: the second attempt completes it', async (_, faults, leastMs) => {
    await using w = await world(faults, { fallback: false })
    const began = performance.now()
    const reply = await w.mai.processMessage(QUESTION)
    expect(performance.now() - began).toBeGreaterThanOrEqual(leastMs)
    expect(reply).toMatchObject({ text: CANON, model: 'primary/first', switches: [] })
    expect(reply.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'completed'])
  })

  it.each([
    ['F2 429 for ever', { kind: 'status', status: 429, ...ever }, 'MAI_RATE_LIMITED', 2],
    ['a wait that nobody would sit out', { kind: 'status', status: 429, retryAfter: '3600', ...ever }, 'MAI_RATE_LIMITED', 1],
    ['F4 503 for ever', { kind: 'status', status: 503, ...ever }, 'MAI_BACKEND_ERROR', 2],
    ['F6 silence', { kind: 'silence', ...ever }, 'MAI_BACKEND_TIMEOUT', 1],
    ['F12 context too long', { kind: 'overflow', ...ever }, 'MAI_CONTEXT_OVERFLOW', 1],
    ['F13 content filter', { kind: 'filter', ...ever }, 'MAI_CONTENT_FILTERED', 1],
    ['a redirect', { kind: 'redirect', location: 'http://127.0.0.1:9/v1', ...ever }, 'MAI_REQUEST_INVALID', 1],
  ] as const)('%s: one clear error, few requests, and the next message works', async (_, fault, code, requests) => {
    await using w = await world([fault], { fallback: false })
    await expect(w.mai.processMessage(QUESTION)).rejects.toMatchObject({ code })
    expect(w.primary.answers.length).toBe(requests)
    expectNoHammering(w.primary)
    expect(w.events.filter((type) => type.startsWith('message.'))).toEqual(['message.failed'])
    await expectAlive(w)
  })

  it('F8 and a server that is cut every time: a clear error, never half an answer as a whole one', async () => {
    await using w = await world([{ kind: 'cut', afterPieces: 3, ...ever }], { fallback: false })
    await expect(w.mai.processMessage(QUESTION)).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    const history = await w.mai.getConversationHistory()
    expect(history.at(-1)).toMatchObject({ role: 'assistant', complete: false })
    await expectAlive(w)
  })
})
