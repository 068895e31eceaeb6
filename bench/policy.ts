/**
 * The switching policy with 200 models and 100,000 records behind it: a decision, what a turn pays, start-up, a whole
 * replay; each beside a trivial policy ("always the first"). Then 30 days of each kind in simulation, beside
 * "largest that fits" and "always smallest".
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Journal } from '../src/chat/journal.ts'
import type { Candidate, RecordedEvent, SelectionRequest, SwitchingPolicy } from '../src/chat/policy.ts'
import { RecordReader } from '../src/chat/selection-record.ts'
import { alwaysFirst, alwaysSmallest, largestThatFits } from '../src/chat/simulation/baselines.ts'
import { GENERATORS, generateTrace } from '../src/chat/simulation/generators.ts'
import { oracleWorth } from '../src/chat/simulation/oracle.ts'
import { SeededRandom } from '../src/chat/simulation/random.ts'
import { simulate } from '../src/chat/simulation/simulate.ts'
import { createKernel } from '../src/core/kernel.ts'
import { createStore, type OpenStore } from '../src/plugins/store/store.ts'
import { switchingPolicy } from '../src/plugins/switching/index.ts'
import { alternate, median, type Report, report } from './harness.ts'

const MODELS = 200
const RECORDS = 100_000
const DECISIONS = 20_000
const ROUNDS = 11
const SEEDS = 30
const GB = 1e9

const ours = switchingPolicy({
  dwellMs: 30_000,
  upgradeAfterMs: 300_000,
  headroom: 0.2,
  cooldownMs: 30_000,
  waitWeight: 1.2,
  switchWeight: 0.3,
})
const random = new SeededRandom(1)
const FAMILIES = ['qwen2.5', 'llama-3.2', 'gemma-3', 'mistral', 'phi-4', 'smollm2']
const models = Array.from({ length: MODELS }, (_, index): Candidate => {
  const billions = random.pick([0.5, 1, 1.5, 3, 4, 7, 8, 14, 27, 32])
  const bits = random.pick([4.5, 5.5, 8])
  const weightsBytes = Math.round((billions * GB * bits) / 8)
  const kvBytes = Math.round(0.1 * GB * Math.sqrt(billions))
  return {
    model: `lmstudio/${random.pick(FAMILIES)}-${billions}b-${random.pick(['instruct', 'coder', 'chat', 'math'])}-number-${index}`,
    remote: false,
    allowed: true,
    sizeBytes: weightsBytes,
    parameters: billions * GB,
    quantisationBits: bits,
    quality: undefined,
    maxContextLength: 131_072,
    abilities: { vision: index % 7 === 0, tools: index % 2 === 0, reasoning: index % 11 === 0 },
    architecture: 'llama',
    loadedContextLength: undefined,
    plannedContextLength: 8192,
    memory: { weightsBytes, kvBytes, computeBytes: 3e8, totalBytes: weightsBytes + kvBytes + 3e8, source: 'header', confidence: 0.95 },
    reclaimableBytes: 0,
    ownBytes: 0,
  }
})

/** One of the questions of a day; another model is loaded each time. */
function question(index: number, time: number): SelectionRequest {
  const loaded = models[(index * 37) % MODELS]
  const reclaimableBytes = loaded?.memory.totalBytes ?? 0
  return {
    time,
    purpose: 'turn',
    sessionId: `session-${index % 40}`,
    turnId: `turn-${index}`,
    current: loaded?.model,
    requested: undefined,
    needs: {
      contextTokens: 1024 + (index % 5) * 500,
      vision: index % 50 === 0,
      tools: false,
      task: random.pick(['chat', 'code', 'analysis']),
    },
    resources: {
      time,
      memory: { totalBytes: 64 * GB, availableBytes: random.between(5, 50) * GB, swapUsedBytes: 0 },
      cpu: { cores: 8, load: 0.1 },
      gpus: [],
      memoryStall: undefined,
      battery: undefined,
      level: index % 9 === 0 ? 'pressured' : 'normal',
    },
    candidates: models.map((model) =>
      model === loaded
        ? { ...model, loadedContextLength: 8192, ownBytes: reclaimableBytes, reclaimableBytes }
        : { ...model, reclaimableBytes },
    ),
    failed: [],
  }
}

