import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { LoadedInstance } from '../../../src/chat/model.ts'
import { writeGguf } from '../../../src/testing/gguf-file.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import {
  answer,
  children,
  failure,
  isAlive,
  loaded,
  modelOf,
  never,
  type Opened,
  open,
  openUnclosed,
  pidOf,
  temporaryFolder,
} from './support.ts'

/** The backend, with real llama.cpp in processes of their own, from dist/. */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const TALE = 'Once upon a time a cat went to sea, and the cat came home; the sea did not. 船は小さかった 🐈 The end.'
const ENDLESS = 'Round and round it goes and'
/** A timer of so many ms would run out at once. */
const LONGER_THAN_TIMERS = 2 ** 40
/** Until a process that was told to end must have ended. */
const LONG = { timeout: 10_000, interval: 20 }

let folder: string

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-engines-'))
  await writeRecitingModel(path.join(folder, 'tale.gguf'), { text: TALE })
  await writeRecitingModel(path.join(folder, 'endless.gguf'), { text: ENDLESS, loop: { from: 5 }, contextLength: 65_536 })
  await writeRecitingModel(path.join(folder, 'large.gguf'), { text: TALE, sizeBytes: 120_000_000 })
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

describe('a model in a process of its own', () => {
  it('loads, answers, continues, counts tokens and goes, from sources that are not built', async () => {
    const { backend, gone } = open(folder, { program: undefined })
    const instance = await loaded(backend, 'tale', { contextLength: 2048 })
    expect(instance).toMatchObject({ model: 'llamacpp/tale', contextLength: 2048 })
    expect((await modelOf(backend, 'tale')).instances).toEqual([instance])
    const told = await answer(backend, instance)
    expect(told).toMatchObject({ text: TALE, result: { finish: 'stop' } })
    expect(told.tokens).toBe(told.result.usage.completionTokens)
    expect((await answer(backend, instance, { continueFrom: TALE.slice(0, 23) })).text).toBe(TALE.slice(23))
    expect((await answer(backend, instance, { sampling: { stop: ['sea'] } })).result.finish).toBe('stop')
    expect((await answer(backend, instance, { sampling: { maxTokens: 2 } })).result.finish).toBe('length')
    const messages = [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }] as const
    expect(await backend.countTokens(instance, messages, never())).toBe(told.result.usage.promptTokens)
    await backend.unload(instance)
    expect(await isAlive(pidOf(instance))).toBe(false)
    expect(await failure(answer(backend, instance))).toMatchObject({ code: 'MAI_MODEL_UNLOADED' })
    expect(gone).toEqual([])
  })
})

describe('loaded models', () => {
  let opened: Opened
  let tale: LoadedInstance
  let endless: LoadedInstance

  beforeAll(async () => {
    opened = openUnclosed(folder)
    const settings = { keepAliveMs: LONGER_THAN_TIMERS }
    ;[tale, endless] = await Promise.all([loaded(opened.backend, 'tale', settings), loaded(opened.backend, 'endless', settings)])
  })
  afterAll(() => opened.backend.close())

  it('answer two at once, in turn, and beside each other', async () => {
    const { backend } = opened
    const texts = await Promise.all(
      [tale, endless, tale].map(async (instance) => (await answer(backend, instance, { sampling: { maxTokens: 100 } })).text),
    )
    expect(texts).toEqual([TALE, expect.stringMatching(/^Round and round it goes and and round it/), TALE])
  })

  it('are cancelled with what they have said, and answer again', async () => {
    const { backend } = opened
    const instance = endless
    const stop = new AbortController()
    let after = 0
    const { result, text } = await answer(backend, instance, { signal: stop.signal }, () => {
      if (stop.signal.aborted) after++
      if (++after > 20) stop.abort()
    })
    expect(result.finish).toBe('cancelled')
    expect(text).toMatch(/^Round and/)
    const [again] = await Promise.all([answer(backend, instance, { sampling: { maxTokens: 6 } })])
    expect(again.text).toMatch(/^Round and round it/)
    expect(await answer(backend, instance, { signal: AbortSignal.abort() })).toMatchObject({ text: '', result: { finish: 'cancelled' } })
  })

  it('refuse images', async () => {
    const { backend } = opened
    const instance = tale
    const messages = [{ role: 'user', parts: [{ type: 'image', mediaType: 'image/png', data: '' }] }] as never
    expect(await failure(answer(backend, instance, { messages }))).toMatchObject({ code: 'MAI_REQUEST_INVALID' })
    expect(await backend.countTokens(instance, messages, never())).toBeUndefined()
  })

  it('stay for ever where their time is longer than timers can be', async () => {
    const { backend, gone } = opened
    await pause(50)
    expect(gone).toEqual([])
    expect((await answer(backend, tale)).text).toBe(TALE)
  })

  it('are not ended by Ctrl-C for all processes of a terminal', async () => {
    const { backend, gone } = opened
    process.kill(pidOf(tale), 'SIGINT')
    await pause(50)
    expect((await answer(backend, tale)).text).toBe(TALE)
    expect(gone).toEqual([])
  })

  // The last: it takes one of them away.
  it('do not die with another', async () => {
    const { backend } = opened
    const dying = failure(answer(backend, endless))
    process.kill(pidOf(endless), 'SIGSEGV')
    expect((await answer(backend, tale)).text).toBe(TALE)
    expect((await dying).code).toBe('MAI_MODEL_CRASHED')
  })
})

