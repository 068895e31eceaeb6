/**
 * Streaming through Mai against the bare SDK, on the same server, in turn: as fast as it goes, and at a steady rate.
 *
 * @module
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { LMStudioClient } from '@lmstudio/sdk'
import { createMai, type Mai } from '../src/chat/mai.ts'
import type { Plugin } from '../src/core/plugin.ts'
import { compression } from '../src/plugins/compression/index.ts'
import { lmstudio } from '../src/plugins/lmstudio/index.ts'
import { resources } from '../src/plugins/resources/index.ts'
import { store } from '../src/plugins/store/index.ts'
import { struggle } from '../src/plugins/struggle/index.ts'
import { switching } from '../src/plugins/switching/index.ts'
import { startLmStudioServer } from '../src/testing/lmstudio-server/server.ts'
import { type Pace, scriptedEngine } from '../src/testing/scripted-engine.ts'
import { alternate, median, type Report, ratio, report } from './harness.ts'

const FRAGMENTS = 10_000
const ROUNDS = 9
/** Fragments a second, where there is a pace. */
const RATE = 10_000
/** Between two answers, in ms: what Mai does in the background belongs to neither side. */
const REST_MS = 250

const NAMES = { bare: 'bare SDK', mai: 'Mai', watched: 'Mai, watched' } as const
type Who = keyof typeof NAMES

interface Run {
  /** µs of CPU a fragment; the server in the same process costs both sides the same. */
  readonly cpu: number
  /** Fragments a second, from the first of them to the end of the stream, when Mai has stored the answer. */
  readonly rate: number
  /** ms to the first fragment. */
  readonly first: number
}

async function measured(stream: () => AsyncIterable<unknown>): Promise<Run> {
  await pause(REST_MS)
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  let first = 0
  for await (const _ of stream()) first ||= performance.now() - began
  const ms = performance.now() - began
  const { user, system } = process.cpuUsage(cpuBefore)
  return { cpu: (user + system) / FRAGMENTS, rate: (FRAGMENTS * 1000) / (ms - first), first }
}

async function compared(title: string, pace: Pace, goals: string): Promise<Report> {
  const answer = Array.from({ length: FRAGMENTS }, (_, n) => ` word${n}`).join('')
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-bench-'))
  const server = await startLmStudioServer({
    models: [scriptedEngine({ key: 'fast', answer, pace, maxContextLength: 100_000 })],
    preloaded: [{ model: 'fast', contextLength: 100_000 }],
  })
  const open = (name: string, ...more: readonly Plugin[]): Promise<Mai> =>
    createMai({
      plugins: [
        store({ file: path.join(folder, `${name}.db`) }),
        resources(),
        switching(),
        compression(),
        lmstudio({ baseUrl: server.baseUrl }),
        ...more,
      ],
    })
  const mai = await open('mai')
  const watched = await open('watched', struggle())
  const silent = { debug() {}, info() {}, warn() {}, error() {} }
  const bare = new LMStudioClient({ baseUrl: server.baseUrl, logger: silent, verboseErrorMessages: false })
  const model = (await bare.llm.listLoaded())[0]
  if (!model) throw new Error('nothing is loaded')

  const runs: Record<Who, Run[]> = { bare: [], mai: [], watched: [] }
  const taken = (who: Who, run: Run): number => {
    runs[who].push(run)
    return run.rate
  }
  const streamed = async (who: Who, through: Mai): Promise<number> => {
    const { id } = await through.openSession()
    return taken(who, await measured(() => through.streamMessage('Go.', { sessionId: id })))
  }
  const rates = await alternate(
    {
      mai: () => streamed('mai', mai),
      bare: async () => taken('bare', await measured(() => model.respond('Go.'))),
      watched: () => streamed('watched', watched),
    },
    ROUNDS,
  )
  await mai.shutdown()
  await watched.shutdown()
  await bare[Symbol.asyncDispose]()
  await server.close()
  await fs.rm(folder, { recursive: true, force: true })

  const middle = (who: Who, key: keyof Run): number => median(runs[who].slice(1).map((run) => run[key]))
  /** Median of what each run took more than the bare one of its round: the machine's slow moments are on both sides. */
  const difference = (who: Who, key: keyof Run): string =>
    median(runs[who].slice(1).map((run, round) => run[key] - (runs.bare[round + 1]?.[key] ?? Number.NaN))).toFixed(1)
  const beside = (who: Exclude<Who, 'bare'>): string =>
    `${NAMES[who]}: ${difference(who, 'cpu')} µs more CPU a fragment, ${ratio(rates, who, 'bare').toFixed(3)} of the rate, ${difference(who, 'first')} ms more to the first.`
  return {
    title,
    columns: [
      { key: 'through', heading: 'through' },
      { key: 'cpu', heading: 'µs CPU a fragment' },
      { key: 'rate', heading: 'fragments/s', digits: 0 },
      { key: 'first', heading: 'ms to first' },
    ],
    rows: (['bare', 'mai', 'watched'] as const).map((who) => ({
      through: NAMES[who],
      cpu: middle(who, 'cpu'),
      rate: middle(who, 'rate'),
      first: middle(who, 'first'),
    })),
    notes: [
      beside('mai'),
      beside('watched'),
      `Median of ${ROUNDS}, in turn. Watched: by the plugin struggle too, which reads every character, as the default set does.`,
      `Goals: ${goals}`,
    ],
  }
}

report([
  await compared(
    `Streaming ${FRAGMENTS} fragments as fast as it goes`,
    'unpaced',
    'at most 20 µs more, at least 0.9 of the rate, at most 3 ms more to the first.',
  ),
  await compared(`Streaming ${FRAGMENTS} fragments at ${RATE} a second`, { perSecond: RATE }, 'at least 0.99 of the rate.'),
])