/** Writes a log of so many records, as Mai does: two decisions in five records. @returns what a decision cost, in ms */
async function writeLog(store: OpenStore, policy: SwitchingPolicy, records: number): Promise<number[]> {
  let now = Date.UTC(2026, 0, 1)
  const journal = new Journal(kernel.context, policy, store, 'bench', () => now)
  const costs: number[] = []
  for (let index = 0, written = 2; written < records; index++) {
    now += 20_000
    const request = question(index, now)
    const began = performance.now()
    const { model } = await journal.select(request)
    costs.push(performance.now() - began)
    written++
    if (model === undefined) continue
    const used = models[index % MODELS]?.model ?? model
    await journal.record('generation.finished', { model: used, ms: 5000 + (index % 999), firstTokenMs: 400, completionTokens: 200 })
    written++
    if (index % 2 === 0) {
      await journal.record('model.loaded', { model: used, contextLength: 8192, ms: 3000 })
      written++
    }
    if (index % 20 === 0) {
      await journal.record('generation.failed', { model: used, kind: 'loop', code: 'loop' })
      written++
    }
  }
  await journal.settled()
  return costs
}

async function opened<T>(file: string, work: (store: OpenStore) => Promise<T>): Promise<T> {
  const store = createStore({ file, ownFolder: false })
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

/** Until the policy has its state, from a closed file, in ms. */
function startMs(file: string, policy: SwitchingPolicy): Promise<number> {
  return opened(file, async (store) => {
    const began = performance.now()
    await store.lastRecordSeq()
    const open = performance.now()
    await new Journal(kernel.context, policy, store, `start-${began}`, Date.now).preview({ ...question(1, Date.now()), candidates: [] })
    return performance.now() - open
  })
}

/** Reads and folds the whole log. @returns s */
function replay(file: string, policy: SwitchingPolicy): Promise<number> {
  return opened(file, async (store) => {
    const began = performance.now()
    const reader = new RecordReader(store)
    let state = policy.initial()
    for (let after = 0; ; ) {
      const page = await store.records({ after, limit: 1000 })
      for (const event of await reader.whole(page)) state = policy.reduce(state, event)
      const last = page.at(-1)
      if (!last || page.length < 1000) break
      after = last.seq
    }
    return (performance.now() - began) / 1000
  })
}

async function readAll(file: string): Promise<RecordedEvent[]> {
  return opened(file, async (store) => new RecordReader(store).whole(await store.records()))
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function decisionTimes(policy: SwitchingPolicy, events: readonly RecordedEvent[]): number[] {
  const state = events.reduce((folded, event) => policy.reduce(folded, event), policy.initial())
  const questions = Array.from({ length: 500 }, (_, index) => question(index, Date.UTC(2026, 1, 1) + index * 1000))
  for (const request of questions) policy.select(state, request)
  return Array.from({ length: DECISIONS }, (_, index) => {
    const request = questions[index % questions.length]
    const began = performance.now()
    if (request) policy.select(state, request)
    return performance.now() - began
  })
}

function foldSeconds(policy: SwitchingPolicy, events: readonly RecordedEvent[]): number {
  const began = performance.now()
  events.reduce((folded, event) => policy.reduce(folded, event), policy.initial())
  return (performance.now() - began) / 1000
}

const kernel = createKernel({ plugins: [], lists: [], hooks: {} })
await kernel.start()
const folder = mkdtempSync(path.join(os.tmpdir(), 'mai-bench-policy-'))
try {
  const rows = []
  const empty = path.join(folder, 'empty.db')
  for (const policy of [ours, alwaysFirst]) {
    const file = path.join(folder, `${policy.name}.db`)
    const costs = await opened(file, (store) => writeLog(store, policy, RECORDS))
    const events = await readAll(file)
    const times = decisionTimes(policy, events)
    const starts = await alternate({ full: () => startMs(file, policy), empty: () => startMs(empty, policy) }, ROUNDS)
    rows.push({
      policy: policy.name,
      median: median(times),
      p99: quantile(times, 0.99),
      turn: median(costs),
      turnP99: quantile(costs, 0.99),
      start: (starts.get('full')?.median ?? Number.NaN) - (starts.get('empty')?.median ?? Number.NaN),
      fold: foldSeconds(policy, events),
      replay: await replay(file, policy),
      bytes: statSync(file).size / events.length,
    })
  }
  const speed = {
    title: `The policy with ${MODELS} models and ${RECORDS.toLocaleString('en-GB')} records`,
    columns: [
      { key: 'policy', heading: 'policy' },
      { key: 'median', heading: 'decision, ms', digits: 3 },
      { key: 'p99', heading: 'p99, ms', digits: 3 },
      { key: 'turn', heading: 'decide and write, ms', digits: 2 },
      { key: 'turnP99', heading: 'p99, ms', digits: 2 },
      { key: 'start', heading: 'start-up adds, ms' },
      { key: 'fold', heading: 'fold all, s', digits: 2 },
      { key: 'replay', heading: 'read and fold all, s', digits: 2 },
      { key: 'bytes', heading: 'bytes a record', digits: 0 },
    ],
    rows,
    notes: [
      `${DECISIONS.toLocaleString('en-GB')} decisions; start-up: median of ${ROUNDS} against an empty log, in turn.`,
      'Goals: p99 of a decision under 1 ms, start-up at most 10 ms more, a full replay under 2 s.',
    ],
  }
  report([speed, simulated()])
} finally {
  rmSync(folder, { recursive: true, force: true })
  await kernel.close()
}

function simulated(): Report {
  const rows = GENERATORS.flatMap((name) => {
    const sums = [ours, largestThatFits, alwaysSmallest].map((policy) => ({
      policy,
      regret: 0,
      switches: 0,
      hasty: 0,
      overloads: 0,
      exceeded: 0,
      failures: 0,
    }))
    for (let seed = 1; seed <= SEEDS; seed++) {
      const trace = generateTrace(name, seed)
      const bound = oracleWorth(trace)
      for (const sum of sums) {
        const outcome = simulate(trace, sum.policy)
        sum.regret += (100 * (1 - outcome.worth / bound)) / SEEDS
        sum.switches += outcome.switches.length / SEEDS
        sum.hasty += outcome.hasty
        sum.overloads += outcome.overloads
        sum.exceeded += outcome.exceededMs / 60_000 / SEEDS
        sum.failures += outcome.failures.length
      }
    }
    const best = Math.min(...sums.slice(1).map(({ regret }) => regret))
    return sums.map(({ policy, ...sum }) => ({
      generator: name,
      policy: policy.name,
      ...sum,
      share: policy === ours ? sum.regret / best : '',
    }))
  })
  return {
    title: `Days in simulation, ${SEEDS} seeds each`,
    columns: [
      { key: 'generator', heading: 'day' },
      { key: 'policy', heading: 'policy' },
      { key: 'regret', heading: 'regret, %' },
      { key: 'share', heading: 'of the better other', digits: 2 },
      { key: 'switches', heading: 'switches a day' },
      { key: 'hasty', heading: 'hasty switches', digits: 0 },
      { key: 'overloads', heading: 'loads above free', digits: 0 },
      { key: 'exceeded', heading: 'exceeded, min a day' },
      { key: 'failures', heading: 'unanswered', digits: 0 },
    ],
    rows,
    notes: ['Goals: no load above free memory, no two unforced switches within 30 s, regret at most half of either other.'],
  }
}
