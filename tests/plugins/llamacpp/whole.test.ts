import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Backend } from '../../../src/chat/backend.ts'
import { CHAT_HOOKS, CHAT_LISTS } from '../../../src/chat/events.ts'
import type { Mai } from '../../../src/chat/mai.ts'
import { isMaiError } from '../../../src/core/errors.ts'
import { createKernel, type Kernel } from '../../../src/core/kernel.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import { answer, isAlive, modelOf, never } from './support.ts'

/** A whole Mai as it ships, from dist/, on two models of the embedded engine. */

/** How often an engine is killed, and loaded and unloaded: few in each run; `npm run test:chaos` has the figures of the goals. */
const KILLS = Number(process.env.MAI_TEST_KILLS ?? 3)
const CYCLES = Number(process.env.MAI_TEST_CYCLES ?? 3)
/** A run that failed can be repeated. */
const SEED = Number(process.env.MAI_TEST_SEED ?? Date.now() % 2 ** 31)

const TALE = Array.from({ length: 16 }, (_, n) => `In year ${n + 1} the cat number ${n * 7 + 3} went to sea, and 船${n} sank.`).join(' ')

const SHORT = 'Something else entirely.'

let folder: string
let mai: Mai | undefined

async function built<T>(file: string): Promise<T> {
  return (await import(/* @vite-ignore */ pathToFileURL(path.resolve('dist', file)).href)) as T
}

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-whole-'))
  await writeRecitingModel(path.join(folder, 'first.gguf'), { text: TALE, sizeBytes: 6_000_000 })
  await writeRecitingModel(path.join(folder, 'third.gguf'), { text: SHORT, sizeBytes: 100_000_000 })
  await writeRecitingModel(path.join(folder, 'second.gguf'), { text: TALE, sizeBytes: 9_000_000, layers: 2 })
})

async function start(): Promise<Mai> {
  const { createMai } = await built<typeof import('../../../src/chat/mai.ts')>('index.js')
  const { llamacpp } = await built<typeof import('../../../src/plugins/llamacpp/index.ts')>('plugins/llamacpp/index.js')
  const { store } = await built<typeof import('../../../src/plugins/store/index.ts')>('plugins/store/index.js')
  const { resources } = await built<typeof import('../../../src/plugins/resources/index.ts')>('plugins/resources/index.js')
  const { switching } = await built<typeof import('../../../src/plugins/switching/index.ts')>('plugins/switching/index.js')
  const { compression } = await built<typeof import('../../../src/plugins/compression/index.ts')>('plugins/compression/index.js')
  const paths = ['first.gguf', 'second.gguf'].map((name) => path.join(folder, name))
  const engine = llamacpp({ paths, discover: false, threads: 1 })
  return createMai({ plugins: [store({ file: path.join(folder, 'mai.db') }), resources(), switching(), compression(), engine] })
}

afterEach(() => mai?.shutdown())
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

/** The backend of the plugin alone. */
async function engineAlone(): Promise<{ readonly kernel: Kernel; readonly backend: Backend }> {
  const { llamacpp } = await built<typeof import('../../../src/plugins/llamacpp/index.ts')>('plugins/llamacpp/index.js')
  const kernel = createKernel({
    plugins: [llamacpp({ paths: [folder], discover: false, threads: 1 })],
    lists: CHAT_LISTS,
    hooks: CHAT_HOOKS,
  })
  await kernel.start()
  const [backend] = kernel.context.all('backend')
  if (!backend) throw new Error('no backend')
  return { kernel, backend }
}

/** Nothing is loaded any more, as after a long rest. */
async function unloadAll(talk: Mai): Promise<void> {
  for (const { key } of (await talk.models.list()).filter(({ instances }) => instances.length > 0)) await talk.models.unloadModel(key)
}

