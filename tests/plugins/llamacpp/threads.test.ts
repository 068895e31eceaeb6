import fs from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { LoadedLlama } from '../../../src/plugins/llamacpp/driver.ts'
import { bestThreads, type ThreadSpeed, threadCandidates } from '../../../src/plugins/llamacpp/measure-threads.ts'
import { ThreadMemory } from '../../../src/plugins/llamacpp/thread-memory.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import { answer, loaded, never, open, temporaryFolder } from './support.ts'

const speed = (threads: number, tokensPerSecond: number): ThreadSpeed => ({ threads, tokensPerSecond })

describe('the number of threads', () => {
  it.each([
    [1, [1]],
    [2, [1, 2]],
    [4, [1, 2, 3, 4]],
    [8, [1, 4, 7, 8]],
    [32, [1, 16, 31, 32]],
  ])('of %i cores is one of %j', (cores, candidates) => {
    expect(threadCandidates(cores)).toEqual(candidates)
  })

  it('is the fewest that is about as fast as the fastest', () => {
    expect(bestThreads([speed(1, 10), speed(2, 19), speed(3, 27), speed(4, 28)])).toBe(3)
    expect(bestThreads([speed(1, 1800), speed(2, 60)])).toBe(1)
    expect(bestThreads([])).toBeUndefined()
    expect(bestThreads([speed(1, 0)])).toBeUndefined()
  })
})

describe('the memory of threads', () => {
  const memoryIn = async (machine = 'a × 2'): Promise<{ readonly file: string; readonly memory: ThreadMemory }> => {
    const file = path.join(await temporaryFolder(), 'sub', 'threads.json')
    return { file, memory: new ThreadMemory(file, machine, 1) }
  }

  it('measures once when all is quiet, for this machine and the next process', async () => {
    const { file, memory } = await memoryIn()
    let measured = 0
    const measure = async (): Promise<ThreadSpeed[]> => {
      measured++
      return [speed(1, 10), speed(2, 30)]
    }
    expect(memory.best()).toBeUndefined()
    memory.quiet(measure)
    await vi.waitUntil(() => memory.best() !== undefined)
    expect(memory.best()).toBe(2)
    memory.quiet(measure)
    await pause(20)
    expect(measured).toBe(1)
    expect(new ThreadMemory(file, 'a × 2').best()).toBe(2)
    expect(new ThreadMemory(file, 'b × 8').best()).toBeUndefined()
  })

  it('gives way at once, and tries again when all is quiet again', async () => {
    const { memory } = await memoryIn()
    const aborted: boolean[] = []
    memory.quiet(async () => [speed(1, 1)])
    memory.busy()
    await pause(20)
    expect(memory.best()).toBeUndefined()
    memory.quiet(async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      aborted.push(signal.aborted)
      return []
    })
    await pause(20)
    memory.busy()
    await vi.waitUntil(() => aborted.length > 0)
    memory.quiet(async () => [speed(1, 1), speed(2, 2)])
    await vi.waitUntil(() => memory.best() === 2)
  })

  it('does not try what has failed again and again', async () => {
    const { memory } = await memoryIn()
    let tried = 0
    const failing = async (): Promise<never> => {
      tried++
      throw new Error('no room')
    }
    for (let n = 0; n < 3; n++) {
      memory.quiet(failing)
      await pause(15)
    }
    expect(tried).toBe(1)
  })

  it.each(['', '7', 'null', '{"a × 2":0}', '{"a × 2":1.5}', '{"a × 2":"2"}', '{"a × 2":1000000}'])(
    'that says %j says nothing',
    async (content) => {
      const { file, memory } = await memoryIn()
      await fs.mkdir(path.dirname(file), { recursive: true })
      await fs.writeFile(file, content)
      expect(memory.best()).toBeUndefined()
      memory.quiet(async () => [speed(3, 1)])
      await vi.waitUntil(() => memory.best() === 3)
    },
  )
})

/** The backend's processes run from dist/. */
describe('with a real engine', () => {
  it('candidates are measured beside the model, or nothing when it is called off', { timeout: 60_000 }, async () => {
    const file = path.join(await temporaryFolder(), 'a.gguf')
    await writeRecitingModel(file, { text: 'One two three.', sizeBytes: 40_000_000 })
    const model = await LoadedLlama.load({ file, threads: 1, signal: never() })
    const speeds = await model.measureThreads(never())
    expect(speeds.length).toBeGreaterThan(0)
    expect(speeds.every(({ tokensPerSecond }) => tokensPerSecond > 0)).toBe(true)
    expect(await model.measureThreads(AbortSignal.abort())).toEqual([])
    const stop = new AbortController()
    const measuring = model.measureThreads(stop.signal)
    setTimeout(() => stop.abort(), 20)
    expect(await measuring).toEqual([])
    let text = ''
    const prompt = model.prompt([{ role: 'user', content: 'Go' }])
    await model.generate({ prompt, sampling: {}, signal: never() }, { text: (piece) => void (text += piece) })
    expect(text).toBe('One two three.')
    await model.dispose()
  })

  it('the backend measures after an answer, gives way to the next, and uses what it found', { timeout: 60_000 }, async () => {
    const folder = await temporaryFolder()
    await writeRecitingModel(path.join(folder, 'a.gguf'), { text: 'One two three.', sizeBytes: 40_000_000 })
    const memory = new ThreadMemory(path.join(folder, 'cache', 'threads.json'), 'here', 30)
    const { backend } = open(folder, { threads: undefined, memory })
    const instance = await loaded(backend, 'a')
    for (const wait of [0, 35, 60, 90]) {
      expect((await answer(backend, instance)).text).toBe('One two three.')
      await pause(wait)
    }
    await vi.waitUntil(() => memory.best() !== undefined, { timeout: 30_000, interval: 50 })
    expect((await answer(backend, await loaded(backend, 'a'))).text).toBe('One two three.')
  })
})
