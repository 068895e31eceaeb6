import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import { answer, children, isAlive, loaded, open, pidOf } from './support.ts'

/** Real processes, from dist/. Their number is asked of Linux. */

const TALE = 'Once upon a time a cat went to sea.'
const SONG = 'The sea came home without it.'
/** Until a process that is to come must have come. */
const LONG = { timeout: 20_000, interval: 20 }

let folder: string

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-spare-'))
  await writeRecitingModel(path.join(folder, 'tale.gguf'), { text: TALE })
  await writeRecitingModel(path.join(folder, 'song.gguf'), { text: SONG })
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

describe('a process ahead of the next load', { skip: process.platform !== 'linux' }, () => {
  it('comes while the engine rests, and becomes the next model', async () => {
    const { backend, gone } = open(folder, { spare: true })
    const tale = await loaded(backend, 'tale')
    const ahead = (): number[] => children().filter((pid) => pid !== pidOf(tale))
    expect(ahead()).toEqual([])
    const [pid] = await vi.waitUntil(() => (ahead().length > 0 ? ahead() : undefined), LONG)
    const song = await loaded(backend, 'song')
    expect(pidOf(song)).toBe(pid)
    expect((await answer(backend, song)).text).toBe(SONG)
    expect((await answer(backend, tale)).text).toBe(TALE)
    expect(gone).toEqual([])
  })

  it('serves even when it dies before it is needed', async () => {
    const { backend, gone } = open(folder, { spare: true })
    const tale = await loaded(backend, 'tale')
    const ahead = (): number[] => children().filter((pid) => pid !== pidOf(tale))
    const [pid = 0] = await vi.waitUntil(() => (ahead().length > 0 ? ahead() : undefined), LONG)
    process.kill(pid, 'SIGKILL')
    await vi.waitUntil(async () => !(await isAlive(pid)), LONG)
    expect((await answer(backend, await loaded(backend, 'song'))).text).toBe(SONG)
    expect(gone).toEqual([])
  })

  it('goes when memory is short, and comes again when it is not', async () => {
    const { backend } = open(folder, { spare: true })
    const tale = await loaded(backend, 'tale')
    await vi.waitUntil(() => children().length === 2, LONG)
    backend.roomy(false)
    await vi.waitUntil(() => children().length === 1, LONG)
    backend.roomy(true)
    await answer(backend, tale)
    await vi.waitUntil(() => children().length === 2, LONG)
    await backend.close()
    expect(children()).toEqual([])
  })

  it('lets its parent end, and ends with it', async () => {
    const args = ['node_modules/jiti/lib/jiti-cli.mjs', 'tests/plugins/llamacpp/child.ts', folder, 'tale', 'leave']
    const parent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void parent.kill('SIGKILL'))
    let said = ''
    parent.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    const [code] = await once(parent, 'exit')
    expect(code).toBe(0)
    const pids = /ahead (.*)/.exec(said)?.[1]?.split(' ').map(Number) ?? []
    expect(pids).toHaveLength(2)
    for (const pid of pids) await vi.waitUntil(async () => !(await isAlive(pid)), LONG)
  })
})