/** One message. @returns how it went; an answer that is not exactly the text fails */
async function told(talk: Mai, sessionId: string, message: string, atCharacter: number, kill: () => void): Promise<string> {
  try {
    const stream = talk.streamMessage(message, { sessionId })
    let text = ''
    let killed = false
    for await (const piece of stream) {
      if (piece.type === 'text') text += piece.text
      if (!killed && text.length >= atCharacter) {
        kill()
        killed = true
      }
    }
    const { attempts, text: whole } = await stream.reply
    expect(text).toBe(TALE)
    expect(whole).toBe(TALE)
    return `whole in ${attempts.length} attempts`
  } catch (error) {
    if (!isMaiError(error)) throw error
    expect(error.cure).toBeTruthy()
    return error.code
  }
}

/** Collects garbage. */
function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

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
    const talk = await start()
    mai = talk
    const { text, model } = await talk.processMessage('Tell me.')
    expect(text).toBe(TALE)
    expect(model).toMatch(/^llamacpp\//)
    const running = engines()
    expect(running.length).toBeGreaterThan(0)
    await talk.shutdown()
    for (const pid of running) expect(await isAlive(pid)).toBe(false)
  })

  it('leaves no process, no handle and no memory behind after cycles of three models', { timeout: 60_000 + CYCLES * 15_000 }, async () => {
    const { kernel, backend } = await engineAlone()
    const models = await Promise.all(['first', 'second', 'third'].map((id) => modelOf(backend, id)))
    const cycle = async (n: number): Promise<void> => {
      const model = models[n % models.length]
      if (!model) throw new Error('no model')
      const instance = await backend.load(model, {}, () => {}, never())
      const [pid = 0] = engines()
      expect(await answer(backend, instance)).toMatchObject({ text: model.id === 'third' ? SHORT : TALE })
      await backend.unload(instance, never())
      expect(await isAlive(pid)).toBe(false)
    }
    const collect = collector()
    const now = async (): Promise<{ readonly handles: string[]; readonly heap: number }> => {
      // A process that has just ended is still being let go of.
      await pause(100)
      collect()
      const handles = process.getActiveResourcesInfo().filter((name) => /Wrap$/.test(name))
      return { handles, heap: process.memoryUsage().heapUsed }
    }
    for (let n = 0; n < 3; n++) await cycle(n)
    const before = await now()
    for (let n = 0; n < CYCLES; n++) await cycle(n)
    const after = await now()
    console.info(`heap ${((after.heap - before.heap) / 1000).toFixed(0)} kB more after ${CYCLES} cycles`)
    expect(engines()).toEqual([])
    expect(after.handles.length, after.handles.join()).toBeLessThanOrEqual(before.handles.length)
    // A process that stayed reachable would hold its buffers and listeners: some 100 kB each.
    expect(after.heap - before.heap).toBeLessThan(1_000_000)
    await kernel.close()
  })

  it(`whose engine is killed at a random moment, ${KILLS} times, completes each conversation or says why not, and goes on`, {
    timeout: 60_000 + KILLS * 15_000,
  }, async () => {
    const next = random(SEED)
    console.info(`MAI_TEST_SEED=${SEED}`)
    const talk = await start()
    mai = talk
    const began = performance.now()
    await talk.processMessage('Warm up.')
    const loadAndAnswer = performance.now() - began
    const kill = (): void => {
      for (const pid of engines()) process.kill(pid, 'SIGKILL')
    }
    const outcomes: Record<string, number> = {}
    for (let round = 0; round < KILLS; round++) {
      const { id: sessionId } = await talk.openSession()
      // At some character of the answer, or at some time of a load and an answer.
      const atCharacter = next() < 0.6 ? next() * TALE.length : Number.POSITIVE_INFINITY
      const inTime = atCharacter === Number.POSITIVE_INFINITY
      if (inTime) await unloadAll(talk)
      const killing = inTime ? pause(next() * loadAndAnswer).then(kill) : undefined
      const outcome = await told(talk, sessionId, `Tell me, round ${round}.`, atCharacter, kill)
      await killing
      const key = `killed ${inTime ? 'at some time' : 'in the answer'}: ${outcome}`
      outcomes[key] = (outcomes[key] ?? 0) + 1
      expect((await talk.processMessage('And now?', { sessionId })).text, `after round ${round}: ${outcome}`).toBe(TALE)
    }
    console.info(JSON.stringify(outcomes))
  })
})
