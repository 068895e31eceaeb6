/**
 * The program itself on each of the three backends, and how it is held in a phase of its work so that a signal can meet it there.
 *
 * @module
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import { expect, onTestFinished, vi } from 'vitest'
import { createStore } from '../../src/plugins/store/store.ts'
import { startOpenAiServer } from '../../src/testing/openai-server/server.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { type Desk, openDesk, type Running } from '../cli/support.ts'
import type { NotHere } from './scenarios.ts'
import { type BackendName, engines, recitingModels, signalEngines, TALE } from './stages.ts'
import { CANON } from './support.ts'

/** Where a run is. */
export type Phase = 'loading' | 'reading' | 'writing'

/** A desk with one backend in its configuration. */
export interface BackendDesk extends Desk {
  /** What every model says in full. */
  readonly canon: string
  /** Before a run: makes a phase last. */
  hold(phase: Phase): void
  /** Resolves when the run is in that phase. */
  reached(phase: Phase, run: Running): Promise<void>
  /** Ends what was held, and checks that nothing of the run goes on behind it. */
  clear(): Promise<void>
}

/** Phases that a signal cannot meet a backend in. */
export const NOT_REACHED: Readonly<Partial<Record<`${BackendName} ${Phase}`, NotHere>>> = {
  'openai-compatible loading': { not: 'loads when it is asked for an answer: to Mai that is reading' },
}

const PATIENCE = { timeout: 60_000, interval: 20 } as const

/** Where the store of a desk lies. */
export const database = ({ folder }: Desk): string => path.join(folder, 'home', 'mai.db')

/** Opens one; it is closed after the test. @param slow answers take about two seconds */
export const desks: { readonly [B in BackendName]: (slow?: boolean) => Promise<BackendDesk> } = {
  async lmstudio(slow = false) {
    const pace = slow ? { delayMs: 8 } : 'turns'
    const desk = await closed(openDesk(['a', 'b'].map((key) => scriptedEngine({ key, answer: CANON, sizeBytes: 2 ** 30, pace }))))
    const { server } = desk
    const called = (endpoint: string): Promise<void> =>
      vi.waitFor(() => expect(server.log.some((call) => call.endpoint === endpoint)).toBe(true), PATIENCE)
    return {
      ...desk,
      canon: CANON,
      hold: (phase) => {
        if (phase === 'loading') server.faults.add({ kind: 'slow-load', ms: 20_000 })
        if (phase === 'reading') server.faults.add({ kind: 'slow-prefill', ms: 20_000 })
      },
      reached: (phase, { saw }) => (phase === 'loading' ? called('loadModel') : phase === 'reading' ? called('predict') : saw('number')),
      clear: async () => {
        await vi.waitFor(() => expect(server.loaded().every(({ predicting }) => predicting === 0)).toBe(true), { timeout: 10_000 })
        server.faults.clear()
      },
    }
  },

  async 'openai-compatible'(slow = false) {
    const models = ['a', 'b'].map((id) => ({ id, answer: CANON }))
    const server = await startOpenAiServer({ models, everyMs: slow ? 8 : 0 })
    onTestFinished(() => server.close())
    const desk = await closed(openDesk([]))
    await configure(desk, 'openai-compatible', 'openaiCompatible', `endpoints: [{ baseUrl: '${server.baseUrl}' }]`)
    return {
      ...desk,
      canon: CANON,
      hold: (phase) => {
        if (phase === 'reading') server.faults.add({ kind: 'late', ms: 20_000 })
      },
      reached: (phase, { saw }) =>
        phase === 'writing' ? saw('number') : vi.waitFor(() => expect(server.answers.length).toBeGreaterThan(0), PATIENCE),
      clear: async () => server.faults.clear(),
    }
  },

  async llamacpp() {
    const desk = await closed(openDesk([]))
    await configure(desk, 'llamacpp', 'llamacpp', `paths: ['${await recitingModels()}'], discover: false, threads: 1`)
    let held: number[] = []
    /** Its engine stands still, until the end of the run. */
    const stop = ({ child }: Running): void => {
      held = engines(child.pid)
      signalEngines('SIGSTOP', child.pid)
    }
    return {
      ...desk,
      canon: TALE,
      hold: () => {},
      reached: async (phase, run) => {
        if (phase === 'loading') await vi.waitFor(() => expect(engines(run.child.pid)).not.toEqual([]), PATIENCE)
        else if (phase === 'reading') await vi.waitFor(async () => expect(await loadedBy(desk)).toBe(true), PATIENCE)
        else await run.saw('number')
        stop(run)
      },
      clear: async () => {
        await vi.waitFor(() => expect(held.filter(lives)).toEqual([]), { timeout: 10_000 })
      },
    }
  },
}

async function closed(opening: Promise<Desk>): Promise<Desk> {
  const desk = await opening
  onTestFinished(() => desk.close())
  return desk
}

function configure({ folder }: Desk, plugin: string, name: string, options: string): Promise<void> {
  const text = `import { ${name} } from 'mai/plugins/${plugin}'\nexport default { plugins: [${name}({ ${options} })] }\n`
  return fs.writeFile(path.join(folder, 'mai.config.ts'), text)
}

/** Whether a model has been loaded, by the journal of the run. */
async function loadedBy(desk: Desk): Promise<boolean> {
  await fs.access(database(desk))
  const store = createStore({ file: database(desk), ownFolder: false })
  try {
    return (await store.records({ type: 'model.loaded' })).length > 0
  } finally {
    await store.close()
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
