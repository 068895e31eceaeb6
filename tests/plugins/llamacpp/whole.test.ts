import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Mai } from '../../../src/chat/mai.ts'
import { isMaiError, toErrorFact } from '../../../src/core/errors.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import { isAlive } from './support.ts'

/** A whole Mai as it ships, from dist/, on two models of the embedded engine. */

/** How often an engine is killed: 20 in each run; `MAI_TEST_KILLS=100` for the figure of the goal. */
const KILLS = Number(process.env.MAI_TEST_KILLS ?? 20)
/** A run that failed can be repeated. */
const SEED = Number(process.env.MAI_TEST_SEED ?? Date.now() % 2 ** 31)

const TALE = Array.from({ length: 30 }, (_, n) => `In year ${n + 1} the cat number ${n * 7 + 3} went to sea, and 船${n} sank.`).join(' ')

let folder: string
let mai: Mai

async function built<T>(file: string): Promise<T> {
  return (await import(/* @vite-ignore */ pathToFileURL(path.resolve('dist', file)).href)) as T
}

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-whole-'))
  await writeRecitingModel(path.join(folder, 'first.gguf'), { text: TALE, sizeBytes: 6_000_000 })
  await writeRecitingModel(path.join(folder, 'second.gguf'), { text: TALE, sizeBytes: 9_000_000, layers: 2 })
})

async function start(): Promise<Mai> {
  const { createMai } = await built<typeof import('../../../src/chat/mai.ts')>('index.js')
  const { llamacpp } = await built<typeof import('../../../src/plugins/llamacpp/index.ts')>('plugins/llamacpp/index.js')
  const { store } = await built<typeof import('../../../src/plugins/store/index.ts')>('plugins/store/index.js')
  const { resources } = await built<typeof import('../../../src/plugins/resources/index.ts')>('plugins/resources/index.js')
  const { switching } = await built<typeof import('../../../src/plugins/switching/index.ts')>('plugins/switching/index.js')
  const { compression } = await built<typeof import('../../../src/plugins/compression/index.ts')>('plugins/compression/index.js')
  const engine = llamacpp({ paths: [folder], discover: false, threads: 1 })
  return createMai({ plugins: [store({ file: path.join(folder, 'mai.db') }), resources(), switching(), compression(), engine] })
}

afterEach(() => mai.shutdown())
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

/** The engines that run now. */
function engines(): number[] {
  const out = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
  return out.split('\n').flatMap((line) => (/llamacpp.child/.test(line) ? [Number.parseInt(line, 10)] : []))
}

/** Mulberry32: small, and the same everywhere. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

describe.skipIf(process.platform !== 'linux')('a Mai on embedded models', () => {
  it('answers, and leaves no engine behind when it is shut down', { timeout: 60_000 }, async () => {
    mai = await start()
    const { text, model } = await mai.processMessage('Tell me.')
    expect(text).toBe(TALE)
    expect(model).toMatch(/^llamacpp\//)
    const running = engines()
    expect(running.length).toBeGreaterThan(0)
    await mai.shutdown()
    for (const pid of running) expect(await isAlive(pid)).toBe(false)
  })

  it(`whose engine is killed at a random moment, ${KILLS} times, completes each conversation or says why not, and goes on`, {
    timeout: 60_000 + KILLS * 15_000,
  }, async () => {
    const next = random(SEED)
    console.info(`MAI_TEST_SEED=${SEED}`)
    mai = await start()
    const timed = async (): Promise<number> => {
      const began = performance.now()
      await mai.processMessage('Warm up.')
      return performance.now() - began
    }
    // An answer with a load, and one without; and a little of what comes after.
    const spans = [await timed(), await timed()].map((ms) => ms * 1.1)
    const outcomes: Record<string, number> = {}
    for (let round = 0; round < KILLS; round++) {
      const { id: sessionId } = await mai.openSession()
      let killed = 0
      const killing = pause(next() * (spans[next() < 0.3 ? 0 : 1] ?? 0)).then(async () => {
        for (const pid of engines().slice(0, next() < 0.7 ? 1 : 9)) {
          process.kill(pid, 'SIGKILL')
          killed++
        }
      })
      let outcome: string
      try {
        const { text, attempts } = await mai.processMessage(`Tell me, round ${round}.`, { sessionId })
        expect(text, `round ${round}`).toBe(TALE)
        outcome = attempts.length === 1 ? 'whole at once' : `whole in ${attempts.length} attempts`
      } catch (error) {
        if (!isMaiError(error)) throw error
        expect(error.cure).toBeTruthy()
        outcome = toErrorFact(error).code
      }
      await killing
      outcomes[`${outcome}, ${killed} killed`] = (outcomes[`${outcome}, ${killed} killed`] ?? 0) + 1
      expect((await mai.processMessage('And now?', { sessionId })).text, `after round ${round}: ${outcome}`).toBe(TALE)
    }
    console.info(JSON.stringify(outcomes))
  })
})
