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
import { scriptedBackend } from '../../src/testing/scripted-backend.ts'
import { type Pace, scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { type Desk, openDesk } from '../cli/support.ts'
import { CANON, expectHealthy, SEEDS, seeded, THOROUGH, temporaryFolder, told } from './support.ts'

/** Whole processes: `mai` from dist/ as people run it, signals, a full disk, and two at once. */

const SIZE = 2 ** 30

async function desk(pace: Pace = 'turns'): Promise<Desk> {
  const opened = await openDesk(['a', 'b'].map((key) => scriptedEngine({ key, answer: CANON, sizeBytes: SIZE, pace })))
  onTestFinished(() => opened.close())
  return opened
}

const database = ({ folder }: Desk): string => path.join(folder, 'home', 'mai.db')

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

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const PHASES = ['loading', 'reading', 'writing'] as const
const CASES = SIGNALS.flatMap((signal, n) => PHASES.flatMap((phase, m) => (THOROUGH || n === m ? [[signal, phase] as const] : [])))

describe.skipIf(process.platform === 'win32')('a process that gets a signal', { timeout: 120_000 }, () => {
  it.each(CASES)('%s while it is %s ends soon, loses no message, and presents nothing cut off as whole', async (signal, phase) => {
    const here = await desk(phase === 'writing' ? { delayMs: 8 } : 'turns')
    if (phase === 'loading') here.server.faults.add({ kind: 'slow-load', ms: 20_000 })
    if (phase === 'reading') here.server.faults.add({ kind: 'slow-prefill', ms: 20_000 })
    const { child, ended, saw } = here.start(['ask', '--stream-json', 'Tell me.'])
    child.stdin?.end()
    const called = (endpoint: string): Promise<void> =>
      vi.waitFor(() => expect(here.server.log.some((call) => call.endpoint === endpoint)).toBe(true), { timeout: 60_000, interval: 20 })
    if (phase === 'loading') await called('loadModel')
    else if (phase === 'reading') await called('predict')
    else await saw('number')
    const began = performance.now()
    child.kill(signal)
    const { code, out } = await ended
    expect(performance.now() - began).toBeLessThan(15_000)
    expect(code).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[signal])

    const kept = createStore({ file: database(here), ownFolder: false })
    onTestFinished(() => kept.close())
    const [session] = await kept.listSessions()
    const [asked, answered] = await kept.messages(session?.id ?? '')
    expect(textOf(asked?.parts ?? [])).toBe('Tell me.')
    const text = textOf(answered?.parts ?? [])
    expect(CANON.startsWith(text)).toBe(true)
    expect(CANON.startsWith(textIn(out))).toBe(true)
    if (answered) expect(answered.complete).toBe(text === CANON)
    await vi.waitFor(() => expect(here.server.loaded().every(({ predicting }) => predicting === 0)).toBe(true), { timeout: 10_000 })
    here.server.faults.clear()
    const { out: next } = await here.mai(['ask', '--json', 'And now?'])
    expect(JSON.parse(next)).toMatchObject({ text: CANON })
  })
})

describe('two processes', { timeout: 120_000 }, () => {
  it('on one store both answer, and neither loses a message', async () => {
    const here = await desk()
    const runs = await Promise.all(['One.', 'Two.'].map((text) => here.mai(['ask', '--json', text])))
    for (const { out } of runs) expect(JSON.parse(out)).toMatchObject({ text: CANON })
    const kept = createStore({ file: database(here), ownFolder: false })
    onTestFinished(() => kept.close())
    const messages = await Promise.all((await kept.listSessions()).map(({ id }) => kept.messages(id)))
    expect(messages.map(([asked]) => textOf(asked?.parts ?? [])).sort()).toEqual(['One.', 'Two.'])
    expect(messages.map(([, answered]) => [textOf(answered?.parts ?? []), answered?.complete])).toEqual([
      [CANON, true],
      [CANON, true],
    ])
  })

  it('respect each other’s leases: what one answers with is not unloaded by the one that loaded it', async () => {
    const here = await desk({ delayMs: 8 })
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
    expect(textIn(out)).toBe(CANON)
    expect(out).toMatch(/"attempts":\[\{[^{}]*"outcome":"completed"[^{}]*\}\]/)
    await mai.models.switchModel('a')
    expect(here.server.loaded().map(({ model }) => model)).toEqual(['a'])
  })
})

describe('a full disk', { timeout: 60_000 }, () => {
  /** A Mai on a small disk that can be filled; undefined where none can be mounted. */
  async function small(): Promise<{ readonly mai: Mai; fill(): void; free(): Promise<void> } | undefined> {
    const folder = await temporaryFolder()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', folder], { stdio: 'ignore' })
    } catch {
      console.info('No right to mount a small disk here: the full disk is left out.')
      return undefined
    }
    onTestFinished(() => void execFileSync('umount', ['-l', folder]))
    const machine = resourceTrace()
    const { plugin } = scriptedBackend([{ id: 'only', answer: CANON }], { machine })
    const mai = await createMai({
      plugins: [store({ file: path.join(folder, 'mai.db') }), machine.plugin, switching(), compression(), plugin],
    })
    onTestFinished(() => mai.shutdown())
    const filler = path.join(folder, 'filler')
    return {
      mai,
      fill: () => void spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' }),
      free: () => fs.rm(filler, { force: true }),
    }
  }

  it('when a message comes is one clear error; the next one is answered when there is room', async () => {
    const disk = await small()
    if (!disk) return
    const { mai } = disk
    await expectHealthy(mai)
    const { id: sessionId } = await mai.openSession()
    disk.fill()
    const failed: unknown[] = []
    mai.on('message.failed', ({ error }) => void failed.push(error.code))
    await expect(mai.processMessage('Tell me. '.repeat(60_000), { sessionId })).rejects.toMatchObject({ code: 'MAI_STORE_FULL' })
    await vi.waitFor(() => expect(failed).toEqual(['MAI_STORE_FULL']))
    expect(await mai.getConversationHistory({ sessionId })).toEqual([])
    await disk.free()
    await expectHealthy(mai)
  })

  it.each(SEEDS)('in the middle of an answer never makes a whole one of a part (seed %i)', async (seed) => {
    const disk = await small()
    if (!disk) return
    const limit = seeded(seed)(CANON.length)
    let filled = false
    const onText = (soFar: string): void => {
      if (filled || soFar.length < limit) return
      filled = true
      disk.fill()
    }
    const { error } = await told(disk.mai, 'Tell me.', { storeFails: true, onText })
    // A small answer may still find a place in what the database has already.
    if (error) expect(error.code).toBe('MAI_STORE_FULL')
    await disk.free()
    await expectHealthy(disk.mai)
  })
})
