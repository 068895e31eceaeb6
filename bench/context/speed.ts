/**
 * How long a turn waits for its prompt, and a message for its place in the index.
 *
 * @module
 */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { conversations } from '../../src/plugins/store/conversations.ts'
import { Database } from '../../src/plugins/store/database.ts'
import { indexMessages } from '../../src/plugins/store/indexing.ts'
import { createStore } from '../../src/plugins/store/store.ts'
import { DEFAULTS, openAssembler } from './assembler.ts'
import { fill, type Line } from './fill.ts'
import { generateConversation } from './generate.ts'

/** Figures of one history. */
export interface Speed {
  readonly messages: number
  /** Assembly by window, in ms: median and 95th percentile by the clock, median of the processor's time. */
  readonly assembly: readonly { readonly contextLength: number; readonly p50: number; readonly p95: number; readonly cpu: number }[]
  /** Indexing one message, commits included, in ms: median. */
  readonly indexing: number
  /** Of the whole process afterwards, in MB. */
  readonly rss: number
}

const SESSION = 'long'
const ROUNDS = 40
/** Tokens of a generated message, about. */
const MESSAGE_TOKENS = 34

/** @param tokens of the history, about */
export async function measureSpeed(tokens: number, windows: readonly number[]): Promise<Speed> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-speed-'))
  const file = path.join(folder, 'mai.db')
  const messages = Math.round(tokens / MESSAGE_TOKENS)
  const questions: string[] = []
  try {
    await fill(file, SESSION, lines(messages, questions))
    const indexing = await measureIndexing(file)
    const store = createStore({ file, ownFolder: false })
    const { assemble, tokens: estimator } = openAssembler(store)
    await estimator.load()
    const assembly: Speed['assembly'][number][] = []
    for (const contextLength of windows) {
      const clock: number[] = []
      const cpu: number[] = []
      for (let round = -5; round < ROUNDS; round++) {
        const text = questions[Math.abs(round * 131) % questions.length] ?? ''
        const id = `${contextLength}-${round}`
        const stored = await store.appendMessage({
          id,
          sessionId: SESSION,
          turnId: id,
          role: 'user',
          parts: [{ type: 'text', text }],
          time: Date.UTC(2031, 0, 1),
          complete: true,
        })
        await store.instructions(SESSION, { before: stored.seq, limit: 1 })
        const used = process.cpuUsage()
        const began = performance.now()
        await assemble({ message: stored, model: 'bench/model', contextLength, options: DEFAULTS })
        const took = performance.now() - began
        const { user, system } = process.cpuUsage(used)
        // The first ones warm up.
        if (round >= 0) clock.push(took), cpu.push((user + system) / 1000)
      }
      assembly.push({ contextLength, p50: at(clock, 0.5), p95: at(clock, 0.95), cpu: at(cpu, 0.5) })
    }
    await store.close()
    return { messages, assembly, indexing, rss: process.memoryUsage().rss / 1e6 }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function* lines(count: number, questions: string[]): Generator<Line> {
  let left = count
  for (let seed = 1; ; seed++) {
    const conversation = generateConversation(seed, 50)
    if (questions.length < 1000) questions.push(...conversation.questions.map(({ text }) => text))
    for (const { speaker, text } of conversation.turns) {
      if (left-- <= 0) return
      yield { role: speaker === 'User' ? 'user' : 'assistant', text }
    }
  }
}

async function measureIndexing(file: string): Promise<number> {
  const database = new Database({ file, ownFolder: false })
  const { appendMessage } = conversations(database)
  const taken: number[] = []
  for (let index = 0; index < 60; index++) {
    const text = `One more message, number ${index}, about the greenhouse in Turku and what Ines said of it when it rained for a week.`
    const id = `index-${index}`
    await appendMessage({ id, sessionId: SESSION, turnId: id, role: 'user', parts: [{ type: 'text', text }], time: 0, complete: true })
    const began = performance.now()
    await indexMessages(database)
    taken.push(performance.now() - began)
  }
  await database.close()
  return at(taken, 0.5)
}

function at(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN
}
