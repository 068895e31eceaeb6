import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { type EndpointOptions, openaiCompatible } from '../../src/plugins/openai-compatible/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import type { OpenAiFault } from '../../src/testing/openai-server/faults.ts'
import { type OpenAiServer, type OpenAiServerOptions, startOpenAiServer } from '../../src/testing/openai-server/server.ts'
import { resourceTrace } from '../../src/testing/resource-trace.ts'

const CANON = 'Seven herons stood in the shallows, and each of them was sure that the river had come to see it.'
const answer = (question: string): string => (question.startsWith('Count from one') ? 'one two three four five six' : CANON)

interface World extends AsyncDisposable {
  readonly mai: Mai
  readonly servers: readonly OpenAiServer[]
}

/** One plugin with an endpoint for each server, all of which serve `same` unless told otherwise. */
async function pool(servers: readonly (Partial<OpenAiServerOptions> & { readonly endpoint?: Partial<EndpointOptions> })[]): Promise<World> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-pool-'))
  const started = await Promise.all(servers.map((options) => startOpenAiServer({ models: [{ id: 'same', answer }], ...options })))
  const endpoints = started.map(({ baseUrl }, index) => ({ baseUrl, ...servers[index]?.endpoint }))
  const plugins = [
    store({ file: path.join(folder, 'mai.db') }),
    resourceTrace().plugin,
    switching(),
    compression(),
    openaiCompatible({ endpoints, connectMs: 300 }),
  ]
  const mai = await createMai({ plugins, turn: { firstTokenMs: 700, gapMs: 700 } })
  const end = async (): Promise<void> => {
    await mai.shutdown()
    await Promise.all(started.map((server) => server.close()))
    await fs.rm(folder, { recursive: true, force: true })
  }
  return { mai, servers: started, [Symbol.asyncDispose]: end }
}

const asked = ({ servers }: World): number[] => servers.map((server) => server.answers.length)
const ever = { times: Infinity } as const

describe.concurrent('one model on several endpoints', () => {
  it.each<[string, OpenAiFault]>([
    ['a reset', { kind: 'reset', ...ever }],
    ['an overload', { kind: 'status', status: 503, ...ever }],
    ['a rate limit that asks to wait', { kind: 'status', status: 429, retryAfter: '20', ...ever }],
    ['a refused key', { kind: 'status', status: 401, ...ever }],
    ['silence', { kind: 'silence', ...ever }],
    ['a cut in the middle', { kind: 'cut', afterPieces: 6, ...ever }],
    ['a stall in the middle', { kind: 'stall', afterPieces: 6, ...ever }],
  ])('goes on at the other endpoint after %s, and leaves the broken one alone', async (_, fault) => {
    await using w = await pool([{ faults: [fault], endpoint: { weight: 1000 } }, {}])
    const began = performance.now()
    for (let message = 0; message < 6; message++) {
      expect(await w.mai.processMessage('Go on.')).toMatchObject({ text: CANON, model: 'openai-compatible/same', switches: [] })
    }
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(asked(w)[0]).toBe(1)
  })

  it('gives up with one clear error when all endpoints fail, having asked each once or twice', async () => {
    await using w = await pool([{ faults: [{ kind: 'reset', ...ever }] }, { faults: [{ kind: 'reset', ...ever }] }])
    await expect(w.mai.processMessage('Go on.')).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    expect(Math.max(...asked(w))).toBeLessThanOrEqual(2)
    for (const server of w.servers) server.faults.clear()
    expect((await w.mai.processMessage('Go on.')).text).toBe(CANON)
  })

  it('does not ask the other endpoint what a filter refused', async () => {
    await using w = await pool([{ faults: [{ kind: 'filter', ...ever }] }, { faults: [{ kind: 'filter', ...ever }] }])
    await expect(w.mai.processMessage('Go on.')).rejects.toMatchObject({ code: 'MAI_CONTENT_FILTERED' })
    expect(asked(w).reduce((sum, requests) => sum + requests)).toBe(1)
  })
})

describe.concurrent('models of two names in one plugin', () => {
  it('prefers the first that is configured, and falls back to the second', async () => {
    const first = { models: [{ id: 'zebra', answer }] }
    await using w = await pool([{ ...first, faults: [{ kind: 'cut', afterPieces: 5 }] }, { models: [{ id: 'aardvark', answer }] }])
    const reply = await w.mai.processMessage('Go on.')
    expect(reply).toMatchObject({ text: CANON, model: 'openai-compatible/aardvark' })
    expect(reply.attempts.map(({ model }) => model)).toEqual(['openai-compatible/zebra', 'openai-compatible/aardvark'])
  })
})

describe.concurrent('an endpoint on another machine', () => {
  it('is never chosen by itself, not even when all else fails, and is not asked', async () => {
    const far = { endpoint: { baseUrl: 'http://192.0.2.1/v1', models: ['far'] } }
    await using w = await pool([{ faults: [{ kind: 'status', status: 503, ...ever }] }, far])
    await expect(w.mai.processMessage('Go on.')).rejects.toMatchObject({ code: 'MAI_BACKEND_ERROR' })
    // The local one was given its second attempt: what may not be chosen is no alternative.
    expect(asked(w)).toEqual([2, 0])
    const rows = await w.mai.models.rows()
    expect(rows.map(({ model, excluded }) => [model.id, model.remote, excluded])).toEqual([
      ['same', false, 'circuit'],
      ['far', true, 'remote'],
    ])
  })

  it('may be asked for by name', async () => {
    await using w = await pool([{}, { endpoint: { baseUrl: 'http://192.0.2.1/v1', models: ['far'] } }])
    const reply = await w.mai.processMessage('Go on.', { model: 'far' })
    // It does not answer: the one on this machine does.
    expect(reply.attempts.map(({ model }) => model)).toEqual(['openai-compatible/far', 'openai-compatible/same'])
  })
})