describe('a load', () => {
  it('tells its progress, which never goes back', async () => {
    const { backend } = open(folder)
    const seen: number[] = []
    await backend.load(await modelOf(backend, 'large'), {}, (fraction) => seen.push(fraction), never())
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(seen.every((fraction) => fraction >= 0 && fraction <= 1)).toBe(true)
  })

  it.each(['begun', 'started a process', 'told of progress'] as const)('that is aborted when it has %s leaves nothing', async (when) => {
    const { backend, gone } = open(folder)
    const model = await modelOf(backend, 'large')
    const reason = new Error('no longer wanted')
    const stop = new AbortController()
    const loading = backend.load(model, {}, () => when === 'told of progress' && stop.abort(reason), stop.signal)
    const rejected = expect(loading).rejects.toBe(reason)
    if (when === 'started a process') await vi.waitUntil(() => process.platform !== 'linux' || children().length > 0, LONG)
    if (when !== 'told of progress') stop.abort(reason)
    await rejected
    expect(children()).toEqual([])
    expect((await modelOf(backend, 'large')).instances).toEqual([])
    expect(gone).toEqual([])
  })

  it('of a file that would abort the engine is refused before it is loaded', async () => {
    const own = await temporaryFolder()
    const bare = { 'general.architecture': { string: 'llama' } } as const
    await writeGguf(path.join(own, 'deadly.gguf'), bare, [{ name: 'a', shape: [4], type: 'f16', parts: [] }])
    const { backend } = open(own)
    expect(await backend.list(never())).toEqual([])
    expect((await backend.discover()).unusable).toMatchObject([{ problem: expect.stringContaining('feed_forward_length') }])
    // Also where somebody knows better, or the file has changed since.
    await fs.copyFile(path.join(folder, 'tale.gguf'), path.join(own, 'good.gguf'))
    const model = await modelOf(backend, 'good')
    await fs.copyFile(path.join(own, 'deadly.gguf'), path.join(own, 'good.gguf'))
    const error = await failure(backend.load(model, {}, () => {}, never()))
    expect(error).toMatchObject({ code: 'MAI_LOAD_FAILED', message: expect.stringContaining('would crash the engine') })
    await fs.truncate(path.join(own, 'good.gguf'), 100)
    expect((await failure(backend.load(model, {}, () => {}, never()))).code).toBe('MAI_MODEL_FILE')
    await fs.rm(path.join(own, 'good.gguf'))
    expect((await failure(backend.load(model, {}, () => {}, never()))).code).toBe('MAI_MODEL_FILE_UNREADABLE')
    expect(children()).toEqual([])
  })

  it('needs the engine', async () => {
    const { backend } = open(folder, { installed: () => false })
    expect(await failure(backend.list(never()))).toMatchObject({
      code: 'MAI_BACKEND_UNREACHABLE',
      cure: expect.stringContaining('npm install node-llama-cpp'),
    })
  })

  it('that closing meets is ended', async () => {
    const { backend } = open(folder)
    const loading = failure(loaded(backend, 'large'))
    await vi.waitUntil(() => process.platform !== 'linux' || children().length > 0, LONG)
    await backend.close()
    expect(await loading).toMatchObject({ code: 'MAI_MODEL_UNLOADED' })
    expect(children()).toEqual([])
  })
})

