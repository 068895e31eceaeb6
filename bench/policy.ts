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
import { Journal } from '../src/chat/decisions/journal.ts'
import { packSelection, RecordReader } from '../src/chat/decisions/selection-record.ts'
import type { Candidate, RecordedEvent, SelectionRequest, SwitchingPolicy } from '../src/chat/policy.ts'
import { alwaysFirst, alwaysSmallest, largestThatFits } from '../src/chat/simulation/baselines.ts'
import { GENERATORS, generateTrace } from '../src/chat/simulation/generators.ts'
import { oracleWorth } from '../src/chat/simulation/oracle.ts'
import { SeededRandom } from '../src/chat/simulation/random.ts'
import { simulate } from '../src/chat/simulation/simulate.ts'
import { createKernel } from '../src/core/kernel.ts'
import { encode } from '../src/plugins/store/json.ts'
import { Connection } from '../src/plugins/store/sqlite.ts'
import { createStore, type OpenStore } from '../src/plugins/store/store.ts'
import { switchingPolicy } from '../src/plugins/switching/index.ts'
import { alternate, median, type Report, report } from './harness.ts'

const MODELS = 200
const RECORDS = 100_000
const DECISIONS = 5000
/** Each decision is made so often and the quickest counts: what interrupts it is the machine, not the policy. */
const REPEATS = 3
const ROUNDS = 11
const SEEDS = 30
/** Records read at once, as Mai does. */
const PAGE = 250
const GB = 1e9

