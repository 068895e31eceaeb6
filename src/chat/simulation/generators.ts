/**
 * Synthetic days: machines, models and what happens to them, from a seed.
 *
 * @module
 */
import type { Needs, TaskKind } from '../policy.ts'
import { SeededRandom } from './random.ts'
import type { Trace, TraceEvent, TraceModel } from './trace.ts'

const GIB = 2 ** 30
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** Window that models are loaded with, in tokens. */
const WINDOW = 8192
/** However much others take, so much stays for the smallest model, in bytes. */
const LEAST_FREE = GIB

/** Usual lengths of answers beyond a sentence, in tokens. */
const ANSWER_TOKENS: Readonly<Record<TaskKind, number>> = {
  chat: 180,
  code: 320,
  mathematics: 250,
  analysis: 350,
  translation: 150,
  image: 150,
}

/** The kinds of days. */
export const GENERATORS = ['steady', 'bursty', 'daily', 'memory-hog', 'failing-model', 'flapping-server'] as const
export type GeneratorName = (typeof GENERATORS)[number]

interface Sketch {
  readonly id: string
  readonly billions: number
  readonly bits: number
  readonly vision?: boolean
  /** How far its generation is ahead of a plain model of its size, in doublings of parameters. */
  readonly ahead: number
  /** Where it is better than its size, by so many doublings; worse elsewhere by half of that. */
  readonly for?: TaskKind
}

/** Models that people have. Every machine has the first four, and some of the others. */
const MODELS: readonly Sketch[] = [
  { id: 'smollm2-360m-instruct', billions: 0.36, bits: 8, ahead: 0 },
  { id: 'smolvlm-500m-instruct', billions: 0.5, bits: 8, ahead: -0.2, vision: true },
  { id: 'qwen2.5-7b-instruct', billions: 7.6, bits: 4.5, ahead: 0.5 },
  { id: 'llama-3.2-1b-instruct', billions: 1.24, bits: 8, ahead: 0.3 },
  { id: 'qwen2.5-1.5b-instruct', billions: 1.5, bits: 4.5, ahead: 0.4 },
  { id: 'qwen2.5-3b-instruct', billions: 3.1, bits: 4.5, ahead: 0.4 },
  { id: 'gemma-3-4b-it', billions: 4.3, bits: 4.5, ahead: 0.6, vision: true },
  { id: 'qwen2.5-coder-7b-instruct', billions: 7.6, bits: 4.5, ahead: 0.4, for: 'code' },
  { id: 'llama-3.1-8b-instruct', billions: 8, bits: 8, ahead: 0.3 },
  { id: 'mathstral-7b', billions: 7.2, bits: 4.5, ahead: 0.2, for: 'mathematics' },
  { id: 'phi-4-14b', billions: 14.7, bits: 4.5, ahead: 0.5 },
  { id: 'gemma-3-27b-it', billions: 27.4, bits: 4.5, ahead: 0.6, vision: true },
  { id: 'qwen2.5-32b-instruct', billions: 32.8, bits: 4.5, ahead: 0.5 },
  { id: 'llama-3.3-70b-instruct', billions: 70.6, bits: 4.5, ahead: 0.4 },
]

/** A day, or several. The same name, seed and days, the same trace. */
export function generateTrace(name: GeneratorName, seed: number, days = 1): Trace {
  const random = new SeededRandom(seed * 2_654_435_761 + GENERATORS.indexOf(name) + 1)
  const totalBytes = random.pick([16, 32, 32, 64]) * GIB
  const models = modelsOf(random, totalBytes)
  const end = days * DAY
  const events: TraceEvent[] = [
    ...memoryOf(name, random, totalBytes, end),
    ...messagesOf(name, random, end),
    ...(name === 'failing-model' ? faultsOf(random, models, end) : []),
    ...(name === 'flapping-server' ? outagesOf(random, end) : []),
  ]
  events.sort((a, b) => a.at - b.at)
  return {
    machine: { type: 'machine', version: 1, name: `${name} ${seed}`, totalBytes },
    models,
    events: [...events, { type: 'end', at: end }],
  }
}

function modelsOf(random: SeededRandom, totalBytes: number): TraceModel[] {
  const bandwidth = random.between(30e9, 60e9)
  return MODELS.filter((_, index) => index < 4 || random.next() < 0.6).map((sketch, index): TraceModel => {
    const { id, billions, bits, ahead, vision, for: task } = sketch
    const weightsBytes = Math.round((billions * 1e9 * bits) / 8)
    const tokensPerSecond = (bandwidth / weightsBytes) * random.between(0.85, 1.15)
    const special = random.between(0.7, 1.5)
    // A name does not tell all: quality strays from what size and generation promise.
    const quality = Math.log2(1 + 8 * billions) + ahead - (bits < 5 ? 0.1 : 0) + random.normal(0.3) - (task ? special / 2 : 0)
    return {
      type: 'model',
      // Two engines, so that the end of one is not the end of all.
      model: `${index % 3 === 1 ? 'llamacpp' : 'lmstudio'}/${id}`,
      weightsBytes,
      kvBytes: Math.round(44.75 * billions ** 0.478 * 1024 * WINDOW),
      computeBytes: Math.min(345 * 2 ** 20, totalBytes / 64),
      parameters: billions * 1e9,
      bits,
      contextLength: WINDOW,
      quality,
      ...(task ? { qualityFor: { [task]: quality + 1.5 * special } } : {}),
      tokensPerSecond,
      prefillPerSecond: tokensPerSecond * random.between(6, 14),
      loadMs: Math.round(1000 + weightsBytes / 1e6 / random.between(0.6, 2)),
      vision: vision ?? false,
      tools: true,
    }
  })
}

