import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { Mai } from '../../src/chat/mai.ts'
import type { TurnSettings } from '../../src/chat/settings.ts'
import { writeRecitingModel } from '../../src/testing/gguf-writer.ts'
import { CANON, expectHealthy, SEEDS, seeded, THOROUGH, temporaryFolder, told } from './support.ts'

/** Everything that can happen to an embedded engine: llama.cpp itself, in processes that are really killed and stopped. */

/** Shorter than the others': each of its units is a row and a column of the model. */
const TALE = CANON.slice(0, CANON.indexOf('\n\n') + 2).trim()

/** Loads and answers of a real engine, on a machine that does other things too. */
const WITHIN = { withinMs: 120_000, canon: TALE }

let models: string

beforeAll(async () => {
  models = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-chaos-models-'))
  await Promise.all(
    [1, 2, 3, 4].map((n) =>
      writeRecitingModel(path.join(models, `m${n}.gguf`), { text: TALE, sizeBytes: 2_000_000 + n * 500_000, layers: n }),
    ),
  )
}, 120_000)
afterAll(() => fs.rm(models, { recursive: true, force: true }))

async function built<T>(file: string): Promise<T> {
  return (await import(/* @vite-ignore */ pathToFileURL(path.resolve('dist', file)).href)) as T
}

async function start(turn: Partial<TurnSettings> = {}): Promise<Mai> {
  const { createMai } = await built<typeof import('../../src/chat/mai.ts')>('index.js')
  const { llamacpp } = await built<typeof import('../../src/plugins/llamacpp/index.ts')>('plugins/llamacpp/index.js')
  const { store } = await built<typeof import('../../src/plugins/store/index.ts')>('plugins/store/index.js')
  const { resources } = await built<typeof import('../../src/plugins/resources/index.ts')>('plugins/resources/index.js')
  const { switching } = await built<typeof import('../../src/plugins/switching/index.ts')>('plugins/switching/index.js')
  const { compression } = await built<typeof import('../../src/plugins/compression/index.ts')>('plugins/compression/index.js')
  const file = path.join(await temporaryFolder(), 'mai.db')
  const engine = llamacpp({ paths: [models], discover: false, threads: 1 })
  const mai = await createMai({ plugins: [store({ file }), resources(), switching(), compression(), engine], turn })
  onTestFinished(() => mai.shutdown())
  return mai
}

/** The engines that run now. */
function engines(): number[] {
  const out = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
  return out.split('\n').flatMap((line) => (/llamacpp.child/.test(line) ? [Number.parseInt(line, 10)] : []))
}

const signalAll = (signal: NodeJS.Signals): void => {
  for (const pid of engines()) process.kill(pid, signal)
}

/** Does something once, when the answer has so many characters. */
function at(characters: number, act: () => void): (soFar: string) => void {
  let done = false
  return (soFar) => {
    if (done || soFar.length < characters) return
    done = true
    act()
  }
}

describe.skipIf(process.platform !== 'linux').each(SEEDS)('the embedded engine, seed %i', { timeout: 180_000 }, (seed) => {
  const random = seeded(seed)
  const somewhere = (): number => 1 + random(Math.floor(TALE.length * 0.8))

  // Killed once, at random moments: tests/plugins/llamacpp/whole.test.ts does it again and again.
  it.skipIf(!THOROUGH)('that is killed while it generates', async () => {
    const mai = await start()
    await told(mai, 'Tell me.', { ...WITHIN, onText: at(somewhere(), () => signalAll('SIGKILL')) })
    await expectHealthy(mai, WITHIN)
  })

  it('that is killed three times in one answer', async () => {
    const mai = await start()
    const kills = [0.2, 0.4, 0.6].map((share) => at((share + random(100) / 1000) * TALE.length, () => signalAll('SIGKILL')))
    const { reply } = await told(mai, 'Tell me.', {
      ...WITHIN,
      onText: (soFar) => {
        for (const kill of kills) kill(soFar)
      },
    })
    expect(reply?.attempts.at(-1)?.outcome).toBe('completed')
    await expectHealthy(mai, WITHIN)
  })

  it('that stands still while it generates', async () => {
    const mai = await start({ gapMs: 1_500 })
    await told(mai, 'Tell me.', { ...WITHIN, onText: at(somewhere(), () => signalAll('SIGSTOP')) })
    await expectHealthy(mai, WITHIN)
    await mai.shutdown()
    expect(engines()).toEqual([])
  })

  it.skipIf(!THOROUGH)('that stands still while it loads', async () => {
    const mai = await start({ loadIdleMs: 15_000 })
    const stopping = setInterval(() => {
      if (engines().length === 0) return
      signalAll('SIGSTOP')
      clearInterval(stopping)
    }, 10)
    onTestFinished(() => clearInterval(stopping))
    const { reply } = await told(mai, 'Tell me.', WITHIN)
    expect(reply?.attempts[0]?.code).toBe('MAI_LOAD_TIMEOUT')
    await expectHealthy(mai, WITHIN)
    await mai.shutdown()
    expect(engines()).toEqual([])
  })
})
