import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from '../../src/chat/events.ts'
import type { ResourceSample, Resources } from '../../src/chat/resources.ts'
import { createKernel, type Kernel } from '../../src/core/kernel.ts'
import { definePlugin } from '../../src/core/plugin.ts'
import { type ResourcesOptions, resources } from '../../src/plugins/resources/index.ts'
import { linuxReader } from '../../src/plugins/resources/linux.ts'
import { HISTORY_MS, Sampler } from '../../src/plugins/resources/sampler.ts'
import { linuxSlowReader } from '../../src/plugins/resources/slow-linux.ts'
import { SlowRefresh } from '../../src/plugins/resources/slow-refresh.ts'

const GIB = 2 ** 30
const THRESHOLDS = { pressuredAt: 0.8, criticalAt: 0.9, criticalFreeBytes: GIB, stallPercent: 10 }

let root: string
let kernel: Kernel | undefined

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-resources-'))
})
afterEach(async () => {
  await kernel?.close()
  kernel = undefined
  fs.rmSync(root, { recursive: true, force: true })
})

/** Writes a file below the fake root at one stroke, as the kernel's own files change. */
function put(file: string, text: string): void {
  const full = path.join(root, file)
  fs.mkdirSync(path.dirname(full), { recursive: true })
  fs.writeFileSync(`${full}.new`, text)
  fs.renameSync(`${full}.new`, full)
}

function putMemory(usedPercent: number, totalGib: number = 32, stall: number = 0): void {
  const total = totalGib * 2 ** 20
  put(
    'proc/meminfo',
    `MemTotal: ${total} kB\nMemFree: 1 kB\nMemAvailable: ${Math.round(total * (1 - usedPercent / 100))} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n`,
  )
  put('proc/pressure/memory', `some avg10=${stall} avg60=0.00 avg300=0.00 total=0\nfull avg10=${stall} avg60=0.00 avg300=0.00 total=0\n`)
}

function putCpu(busy: number, idle: number): void {
  put('proc/stat', `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\ncpu0 ${busy} 0 0 ${idle} 0 0 0 0 0 0\n`)
}

const read = () => linuxReader(path.join(root, 'proc'), path.join(root, 'cgroup'))()

async function boot(options: ResourcesOptions = {}): Promise<Kernel> {
  const procRoot = path.join(root, 'proc')
  kernel = createKernel({
    plugins: [resources({ procRoot, cgroupRoot: path.join(root, 'cgroup'), intervalMs: 10, graphics: false, ...options })],
    lists: CHAT_LISTS,
    hooks: CHAT_HOOKS,
    mailboxes: CHAT_MAILBOXES,
  })
  return kernel
}

