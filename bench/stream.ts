/**
 * Streaming through Mai against the bare SDK, on the same unpaced server, in turn.
 *
 * @module
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { LMStudioClient } from '@lmstudio/sdk'
import { createMai } from '../src/chat/mai.ts'
import { compression } from '../src/plugins/compression/index.ts'
import { lmstudio } from '../src/plugins/lmstudio/index.ts'
import { resources } from '../src/plugins/resources/index.ts'
import { store } from '../src/plugins/store/index.ts'
import { switching } from '../src/plugins/switching/index.ts'
import { startLmStudioServer } from '../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../src/testing/scripted-engine.ts'
import { alternate, ratio, report } from './harness.ts'

const FRAGMENTS = 10_000
const ROUNDS = 9

const answer = Array.from({ length: FRAGMENTS }, (_, n) => ` word${n}`).join('')
const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-bench-'))
const server = await startLmStudioServer({
  models: [scriptedEngine({ key: 'fast', answer, pace: 'unpaced', maxContextLength: 100_000 })],
  preloaded: [{ model: 'fast', contextLength: 100_000 }],
})
const mai = await createMai({
  plugins: [store({ file: path.join(folder, 'mai.db') }), resources(), switching(), compression(), lmstudio({ baseUrl: server.baseUrl })],
})
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const bare = new LMStudioClient({ baseUrl: server.baseUrl, logger: silent, verboseErrorMessages: false })
const model = (await bare.llm.listLoaded())[0]
if (!model) throw new Error('nothing is loaded')

const firsts: Record<string, number[]> = { bare: [], mai: [] }

/** CPU in µs a fragment; the server in the same process costs both sides the same. */
async function cost(who: 'bare' | 'mai', stream: AsyncIterable<unknown>): Promise<number> {
  const began = performance.now()
  const cpu = process.cpuUsage()
  let first = 0
  for await (const _ of stream) first ||= performance.now() - began
  firsts[who]?.push(first)
  const { user, system } = process.cpuUsage(cpu)
  return (user + system) / FRAGMENTS
}

const rates: Record<string, number[]> = { bare: [], mai: [] }
async function measured(who: 'bare' | 'mai', stream: () => AsyncIterable<unknown>): Promise<number> {
  const began = performance.now()
  const cpu = await cost(who, stream())
  rates[who]?.push((FRAGMENTS * 1000) / (performance.now() - began))
  return cpu
}

let session = ''
const figures = await alternate(
  {
    mai: async () => {
      session = (await mai.openSession()).id
      return measured('mai', () => mai.streamMessage('Go.', { sessionId: session }))
    },
    bare: () => measured('bare', () => model.respond('Go.')),
  },
  ROUNDS,
)
const middle = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const rows = (['bare', 'mai'] as const).map((who) => ({
  who,
  cpu: figures.get(who)?.median ?? Number.NaN,
  rate: middle(rates[who] ?? []),
  first: middle(firsts[who] ?? []),
}))
report({
  title: `Streaming ${FRAGMENTS} fragments, unpaced`,
  columns: [
    { key: 'who', heading: 'through' },
    { key: 'cpu', heading: 'µs CPU a fragment' },
    { key: 'rate', heading: 'fragments/s', digits: 0 },
    { key: 'first', heading: 'ms to first' },
  ],
  rows,
  notes: [
    `Median of ${ROUNDS}, in turn; CPU Mai/bare ${ratio(figures, 'mai', 'bare').toFixed(2)}, rate Mai/bare ${(middle(rates.mai ?? []) / middle(rates.bare ?? [])).toFixed(2)}.`,
    'Goals: at most 20 µs more a fragment, rate at least 0.9 unpaced, at most 3 ms more to the first.',
  ],
})
await mai.shutdown()
await bare[Symbol.asyncDispose]()
await server.close()
await fs.rm(folder, { recursive: true, force: true })
