/**
 * Nanoseconds per emit of Mai's bus, through the context of a plugin of a real kernel, beside the emitters people know;
 * and how long the kernel takes to boot twenty chained plugins.
 *
 * @module
 */
import { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import Emittery from 'emittery'
import { createHooks } from 'hookable'
import tapable from 'tapable'
import { createEmitter } from '../src/core/emitter.ts'
import { createKernel } from '../src/core/kernel.ts'
import { definePlugin, type Plugin, type PluginContext } from '../src/core/plugin.ts'
import { alternate, type Cell, type Measurement, ratio, report } from './harness.ts'

declare module '../src/core/events.ts' {
  interface MaiEvents {
    'bench.tick': { readonly n: number }
  }
}

declare module '../src/core/slots.ts' {
  interface MaiSlots {
    [link: `bench-link-${number}`]: number
  }
}

type Tick = { readonly n: number }
/** Emits so many times. Each contender has a loop of its own, so that the engine may optimise it for that contender. */
type Loop = (times: number) => void | Promise<void>

const LISTENERS = [1, 10, 100] as const
const GOALS: Readonly<Record<number, number>> = { 1: 1.4, 10: 1.4, 100: 1.3 }
const ROUNDS = 41
const MIN_MS = 4
const CHAIN = 20
const OURS = "Mai's bus"
// A copy of mitt of its own, so that the engine's notes on it are not blurred by the bus, which uses the other.
const mitt: typeof createEmitter = createRequire(import.meta.url)('mitt')
const tick: Tick = { n: 1 }
let heard = 0

/** Nanoseconds per emit, over as many emits as last at least `MIN_MS`. */
function perEmit(loop: Loop): Measurement {
  let times = 64
  return async () => {
    for (;;) {
      const began = performance.now()
      const running = loop(times)
      if (running !== undefined) await running
      const ms = performance.now() - began
      if (ms >= MIN_MS) return (ms * 1e6) / times
      times *= 2
    }
  }
}

/** A new listener for each registration, as in life. */
function listener(): (tick: Tick) => void {
  return ({ n }) => {
    heard += n
  }
}

async function contextOfRealKernel(): Promise<PluginContext> {
  return new Promise((resolve, reject) => {
    const plugin = definePlugin({ name: 'bench', apiVersion: 1, setup: resolve })
    createKernel({ plugins: [plugin()] })
      .start()
      .catch(reject)
  })
}

async function contenders(listeners: number): Promise<Record<string, Measurement>> {
  const mai = await contextOfRealKernel()
  const raw = mitt<{ tick: Tick }>()
  const node = new EventEmitter().setMaxListeners(0)
  const hooks = createHooks<{ tick: (tick: Tick) => void }>()
  const emittery = new Emittery<{ tick: Tick }>()
  const series = new tapable.AsyncSeriesHook<[Tick]>(['tick'])
  for (let i = 0; i < listeners; i++) {
    mai.on('bench.tick', listener())
    raw.on('tick', listener())
    node.on('tick', listener())
    hooks.hook('tick', listener())
    emittery.on('tick', listener())
    series.tap(`listener ${i}`, listener())
  }
  const loops: Record<string, Loop> = {
    [OURS]: (times) => {
      for (let i = 0; i < times; i++) mai.emit('bench.tick', tick)
    },
    mitt: (times) => {
      for (let i = 0; i < times; i++) raw.emit('tick', tick)
    },
    EventEmitter: (times) => {
      for (let i = 0; i < times; i++) node.emit('tick', tick)
    },
    'hookable callHook': async (times) => {
      for (let i = 0; i < times; i++) await hooks.callHook('tick', tick)
    },
    'emittery emitSerial': async (times) => {
      for (let i = 0; i < times; i++) await emittery.emitSerial('tick', tick)
    },
    'tapable AsyncSeriesHook': async (times) => {
      for (let i = 0; i < times; i++) await series.promise(tick)
    },
  }
  return Object.fromEntries(Object.entries(loops).map(([name, loop]) => [name, perEmit(loop)]))
}

/** Each plugin needs the slot of the one before it; configured backwards, so that ordering has work to do. */
function chain(length: number): Plugin[] {
  return Array.from({ length }, (_, i) =>
    definePlugin({
      name: `link ${i}`,
      apiVersion: 1,
      needs: i > 0 ? [`bench-link-${i - 1}`] : [],
      provides: [`bench-link-${i}`],
      setup(ctx) {
        ctx.provide(`bench-link-${i}`, i)
        ctx.on('bench.tick', listener())
      },
    })(),
  ).reverse()
}

async function bootMs(): Promise<number> {
  await using kernel = createKernel({ plugins: chain(CHAIN) })
  const began = performance.now()
  await kernel.start()
  return performance.now() - began
}

const columns = LISTENERS.map((count) => ({ key: `n${count}`, heading: `${count} listener${count > 1 ? 's' : ''}` }))
const rows = new Map<string, Record<string, Cell>>()
const set = (name: string, key: string, cell: Cell): void => void rows.set(name, { ...rows.get(name), name, [key]: cell })
for (const count of LISTENERS) {
  const figures = await alternate(await contenders(count), ROUNDS)
  for (const [name, { median }] of figures) set(name, `n${count}`, median)
  const quotient = ratio(figures, OURS, 'mitt')
  const goal = GOALS[count] ?? Number.NaN
  set('ours / mitt', `n${count}`, Number(quotient.toFixed(2)))
  set('goal', `n${count}`, `≤ ${goal}`)
}
const boot = (await alternate({ boot: bootMs }, 101)).get('boot')?.median ?? Number.NaN

if (mitt === createEmitter) throw new Error('Raw mitt and the bus share one copy of mitt, so neither is measured alone.')
if (heard === 0) throw new Error('No listener heard anything, so nothing was measured.')
report([
  {
    title: 'Nanoseconds per emit, trivial listeners',
    columns: [{ key: 'name', heading: '' }, ...columns.map((column) => ({ ...column, digits: 2 }))],
    rows: [...rows.values()],
    notes: [`Medians of ${ROUNDS} rounds, all contenders in turn in one process; the ratio is the median of the rounds' ratios.`],
  },
  {
    title: `Boot of ${CHAIN} plugins, each needing the one before it`,
    columns: [{ key: 'ms', heading: 'ms', digits: 3 }],
    rows: [{ ms: boot }],
    notes: ['Median of 101 boots.'],
  },
])