describe('linuxReader', () => {
  it('reads a machine without limits', () => {
    putMemory(50)
    putCpu(100, 300)
    expect(read()).toEqual({
      memory: { totalBytes: 32 * GIB, availableBytes: 16 * GIB, swapUsedBytes: 0 },
      cpu: { busy: 100, total: 400, cores: 1 },
      stallPercent: 0,
    })
  })

  it('takes the limit of a v2 container, less the cache that goes first', () => {
    putMemory(50)
    put('cgroup/memory.max', `${4 * GIB}\n`)
    put('cgroup/memory.current', `${3 * GIB}\n`)
    put('cgroup/memory.stat', `anon 1\nfile 1\ninactive_file ${GIB}\n`)
    put('cgroup/memory.pressure', 'some avg10=50.00 avg60=0 avg300=0 total=0\nfull avg10=22.50 avg60=0 avg300=0 total=0\n')
    expect(read()).toMatchObject({ memory: { totalBytes: 4 * GIB, availableBytes: 2 * GIB }, stallPercent: 22.5 })
  })

  it('takes the limit of a v1 container at the path of the process', () => {
    putMemory(50)
    put('proc/self/cgroup', '4:memory:/jobs/7\n0::/\n')
    put('cgroup/memory/memory.limit_in_bytes', '9223372036854771712\n')
    put('cgroup/memory/jobs/7/memory.limit_in_bytes', `${2 * GIB}\n`)
    put('cgroup/memory/jobs/7/memory.usage_in_bytes', `${GIB}\n`)
    expect(read().memory).toMatchObject({ totalBytes: 2 * GIB, availableBytes: GIB })
  })

  it('lets the tightest group above the process bind', () => {
    putMemory(50)
    put('proc/self/cgroup', '0::/user.slice/mai.scope\n')
    put('cgroup/user.slice/memory.max', `${8 * GIB}\n`)
    put('cgroup/user.slice/memory.current', `${7 * GIB}\n`)
    put('cgroup/user.slice/mai.scope/memory.max', 'max\n')
    put('cgroup/user.slice/mai.scope/memory.current', '1000\n')
    expect(read().memory).toMatchObject({ totalBytes: 8 * GIB, availableBytes: GIB })
  })

  it('finds a container limit when the path of the process is that of the host', () => {
    putMemory(50)
    put('proc/self/cgroup', '0::/../../system.slice/docker-1.scope\n')
    put('cgroup/memory.max', `${2 * GIB}\n`)
    put('cgroup/memory.current', '0\n')
    expect(read().memory.totalBytes).toBe(2 * GIB)
  })

  it('does not believe a limit at or above the memory of the machine', () => {
    putMemory(50)
    for (const limit of ['max', `${32 * GIB}`, `${64 * GIB}`, '9223372036854771712', '0', 'garbage']) {
      put('cgroup/memory.max', `${limit}\n`)
      put('cgroup/memory.current', `${GIB}\n`)
      expect(read().memory).toMatchObject({ totalBytes: 32 * GIB, availableBytes: 16 * GIB })
    }
  })

  it('never has more available than the machine, and never less than nothing', () => {
    putMemory(90)
    put('cgroup/memory.max', `${16 * GIB}\n`)
    put('cgroup/memory.current', '0\n')
    expect(read().memory.availableBytes).toBeCloseTo(3.2 * GIB, -6)
    put('cgroup/memory.current', `${17 * GIB}\n`)
    expect(read().memory.availableBytes).toBe(0)
  })

  it('falls back on Node where the files are missing or garbage', () => {
    expect(read().memory.totalBytes).toBeGreaterThan(0)
    put('proc/meminfo', 'nonsense')
    put('proc/stat', 'nonsense')
    const { memory, cpu } = read()
    expect(memory.totalBytes).toBeGreaterThan(0)
    expect(memory.availableBytes).toBeGreaterThan(0)
    expect(cpu.cores).toBeGreaterThan(0)
  })
})

describe('Sampler', () => {
  let clock = 0
  const sampler = (intervalMs = 1000) => {
    clock = 1_000_000
    return new Sampler({
      read: linuxReader(path.join(root, 'proc'), path.join(root, 'cgroup')),
      thresholds: THRESHOLDS,
      intervalMs,
      now: () => clock,
      monotonic: () => clock,
      firstLoad: () => 0.25,
      memoryUsers: async () => [],
      onSample: () => {},
    })
  }

  it('computes the load between two readings, and keeps it when they are too close to tell', () => {
    putMemory(10)
    putCpu(1000, 1000)
    const it = sampler()
    expect(it.take().cpu.load).toBe(0.25)
    putCpu(1030, 1010)
    expect(it.take().cpu.load).toBe(0.75)
    putCpu(1032, 1010)
    expect(it.take().cpu.load).toBe(0.75)
    putCpu(5, 5)
    expect(it.take().cpu.load).toBe(0.75)
    putCpu(5, 105)
    expect(it.take().cpu.load).toBe(0)
  })

  it('takes a sample on the spot when there is none or it is old, and else repeats it', () => {
    putMemory(10)
    const it = sampler()
    const first = it.latest()
    expect(first.memory.totalBytes).toBe(32 * GIB)
    clock += 1000
    expect(it.latest()).toBe(first)
    clock += 1
    putMemory(85)
    expect(it.latest()).toMatchObject({ level: 'pressured', time: clock })
    expect(it.history()).toHaveLength(2)
    putMemory(10)
    expect(it.latest(0)).toMatchObject({ level: 'normal', time: clock })
  })

  it('keeps ten minutes of history, and no more when the clock is set back', () => {
    putMemory(10)
    const it = sampler(60_000)
    for (let i = 0; i < 30; i++) {
      it.take()
      clock += 60_000
    }
    const times = it.history().map((sample) => sample.time)
    expect(times).toHaveLength(11)
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBe(HISTORY_MS)
    clock = 0
    for (let i = 0; i < 100; i++) it.take()
    // Four times as many as asked for, at the fastest, and as many in between.
    expect(it.history().length).toBeLessThanOrEqual(80)
  })

  it('fills a device that shares the memory from the memory, and moves a Mac headroom with the free count', () => {
    putMemory(75, 32)
    const it = sampler()
    it.setSlowFacts({
      gpus: [{ name: 'M3', totalBytes: 0, freeBytes: 0, unified: true }],
      battery: { discharging: true, percent: 40 },
      memory: { availableBytes: 20 * GIB, freeBytes: 9 * GIB, swapUsedBytes: 5 },
    })
    expect(it.take()).toMatchObject({
      memory: { totalBytes: 32 * GIB, availableBytes: 19 * GIB, swapUsedBytes: 5 },
      gpus: [{ name: 'M3', totalBytes: 32 * GIB, freeBytes: 19 * GIB }],
      battery: { percent: 40 },
    })
  })
})

