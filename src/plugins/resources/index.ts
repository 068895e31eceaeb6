/**
 * The default `resources` plugin: samples memory, CPU, graphics and pressure, and tells when memory gets short.
 *
 * @module
 */
import os from 'node:os'
import type {} from '../../chat/events.ts'
import type { PressureLevel, ResourceSample } from '../../chat/resources.ts'
import { toErrorFact } from '../../core/errors.ts'
import { definePlugin, type PluginContext, type PluginFactory } from '../../core/plugin.ts'
import { linuxReader } from './linux.ts'
import { type ResourcesSettings, resourcesSchema } from './options.ts'
import { portableReader } from './portable.ts'
import type { DirectReader, SlowReader } from './reading.ts'
import { Sampler } from './sampler.ts'
import { linuxSlowReader } from './slow-linux.ts'
import { SlowRefresh } from './slow-refresh.ts'
import { assumedFacts, systeminformationReader } from './slow-systeminformation.ts'

export type { ResourcesOptions } from './options.ts'

/** Longest that one slow reading may take, in ms. */
const SLOW_TIMEOUT_MS = 10_000

/**
 * Provides the slot `resources`, and emits `resources.sampled`, `resources.pressured` and `resources.recovered`.
 *
 * @example
 * plugins: [resources({ intervalMs: 1000, pressuredAt: 0.7 })]
 */
export const resources: PluginFactory<typeof resourcesSchema> = definePlugin({
  name: 'resources',
  apiVersion: 1,
  provides: ['resources'],
  options: resourcesSchema,
  setup(ctx, settings) {
    const announce = announcer(ctx)
    let announcing = false
    const sampler = new Sampler({
      read: directReader(settings),
      thresholds: settings,
      intervalMs: settings.intervalMs,
      now: Date.now,
      monotonic: () => performance.now(),
      firstLoad: () => (os.loadavg()[0] ?? 0) / os.availableParallelism(),
      onSample: (sample) => {
        if (announcing && !ctx.signal.aborted) announce(sample)
      },
    })
    sampler.setSlowFacts(assumedFacts(process.platform, os.totalmem(), os.freemem()))
    ctx.provide('resources', sampler)

    const refresh = new SlowRefresh({
      read: slowReader(settings),
      timeoutMs: SLOW_TIMEOUT_MS,
      signal: ctx.signal,
      onFacts: (facts) => sampler.setSlowFacts(facts),
      onFirstFailure: (error) => ctx.emit('plugin.failed', { plugin: ctx.name, during: 'slow readings', error: toErrorFact(error) }),
    })
    let timers: NodeJS.Timeout[] = []
    ctx.onDispose(() => timers.forEach(clearInterval), 'timers')
    ctx.task('sampling', async () => {
      announcing = true
      sampler.take()
      timers = [
        setInterval(() => sampler.take(), settings.intervalMs).unref(),
        setInterval(() => refresh.now(), settings.slowIntervalMs).unref(),
      ]
      await refresh.now()
    })
    if (settings.graphics && isLinux(settings)) {
      // A model moves graphics memory at once; the slow interval would let a decision rest on old figures.
      for (const type of ['model.loaded', 'model.unloaded', 'model.load.failed'] as const) ctx.on(type, () => void refresh.now())
    }
  },
})

/** Emits each sample, and the edges between levels once. */
function announcer(ctx: PluginContext): (sample: ResourceSample) => void {
  let announced: PressureLevel = 'normal'
  return (sample) => {
    const { level, memory } = sample
    const { availableBytes, totalBytes } = memory
    ctx.emit('resources.sampled', sample)
    if (level === announced) return
    announced = level
    if (level === 'normal') ctx.emit('resources.recovered', { availableBytes, totalBytes })
    else ctx.emit('resources.pressured', { level, availableBytes, totalBytes })
  }
}

function directReader(settings: ResourcesSettings): DirectReader {
  return isLinux(settings) ? linuxReader(settings.procRoot, settings.cgroupRoot) : portableReader()
}

function slowReader(settings: ResourcesSettings): SlowReader {
  const { graphics } = settings
  return isLinux(settings)
    ? linuxSlowReader({ graphics, sysRoot: '/sys', timeoutMs: SLOW_TIMEOUT_MS })
    : systeminformationReader({ graphics })
}

/** A process file system given by hand is read wherever Mai runs. */
function isLinux({ procRoot }: ResourcesSettings): boolean {
  return process.platform === 'linux' || procRoot !== '/proc'
}