describe('a crash', () => {
  it('in the middle of an answer is one clear error; what was said stays, and the next load works', async () => {
    const { backend, gone } = open(folder)
    const instance = await loaded(backend, 'endless')
    let text = ''
    const error = await failure(
      answer(backend, instance, {}, (piece) => {
        if (piece.type === 'text') text += piece.text
        if (text.length > 100) process.kill(pidOf(instance), 'SIGKILL')
      }),
    )
    expect(error).toMatchObject({ code: 'MAI_MODEL_CRASHED', message: expect.stringContaining('SIGKILL'), cure: expect.any(String) })
    expect((ENDLESS + ENDLESS.slice(5).repeat(5000)).startsWith(text)).toBe(true)
    expect(gone).toEqual(['llamacpp/endless crashed'])
    expect((await modelOf(backend, 'endless')).instances).toEqual([])
    expect(await failure(answer(backend, instance))).toMatchObject({ code: expect.stringMatching(/MAI_MODEL_(UNLOADED|CRASHED)/) })
    const next = await loaded(backend, 'endless')
    expect((await answer(backend, next, { continueFrom: text, sampling: { maxTokens: 5 } })).text).not.toBe('')
  })

  it.each(['SIGABRT', 'SIGTERM'] as const)('by %s between two answers is told', async (signal) => {
    const { backend, gone } = open(folder)
    const instance = await loaded(backend, 'tale')
    process.kill(pidOf(instance), signal)
    expect(await failure(answer(backend, instance))).toMatchObject({ code: 'MAI_MODEL_CRASHED' })
    expect(gone).toEqual(['llamacpp/tale crashed'])
  })

  it('while it loads is one clear error', { skip: process.platform !== 'linux' }, async () => {
    const { backend } = open(folder)
    const loading = failure(loaded(backend, 'large'))
    const [pid = 0] = await vi.waitUntil(() => (children().length > 0 ? children() : undefined), LONG)
    process.kill(pid, 'SIGKILL')
    expect(await loading).toMatchObject({ code: 'MAI_MODEL_CRASHED' })
    expect((await answer(backend, await loaded(backend, 'tale'))).text).toBe(TALE)
  })
})

describe('a model that nobody uses', () => {
  it('is unloaded after its time, and not while it answers', async () => {
    const { backend, gone } = open(folder)
    const instance = await loaded(backend, 'endless', { keepAliveMs: 150 })
    const stop = new AbortController()
    const running = answer(backend, instance, { signal: stop.signal })
    await pause(400)
    expect(await isAlive(pidOf(instance))).toBe(true)
    stop.abort()
    await running
    await vi.waitUntil(() => gone.length > 0, LONG)
    expect(gone).toEqual(['llamacpp/endless unused'])
    expect(await isAlive(pidOf(instance))).toBe(false)
    expect((await modelOf(backend, 'endless')).instances).toEqual([])
  })
})

describe('when Mai is killed', { skip: process.platform === 'win32' }, () => {
  async function started(id: string, action: string): Promise<{ readonly mai: ChildProcess; readonly engine: number }> {
    const args = ['node_modules/jiti/lib/jiti-cli.mjs', 'tests/plugins/llamacpp/child.ts', folder, id, action]
    const mai = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void mai.kill('SIGKILL'))
    const [line] = (await once(mai.stdout.setEncoding('utf8'), 'data')) as [string]
    return { mai, engine: Number(/#(\d+)\./.exec(line)?.[1]) }
  }

  it.each([
    ['SIGKILL', 'endless', 'answer'],
    ['SIGKILL', 'tale', 'load'],
    ['SIGTERM', 'endless', 'answer'],
  ] as const)('by %s, its engines end too (%s, %s)', async (signal, id, action) => {
    const { mai, engine } = await started(id, action)
    expect(await isAlive(engine)).toBe(true)
    await pause(100)
    mai.kill(signal)
    await once(mai, 'exit')
    await vi.waitUntil(async () => !(await isAlive(engine)), LONG)
  })

  it('while a model loads, the engine ends too', { skip: process.platform !== 'linux' }, async () => {
    const args = ['node_modules/jiti/lib/jiti-cli.mjs', 'tests/plugins/llamacpp/child.ts', folder, 'large', 'load']
    const mai = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
    const below = (): number[] => {
      try {
        return execFileSync('ps', ['-o', 'pid=', '--ppid', String(mai.pid)], { encoding: 'utf8' })
          .split('\n')
          .filter(Boolean)
          .map(Number)
      } catch {
        return []
      }
    }
    const [engine = 0] = await vi.waitUntil(() => (below().length > 0 ? below() : undefined), LONG)
    await pause(500)
    mai.kill('SIGKILL')
    await once(mai, 'exit')
    await vi.waitUntil(async () => !(await isAlive(engine)), LONG)
  })
})
