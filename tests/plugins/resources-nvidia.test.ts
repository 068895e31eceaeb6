import { spawn } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { NvidiaLoop } from '../../src/plugins/resources/nvidia.ts'

const ABSENT: string = 'mai-no-such-program'

let loop: NvidiaLoop | undefined
afterEach(() => loop?.close())

/** A real process in nvidia-smi's place, as no such device is here: it writes what the tool's manual shows. */
function program(script: string): { readonly loop: NvidiaLoop; readonly starts: () => number; tick(ms: number): void } {
  let starts = 0
  let clock = 0
  loop = new NvidiaLoop({
    start: () => {
      starts++
      return spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
    },
    now: () => clock,
  })
  return { loop, starts: () => starts, tick: (ms) => (clock += ms) }
}

describe('the loop of nvidia-smi', () => {
  it('is one process however often it is asked, and tells the latest of each device', async () => {
    const { loop, starts } = program(`
      let free = 2000
      const say = () => process.stdout.write('0, A100, 4000, ' + free-- + '\\n1, A100, 4000, 77\\n')
      say(); setInterval(say, 5)`)
    const first = await loop.gpus()
    expect(first[0]).toMatchObject({ name: 'A100', totalBytes: 4000 * 2 ** 20 })
    await expect.poll(async () => (await loop.gpus())[0]?.freeBytes, { timeout: 10_000 }).toBeLessThan(first[0]?.freeBytes ?? 0)
    expect(await loop.gpus()).toHaveLength(2)
    expect(starts()).toBe(1)
  })

  it('forgets what it said when it ends, and is started anew a minute later', async () => {
    const { loop, starts, tick } = program(`console.log('0, T4, 16000, 9000')`)
    await loop.gpus()
    await expect.poll(() => loop.gpus(), { timeout: 10_000 }).toEqual([])
    tick(59_000)
    await loop.gpus()
    expect(starts()).toBe(1)
    tick(2000)
    await loop.gpus()
    expect(starts()).toBe(2)
  })

  it('is not asked for again where it is not installed', async () => {
    let starts = 0
    loop = new NvidiaLoop({
      start: () => {
        starts++
        return spawn(ABSENT, [], { stdio: ['ignore', 'pipe', 'ignore'] })
      },
      now: () => starts * 1e9,
    })
    expect(await loop.gpus()).toEqual([])
    expect(await loop.gpus()).toEqual([])
    expect(starts).toBe(1)
  })
})
