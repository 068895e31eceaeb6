/**
 * The default `resources` plugin: samples memory, CPU, graphics and pressure, and tells when memory gets short.
 *
 * @module
 */
import os from 'node:os'
import type {} from '../../chat/events.ts'
import type { MemoryUser, PressureLevel, ResourceSample } from '../../chat/resources.ts'
import { MaiError, toErrorFact } from '../../core/errors.ts'
import { definePlugin, type PluginContext, type PluginFactory } from '../../core/plugin.ts'
import { linuxReader } from './linux.ts'
import { linuxMemoryUsers, portableMemoryUsers } from './memory-users.ts'
import { NvidiaLoop } from './nvidia.ts'
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
      memoryUsers: (most) => memoryUsers(settings, most),
      onSample: (sample) => {
        if (announcing && !ctx.signal.aborted) announce(sample)
      },
    })
    sampler.setSlowFacts(assumedFacts(process.platform, os.totalmem(), os.freemem()))
    ctx.provide('resources', sampler)

    const refresh = new SlowRefresh({
      read: slowReader(settings, ctx),
      timeoutMs: SLOW_TIMEOUT_MS,
      signal: ctx.signal,
      onFacts: (facts) => sampler.setSlowFacts(facts),
      onFirstFailure: (error) => ctx.emit('plugin.failed', { plugin: ctx.name, during: 'slow readings', error: toErrorFact(error) }),
    })
    let next: NodeJS.Timeout | undefined
    let slow: NodeJS.Timeout | undefined
    ctx.onDispose(() => {
      clearTimeout(next)
      clearInterval(slow)
    }, 'timers')
    const look = (): void => {
      sampler.take()
      next = setTimeout(look, sampler.nextIntervalMs).unref()
    }
    ctx.task('sampling', async () => {
      announcing = true
      look()
      slow = setInterval(() => refresh.now(), settings.slowIntervalMs).unref()
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

function slowReader(settings: ResourcesSettings, ctx: PluginContext): SlowReader {
  const { graphics, sysRoot } = settings
  if (!isLinux(settings)) return systeminformationReader({ graphics })
  const nvidia = graphics ? new NvidiaLoop() : undefined
  ctx.onDispose(() => nvidia?.close(), 'nvidia-smi')
  return linuxSlowReader({ graphics, nvidia, sysRoot })
}

function memoryUsers(settings: ResourcesSettings, most: number): Promise<readonly MemoryUser[]> {
  if (settings.nameProcesses) return isLinux(settings) ? linuxMemoryUsers(settings.procRoot, most) : portableMemoryUsers(most)
  return Promise.reject(
    new MaiError('MAI_CONSENT_NEEDED', 'Mai does not look at what other programs are called unless it may.', {
      cure: 'Allow it with resources({ nameProcesses: true }) in mai.config.ts.',
    }),
  )
}

/** A process file system given by hand is read wherever Mai runs. */
function isLinux({ procRoot }: ResourcesSettings): boolean {
  return process.platform === 'linux' || procRoot !== '/proc'
}