const ours: SwitchingPolicy = switchingPolicy({
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

/** Questions in a row with the same model loaded. */
const STAYS = 25

/** One of the questions of a day; after some, another model is loaded. */
function question(index: number, time: number): SelectionRequest {
  const loaded = models[(Math.floor(index / STAYS) * 37) % MODELS]
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

/**
 * Fills a log with so many records, two decisions in five, with a snapshot of each policy every 250, as Mai writes
 * them; in few transactions, since a hundred thousand would only measure the disk.
 */
async function writeLog(file: string, policies: readonly SwitchingPolicy[], records: number): Promise<void> {
  const start = Date.UTC(2026, 0, 1)
  await opened(file, async (store) => {
    await store.appendRecord({ run: 'bench', time: start, type: 'candidates.listed', payload: { candidates: models } })
  })
  const list = { seq: 1, time: start, candidates: models }
  const states = policies.map((policy) => ({ policy, state: policy.initial() }))
  const connection = await Connection.open(file, 1000)
  try {
    let seq = 1
    let time = start
    const write = (type: RecordedEvent['type'], payload: unknown, short: unknown = payload): void => {
      seq++
      connection.run('INSERT INTO records (run, time, type, payload) VALUES (?, ?, ?, ?)', ['bench', time, type, encode(short)])
      // The records below are of their types.
      const event = { seq, run: 'bench', time, type, payload } as RecordedEvent
      for (const each of states) each.state = each.policy.reduce(each.state, event)
      if (seq % 250 > 0) return
      for (const { policy, state } of states) {
        const values = [policy.name, policy.version, seq, time, encode(state)]
        connection.run('INSERT INTO snapshots (policy, version, seq, time, state) VALUES (?, ?, ?, ?, ?)', values)
      }
    }
    // The same few hundred decisions over and over: making each would take longer than all that is measured.
    const decided = Array.from({ length: 300 }, (_, index) => {
      const request = question(index, start + index * 1000)
      const payload = { request, decision: ours.select(ours.initial(), request) }
      return { payload, short: packSelection(payload, list) }
    })
    const some = (index: number): void => {
      time += 20_000
      const { payload, short } = decided[index % decided.length] ?? {}
      write('model.selected', payload, short)
      const model = models[index % MODELS]?.model ?? ''
      write('generation.finished', { model, ms: 5000 + (index % 999), firstTokenMs: 400, completionTokens: 200 })
      if (index % 2 === 0) write('model.loaded', { model, contextLength: 8192, ms: 3000 })
      if (index % 20 === 0) write('generation.failed', { model, kind: 'loop', code: 'loop' })
    }
    for (let index = 0; seq < records; ) {
      connection.transaction(() => {
        for (const end = index + 400; index < end && seq < records; index++) some(index)
      })
    }
  } finally {
    connection.close()
  }
}

/** What it costs a turn to decide and to have that written, in ms. */
function turnTimes(file: string, policy: SwitchingPolicy): Promise<number[]> {
  return opened(file, async (store) => {
    let now = Date.now()
    const journal = new Journal(kernel.context, policy, store, `turns-${now}`, () => now)
    const times: number[] = []
    for (let index = 0; index < 300; index++) {
      now += 1000
      const request = question(index, now)
      const began = processorMs()
      await journal.select(request)
      times.push(processorMs() - began)
    }
    return times
  })
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
    const began = processorMs()
    await store.lastRecordSeq()
    const open = processorMs()
    await new Journal(kernel.context, policy, store, `start-${began}`, Date.now).preview({ ...question(1, Date.now()), candidates: [] })
    return processorMs() - open
  })
}

interface Replayed {
  readonly state: unknown
  /** All of it, and the folding alone. */
  readonly seconds: number
  readonly foldSeconds: number
  readonly records: number
}

/** Reads and folds the whole log, from its first record on. */
function replay(file: string, policy: SwitchingPolicy): Promise<Replayed> {
  return opened(file, async (store) => {
    const began = processorMs()
    const reader = new RecordReader(store)
    let state = policy.initial()
    let foldMs = 0
    let records = 0
    for (let after = 0; ; ) {
      const page = await store.records({ after, limit: PAGE })
      const whole = await reader.whole(page)
      const unfolded = processorMs()
      for (const event of whole) state = policy.reduce(state, event)
      foldMs += processorMs() - unfolded
      records += page.length
      const last = page.at(-1)
      if (!last || page.length < PAGE) break
      after = last.seq
    }
    return { state, seconds: (processorMs() - began) / 1000, foldSeconds: foldMs / 1000, records }
  })
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Processor time of this process so far, in ms: other work on the machine does not count. */
function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function decisionTimes(policy: SwitchingPolicy, state: unknown): number[] {
  const questions = Array.from({ length: 100 }, (_, index) => question(index, Date.UTC(2026, 1, 1) + index * 1000))
  for (let round = 0; round < 5; round++) for (const request of questions) policy.select(state, request)
  return Array.from({ length: DECISIONS }, (_, index) => {
    const request = questions[index % questions.length]
    let quickest = Number.POSITIVE_INFINITY
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      const began = performance.now()
      if (request) policy.select(state, request)
      quickest = Math.min(quickest, performance.now() - began)
    }
    return quickest
  })
}

const kernel = createKernel({ plugins: [], lists: [], hooks: {} })
await kernel.start()
const folder = mkdtempSync(path.join(os.tmpdir(), 'mai-bench-policy-'))
try {
  const rows = []
  const file = path.join(folder, 'full.db')
  const empty = path.join(folder, 'empty.db')
  await writeLog(file, [ours, alwaysFirst], RECORDS + 200)
  for (const policy of [ours, alwaysFirst]) {
    const starts = await alternate({ full: () => startMs(file, policy), empty: () => startMs(empty, policy) }, ROUNDS)
    const replayed = await replay(file, policy)
    const times = decisionTimes(policy, replayed.state)
    const turns = await turnTimes(path.join(folder, `${policy.name}.db`), policy)
    rows.push({
      policy: policy.name,
      median: median(times),
      p99: quantile(times, 0.99),
      turn: median(turns),
      turnP99: quantile(turns, 0.99),
      start: (starts.get('full')?.median ?? Number.NaN) - (starts.get('empty')?.median ?? Number.NaN),
      fold: replayed.foldSeconds,
      replay: replayed.seconds,
      bytes: statSync(file).size / replayed.records,
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
      `${DECISIONS.toLocaleString('en-GB')} decisions, by the clock, the quickest of ${REPEATS} each. Start-up: median of ${ROUNDS} against an empty log, in turn.`,
      'Start-up, turns and replays: processor time, which other work on the machine changes little. What "always-first" takes to replay is reading.',
      'Goals: p99 of a decision under 1 ms, start-up at most 10 ms more, a full replay under 2 s.',
    ],
  }
  report(process.argv.includes('--speed') ? speed : [speed, simulated()])
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
