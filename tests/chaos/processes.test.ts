import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import { textOf } from '../../src/chat/message.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { lmstudio } from '../../src/plugins/lmstudio/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { createStore } from '../../src/plugins/store/store.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../src/testing/resource-trace.ts'
import { database, desks, NOT_REACHED } from './desks.ts'
import { BACKENDS, type BackendName, open, type Stage } from './stages.ts'
import { expectHealthy, SEEDS, seeded, THOROUGH, temporaryFolder, told } from './support.ts'

/** Whole processes: `mai` from dist/ as people run it, signals, a full disk, and two at once; on each backend. */

/** What a run with `--stream-json` said so far. */
function textIn(out: string): string {
  return out
    .split('\n')
    .flatMap((line) => {
      try {
        const piece = JSON.parse(line) as { type?: string; text?: string }
        return piece.type === 'text' ? [piece.text] : []
      } catch {
        // A line that was cut off.
        return []
      }
    })
    .join('')
}

/** Real engines only in the thorough run: each of them takes seconds. */
const OFTEN = BACKENDS.filter((backend) => THOROUGH || backend !== 'llamacpp')

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const PHASES = ['loading', 'reading', 'writing'] as const
type Case = readonly [BackendName, (typeof SIGNALS)[number], (typeof PHASES)[number]]
const ORDINARY: readonly Case[] = [
  ['lmstudio', 'SIGINT', 'loading'],
  ['lmstudio', 'SIGTERM', 'reading'],
  ['lmstudio', 'SIGHUP', 'writing'],
  ['openai-compatible', 'SIGINT', 'writing'],
]
const ALL = BACKENDS.flatMap((backend) => SIGNALS.flatMap((signal) => PHASES.map((phase): Case => [backend, signal, phase])))
const CASES = (THOROUGH ? ALL : ORDINARY).filter(([backend, , phase]) => NOT_REACHED[`${backend} ${phase}`] === undefined)

describe.skipIf(process.platform === 'win32')('a process that gets a signal', { timeout: 120_000 }, () => {
  it.each(CASES)(
    'on %s, %s while it is %s, ends soon, loses no message, and presents nothing cut off as whole',
    async (backend, signal, phase) => {
      const here = await desks[backend](phase === 'writing')
      here.hold(phase)
      const run = here.start(['ask', '--stream-json', 'Tell me.'])
      run.child.stdin?.end()
      await here.reached(phase, run)
      const began = performance.now()
      run.child.kill(signal)
      const { code, out } = await run.ended
      expect(performance.now() - began).toBeLessThan(15_000)
      expect(code).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal])

      const kept = createStore({ file: database(here), ownFolder: false })
      onTestFinished(() => kept.close())
      const [session] = await kept.listSessions()
      const [asked, answered] = await kept.messages(session?.id ?? '')
      expect(textOf(asked?.parts ?? [])).toBe('Tell me.')
      const text = textOf(answered?.parts ?? [])
      expect(here.canon.startsWith(text)).toBe(true)
      expect(here.canon.startsWith(textIn(out))).toBe(true)
      if (answered) expect(answered.complete).toBe(text === here.canon)
      await here.clear()
      const { out: next } = await here.mai(['ask', '--json', 'And now?'])
      expect(JSON.parse(next)).toMatchObject({ text: here.canon })
    },
  )
})

describe('two processes', { timeout: 120_000 }, () => {
  it.each(OFTEN)('on one store both answer, and neither loses a message, on %s', async (backend) => {
    const here = await desks[backend]()
    const runs = await Promise.all(['One.', 'Two.'].map((text) => here.mai(['ask', '--json', text])))
    for (const { out } of runs) expect(JSON.parse(out)).toMatchObject({ text: here.canon })
    const kept = createStore({ file: database(here), ownFolder: false })
    onTestFinished(() => kept.close())
    const messages = await Promise.all((await kept.listSessions()).map(({ id }) => kept.messages(id)))
    expect(messages.map(([asked]) => textOf(asked?.parts ?? [])).sort()).toEqual(['One.', 'Two.'])
    expect(messages.map(([, answered]) => [textOf(answered?.parts ?? []), answered?.complete])).toEqual([
      [here.canon, true],
      [here.canon, true],
    ])
  })

  // Nothing of an OpenAI-compatible server is Mai's to unload, and an embedded engine belongs to one process.
  it('respect each other’s leases: what one answers with is not unloaded by the one that loaded it', async () => {
    const here = await desks.lmstudio(true)
    const machine = resourceTrace()
    const mai: Mai = await createMai({
      plugins: [
        store({ file: database(here) }),
        machine.plugin,
        switching(),
        compression(),
        lmstudio({ baseUrl: here.server.baseUrl, autoStart: false }),
      ],
    })
    onTestFinished(() => mai.shutdown())
    await mai.models.loadModel('b')
    const { child, ended, saw } = here.start(['ask', '--stream-json', '--model', 'b', 'Tell me.'])
    child.stdin?.end()
    await saw('number')
    await mai.models.switchModel('a')
    expect(here.server.loaded().map(({ model }) => model)).toContain('b')
    const { out } = await ended
    expect(textIn(out)).toBe(here.canon)
    expect(out).toMatch(/"attempts":\[\{[^{}]*"outcome":"completed"[^{}]*\}\]/)
    await mai.models.switchModel('a')
    expect(here.server.loaded().map(({ model }) => model)).toEqual(['a'])
  })
})

describe.each(OFTEN)('a full disk, on %s,', { timeout: 120_000 }, (backend) => {
  /** A Mai on a small disk that can be filled; undefined where none can be mounted. */
  async function small(): Promise<(Stage & { fill(): void; free(): Promise<void> }) | undefined> {
    const folder = await temporaryFolder()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder], { stdio: 'ignore' })
    } catch {
      console.info('No right to mount a small disk here: the full disk is left out.')
      return undefined
    }
    onTestFinished(() => void execFileSync('umount', ['-l', folder]))
    const stage = await open[backend]({ folder })
    const filler = path.join(folder, 'filler')
    return {
      ...stage,
      fill: () => void spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' }),
      free: () => fs.rm(filler, { force: true }),
    }
  }

  it('when a message comes is one clear error; the next one is answered when there is room', async () => {
    const disk = await small()
    if (!disk) return
    const { mai, telling } = disk
    await expectHealthy(mai, telling)
    const { id: sessionId } = await mai.openSession()
    disk.fill()
    const failed: unknown[] = []
    mai.on('message.failed', ({ error }) => void failed.push(error.code))
    await expect(mai.processMessage('Tell me. '.repeat(60_000), { sessionId })).rejects.toMatchObject({ code: 'MAI_STORE_FULL' })
    await vi.waitFor(() => expect(failed).toEqual(['MAI_STORE_FULL']))
    expect(await mai.getConversationHistory({ sessionId })).toEqual([])
    await disk.free()
    await expectHealthy(mai, telling)
  })

  it.each(SEEDS)('in the middle of an answer never makes a whole one of a part (seed %i)', async (seed) => {
    const disk = await small()
    if (!disk) return
    const { mai, telling } = disk
    const limit = seeded(seed)(telling.canon.length)
    let filled = false
    const onText = (soFar: string): void => {
      if (filled || soFar.length < limit) return
      filled = true
      disk.fill()
    }
    const { error } = await told(mai, 'Tell me.', { ...telling, storeFails: true, onText })
    // A small answer may still find a place in what the database has already.
    if (error) expect(error.code).toBe('MAI_STORE_FULL')
    await disk.free()
    await expectHealthy(mai, telling)
  })
})