describe('slow readings', () => {
  it('finds the memory of an AMD device and the battery in /sys', async () => {
    put('class/drm/card1/device/mem_info_vram_total', `${16 * GIB}\n`)
    put('class/drm/card1/device/mem_info_vram_used', '0\n')
    put('class/drm/card1-DP-1/status', 'connected\n')
    put('class/drm/card0/device/vendor', '0x8086\n')
    put('class/power_supply/AC/type', 'Mains\n')
    put('class/power_supply/BAT0/type', 'Battery\n')
    put('class/power_supply/BAT0/status', 'Discharging\n')
    put('class/power_supply/BAT0/capacity', '83\n')
    put('class/power_supply/mouse/type', 'Battery\n')
    put('class/power_supply/mouse/scope', 'Device\n')
    put('class/power_supply/mouse/capacity', '5\n')
    put('class/thermal/thermal_zone0/type', 'iwlwifi_1\n')
    put('class/thermal/thermal_zone0/temp', '88000\n')
    put('class/thermal/thermal_zone1/type', 'x86_pkg_temp\n')
    put('class/thermal/thermal_zone1/temp', '61500\n')
    const facts = await linuxSlowReader({ graphics: true, sysRoot: root })(new AbortController().signal)
    expect(facts.gpus).toContainEqual({ name: 'AMD GPU', totalBytes: 16 * GIB, freeBytes: 16 * GIB, unified: false })
    expect(facts.battery).toEqual({ discharging: true, percent: 83 })
    expect(facts.temperature).toBe(61.5)
  })

  it('finds nothing where there is nothing', async () => {
    const facts = await linuxSlowReader({ graphics: false, sysRoot: root })(new AbortController().signal)
    expect(facts).toEqual({ gpus: [], battery: undefined, temperature: undefined })
  })

  it('reports the first failure only, and goes on', async () => {
    const failures: unknown[] = []
    const facts: unknown[] = []
    let calls = 0
    const refresh = new SlowRefresh({
      read: async () => {
        if (++calls < 3) throw new Error(`no tool ${calls}`)
        return { gpus: [], battery: undefined }
      },
      timeoutMs: 5000,
      signal: new AbortController().signal,
      onFacts: (found) => facts.push(found),
      onFirstFailure: (error) => failures.push(error),
    })
    for (let i = 0; i < 3; i++) await refresh.now()
    expect(failures).toEqual([new Error('no tool 1')])
    expect(facts).toHaveLength(1)
  })

  it('gives up on a tool that hangs, and on closing at once', async () => {
    const failures: unknown[] = []
    const abort = new AbortController()
    const parts = {
      read: () => new Promise<never>(() => {}),
      signal: abort.signal,
      onFacts: () => {},
      onFirstFailure: (error: unknown) => failures.push(error),
    }
    await new SlowRefresh({ ...parts, timeoutMs: 5 }).now()
    expect(failures).toMatchObject([{ code: 'MAI_RESOURCES_SLOW' }])
    const running = new SlowRefresh({ ...parts, timeoutMs: 60_000 }).now()
    abort.abort()
    await running
    expect(failures).toHaveLength(1)
  })

  it('runs once more, not twice at once, when asked while running', async () => {
    let running = 0
    let most = 0
    let calls = 0
    const refresh = new SlowRefresh({
      read: async () => {
        calls++
        most = Math.max(most, ++running)
        await new Promise(setImmediate)
        running--
        return { gpus: [], battery: undefined }
      },
      timeoutMs: 5000,
      signal: new AbortController().signal,
      onFacts: () => {},
      onFirstFailure: () => {},
    })
    await Promise.all([refresh.now(), refresh.now(), refresh.now()])
    expect({ calls, most }).toEqual({ calls: 2, most: 1 })
  })
})