/** What other programs leave, as steps. */
function memoryOf(name: GeneratorName, random: SeededRandom, totalBytes: number, end: number): TraceEvent[] {
  const base = random.between(0.12, 0.25)
  const steps: TraceEvent[] = []
  /** @param used share of all memory */
  const step = (at: number, used: number): void => {
    const freeBytes = Math.round(Math.max(LEAST_FREE, totalBytes * (1 - used)))
    if (at < end) steps.push({ type: 'memory', at: Math.round(at), freeBytes })
  }
  const drift = (): number => base + random.between(-0.02, 0.02)
  step(0, base)
  switch (name) {
    case 'bursty':
      // A compiler, a video call, a game: there for minutes, gone again.
      for (let at = random.exponential(20 * MINUTE); at < end; at += random.exponential(25 * MINUTE)) {
        step(at, random.between(0.35, 0.93))
        at += random.between(0.3 * MINUTE, 12 * MINUTE)
        step(at, drift())
      }
      break
    case 'daily':
      for (let at = 0; at < end; at += 10 * MINUTE) {
        const hour = (at % DAY) / HOUR
        const work = hour >= 9 && hour < 18 ? 0.2 + 0.03 * (hour - 9) : 0
        const game = hour >= 20 && hour < 22.5 ? 0.45 : 0
        step(at, drift() + work + game + random.between(0, 0.04))
      }
      break
    case 'memory-hog': {
      // It leaks until somebody ends it.
      let used = base
      for (let at = 0; at < end; at += 5 * MINUTE) {
        used += random.between(0, 0.03)
        if (used > 0.96) used = drift()
        step(at, used)
      }
      break
    }
    default:
      for (let at = HOUR; at < end; at += HOUR) step(at, drift())
  }
  return steps
}

/** Conversations from seven in the morning until midnight: some messages with pauses for reading, then a longer pause. */
function messagesOf(name: GeneratorName, random: SeededRandom, end: number): TraceEvent[] {
  const messages: TraceEvent[] = []
  const pause = name === 'bursty' ? 50 * MINUTE : 25 * MINUTE
  for (let at = random.exponential(HOUR), session = 0; at < end; session++) {
    const task = random.pick<TaskKind>(['chat', 'chat', 'chat', 'code', 'code', 'analysis', 'mathematics', 'translation'])
    const count = 1 + Math.floor(random.exponential(6))
    let history = 0
    for (let index = 0; index < count && at < end; index++) {
      const hour = (at % DAY) / HOUR
      if (hour < 7) {
        at += (7 - hour) * HOUR
        continue
      }
      const own = Math.round(30 + random.exponential(150))
      const answerTokens = Math.round(60 + random.exponential(ANSWER_TOKENS[task]))
      const vision = random.next() < 0.03
      history = Math.min(4000, history + own)
      const needs: Needs = {
        contextTokens: Math.max(1024, Math.min(3500, history + 512)),
        vision,
        tools: false,
        task: vision ? 'image' : task,
        promptTokens: history,
      }
      messages.push({ type: 'message', at: Math.round(at), session: `s${session}`, needs, answerTokens })
      history = Math.min(4000, history + answerTokens)
      // Read the answer, think, write.
      at += 60_000 + answerTokens * 250 + random.exponential(name === 'bursty' ? MINUTE : 3 * MINUTE)
    }
    at += random.exponential(pause)
  }
  return messages
}

/** One or two models have bad hours: they loop, crash or cannot be loaded. */
function faultsOf(random: SeededRandom, models: readonly TraceModel[], end: number): TraceEvent[] {
  const faults: TraceEvent[] = []
  const weak = [random.pick(models.slice(1)), random.pick(models.slice(1))]
  for (const { model } of new Set(weak)) {
    for (let at = random.exponential(2 * HOUR); at < end; at += random.exponential(3 * HOUR)) {
      const until = at + random.between(2 * MINUTE, 90 * MINUTE)
      faults.push({
        type: 'fault',
        at: Math.round(at),
        until: Math.round(until),
        model,
        kind: random.pick(['loop', 'crashed', 'load-failed', 'stall']),
      })
      at = until
    }
  }
  return faults
}

/** The server that most models belong to goes and comes, sometimes for seconds, sometimes for an hour. */
function outagesOf(random: SeededRandom, end: number): TraceEvent[] {
  const outages: TraceEvent[] = []
  for (let at = random.exponential(HOUR); at < end; at += random.exponential(HOUR)) {
    const until = at + (random.next() < 0.7 ? random.between(3000, 90_000) : random.between(5 * MINUTE, HOUR))
    outages.push({ type: 'outage', at: Math.round(at), until: Math.round(until), backend: 'lmstudio' })
    at = until
  }
  return outages
}
