/**
 * What the plugin `resources` costs at one sample a second: share of a core, longest block of the event loop, child processes;
 * beside systeminformation asked for the same, in the same run. `--soak MINUTES` then samples ten times a second for so long,
 * and shows whether memory or handles grow.
 *
 * @module
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import si from 'systeminformation'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from '../src/chat/events.ts'
import { createKernel, type Kernel } from '../src/core/kernel.ts'
import { type ResourcesOptions, resources } from '../src/plugins/resources/index.ts'
import { linuxReader } from '../src/plugins/resources/linux.ts'
import { median, type Report, report } from './harness.ts'

/** Length of one contender's measurement, in s. */
const SECONDS = 20
/** Of the watch on the event loop, in ms. */
const RESOLUTION_MS = 10
/** Looks in a row, for the cost of one. */
const LOOKS = 2000

async function boot(options: ResourcesOptions): Promise<Kernel> {
  const kernel = createKernel({ plugins: [resources(options)], lists: CHAT_LISTS, hooks: CHAT_HOOKS, mailboxes: CHAT_MAILBOXES })
  await kernel.start()
  return kernel
}

interface Cost {
  /** Of a core, in percent. */
  readonly cpu: number
  /** Longest that the event loop stood still beyond its own pace, in ms. */
  readonly block: number
  /** Started while it was measured. */
  readonly children: number
}

/** What a stretch of time costs this process. The loop's own pace is measured first. */
async function costOf(work: () => Promise<() => Promise<void>>): Promise<Cost> {
  const stop = await work()
  // What happens once is no cost of a sample.
  await pause(1500)
  const before = process.cpuUsage()
  const began = performance.now()
  await pause(SECONDS * 1000)
  const { user, system } = process.cpuUsage(before)
  const cpu = (user + system) / 10 / (performance.now() - began)
  // Watching costs more than what is watched: not in the same stretch.
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  const children = childCounter()
  delay.enable()
  await pause((SECONDS * 1000) / 2)
  delay.disable()
  await stop()
  return { cpu, block: Math.max(0, delay.max / 1e6 - RESOLUTION_MS), children: children() }
}

/** Counts child processes by the handles that Node holds of them, looked at often. */
function childCounter(): () => number {
  const seen = new Set<number>()
  const handles = (): { pid?: unknown }[] => (process as unknown as { _getActiveHandles(): { pid?: unknown }[] })._getActiveHandles()
  const known = new Set(handles().map(({ pid }) => pid))
  const timer = setInterval(() => {
    for (const { pid } of handles()) if (typeof pid === 'number' && !known.has(pid)) seen.add(pid)
  }, 20)
  return () => {
    clearInterval(timer)
    return seen.size
  }
}

const idle = async (): Promise<() => Promise<void>> => async () => {}

async function plugin(): Promise<() => Promise<void>> {
  const kernel = await boot({ intervalMs: 1000 })
  // The pace is the plugin's own; once a second is asked for here whatever it thinks.
  const timer = setInterval(() => kernel.context.use('resources').latest(), 1000)
  return async () => {
    clearInterval(timer)
    await kernel.close()
  }
}

async function systeminformation(): Promise<() => Promise<void>> {
  const timer = setInterval(() => void Promise.all([si.mem(), si.currentLoad()]).catch(() => {}), 1000)
  return async () => clearInterval(timer)
}

/** One look: time that it takes of a core, and how long it holds the event loop. ms. */
function oneLook(): { readonly cpu: number; readonly middle: number; readonly longest: number } {
  const look = linuxReader('/proc', '/sys/fs/cgroup')
  const before = process.cpuUsage()
  const times = Array.from({ length: LOOKS }, () => {
    const began = performance.now()
    look()
    return performance.now() - began
  })
  const { user, system } = process.cpuUsage(before)
  // The machine itself stops any process now and then.
  const longest = [...times].sort((a, b) => a - b)[Math.ceil(LOOKS * 0.99) - 1] ?? Number.NaN
  return { cpu: (user + system) / 1000 / LOOKS, middle: median(times), longest }
}

/** `--soak MINUTES`. */
function soakMinutes(): number {
  const at = process.argv.indexOf('--soak')
  return at < 0 ? 0 : Number(process.argv[at + 1] ?? Number.NaN)
}

interface Soak {
  readonly note: string
}

async function soak(minutes: number): Promise<Soak> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const heapKb = (): number => {
    collect()
    return process.memoryUsage().heapUsed / 1000
  }
  const kernel = await boot({ intervalMs: 100 })
  let samples = 0
  kernel.context.on('resources.sampled', () => {
    samples++
  })
  const slices: { heap: number; handles: number; rss: number }[] = []
  // The history fills first; what comes afterwards must not grow.
  for (let slice = 0; slice <= 10; slice++) {
    if (slice > 0) await pause((minutes * 60_000) / 10)
    slices.push({ heap: heapKb(), handles: process.getActiveResourcesInfo().length, rss: process.memoryUsage.rss() / 1e6 })
  }
  await kernel.close()
  const [middle, last] = [slices[5], slices[10]]
  const text = `heap ${slices.map(({ heap }) => Math.round(heap)).join(' ')} kB; handles ${slices.map(({ handles }) => handles).join(' ')}; resident ${Math.round(slices[0]?.rss ?? 0)} to ${Math.round(last?.rss ?? 0)} MB`
  const growth = last && middle ? Math.round(last.heap - middle.heap) : Number.NaN
  return { note: `Soak of ${minutes} min, ${samples} samples: ${text}; second half ${growth} kB.` }
}

async function measured(): Promise<Report> {
  const contenders = { nothing: idle, 'Mai, resources': plugin, 'systeminformation, mem() and currentLoad()': systeminformation }
  const rows: Record<string, string | number>[] = []
  for (const [name, work] of Object.entries(contenders)) {
    const { cpu, block, children } = await costOf(work)
    rows.push({ name, cpu, block, children })
  }
  const [base] = rows
  for (const row of rows) row.more = Number(row.cpu) - Number(base?.cpu)
  const look = oneLook()
  const minutes = soakMinutes()
  return {
    title: `One sample a second, ${SECONDS} s each`,
    columns: [
      { key: 'name', heading: 'who' },
      { key: 'cpu', heading: '% of a core', digits: 3 },
      { key: 'more', heading: 'beyond nothing', digits: 3 },
      { key: 'block', heading: 'longest delay of the loop, ms', digits: 2 },
      { key: 'children', heading: 'child processes', digits: 0 },
    ],
    rows,
    notes: [
      'The history of ten minutes at one sample a second, about 0.3 MB, fills during a soak.',
      `One look at the machine takes ${look.cpu.toFixed(3)} ms of a core, ${(look.cpu / 10).toFixed(4)} % of it at one a second, and holds the event loop for ${look.middle.toFixed(3)} ms, ${look.longest.toFixed(2)} ms at most (99 % of ${LOOKS}). Goals: 0.1 %, 2 ms, no child process a sample.`,
      'The delay holds what the machine does to any process; compare with the row of nothing.',
      ...(minutes > 0 ? [(await soak(minutes)).note] : []),
    ],
  }
}

report(await measured())