describe('the resources plugin', () => {
  it('tells each change of level once, from normal over pressured to critical and back', async () => {
    putMemory(50)
    putCpu(0, 100)
    const { context, start } = await boot().then((k) => ({ context: k.context, start: () => k.start() }))
    const edges: unknown[] = []
    context.on('resources.pressured', ({ level }) => void edges.push(level))
    context.on('resources.recovered', ({ availableBytes, totalBytes }) => void edges.push(['recovered', availableBytes / totalBytes]))
    /** The sample that shows this state, and one more, so that a repeated edge would show. */
    const samplesUntil = async (matches: (sample: ResourceSample) => boolean): Promise<void> => {
      while (!matches(await context.once('resources.sampled')));
      await context.once('resources.sampled')
    }
    await start()
    await samplesUntil((sample) => sample.level === 'normal')
    expect(edges).toEqual([])
    putMemory(84)
    await samplesUntil((sample) => sample.level === 'pressured')
    putMemory(95)
    await samplesUntil((sample) => sample.level === 'critical')
    putMemory(82)
    await samplesUntil((sample) => sample.level === 'pressured')
    putMemory(77)
    await samplesUntil((sample) => sample.memory.availableBytes > 7 * GIB)
    putMemory(50)
    await samplesUntil((sample) => sample.level === 'normal')
    putMemory(50, 32, 30)
    await samplesUntil((sample) => sample.memoryStall === 30)
    expect(edges).toEqual(['pressured', 'critical', 'pressured', ['recovered', 0.5], 'pressured'])
  })

  it('answers during the setup of other plugins, but states nothing before boot', async () => {
    putMemory(95)
    const seen: string[] = []
    let early: ResourceSample | undefined
    const asker = definePlugin({
      name: 'asker',
      apiVersion: 1,
      needs: ['resources'],
      setup(ctx) {
        ctx.on('resources.sampled', () => void seen.push('sampled'))
        ctx.on('resources.pressured', () => void seen.push('pressured'))
        early = ctx.use('resources').latest()
        expect(seen).toEqual([])
      },
    })
    const procRoot = path.join(root, 'proc')
    kernel = createKernel({
      plugins: [asker(), resources({ procRoot, cgroupRoot: root, graphics: false, intervalMs: 60_000 })],
      lists: CHAT_LISTS,
      hooks: CHAT_HOOKS,
    })
    await kernel.start()
    expect(early?.level).toBe('critical')
    expect(seen).toEqual(['sampled', 'pressured'])
  })

  it('stops sampling when it closes, and still answers from what it has', async () => {
    putMemory(50)
    const running = await boot()
    let samples = 0
    running.context.on('resources.sampled', () => void samples++)
    await running.start()
    await running.context.once('resources.sampled')
    const slot: Resources = running.context.use('resources')
    await running.close()
    const before = samples
    await new Promise((resolve) => setTimeout(resolve, 40))
    expect(samples).toBe(before)
    expect(slot.latest().memory.totalBytes).toBe(32 * GIB)
    expect(samples).toBe(before)
  })

  it('refuses options that make no sense, and says which', async () => {
    for (const options of [{ intervalMs: 0 }, { pressuredAt: 0.95 }, { stallPercent: 0 }, { intervall: 5 } as ResourcesOptions]) {
      await expect((await boot(options)).start()).rejects.toMatchObject({ code: 'MAI_PLUGIN_OPTIONS' })
    }
  })

  it('reads the real machine, with the real slow readings', async () => {
    kernel = createKernel({ plugins: [resources()], lists: CHAT_LISTS, hooks: CHAT_HOOKS, mailboxes: CHAT_MAILBOXES })
    const failed: unknown[] = []
    kernel.context.on('plugin.failed', (failure) => void failed.push(failure))
    await kernel.start()
    const sample = kernel.context.use('resources').latest()
    expect(sample.memory.totalBytes).toBeGreaterThan(2 ** 26)
    expect(sample.memory.availableBytes).toBeGreaterThan(0)
    expect(sample.memory.availableBytes).toBeLessThanOrEqual(sample.memory.totalBytes)
    expect(sample.cpu.load).toBeGreaterThanOrEqual(0)
    expect(sample.cpu.load).toBeLessThanOrEqual(1)
    await kernel.close()
    expect(failed).toEqual([])
  })

  it('costs far under a thousandth of a core at one sample a second', () => {
    if (process.platform !== 'linux') return
    const take = linuxReader('/proc', '/sys/fs/cgroup')
    for (let i = 0; i < 50; i++) take()
    const costs = Array.from({ length: 300 }, () => {
      const began = performance.now()
      take()
      return performance.now() - began
    }).sort((a, b) => a - b)
    // The median, as a noisy machine may stop us at any time; 1 ms would be 0.1 % of a core.
    expect(costs[150]).toBeLessThan(1)
  })
})
