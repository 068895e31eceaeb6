/**
 * Resources from a script: the machine has what the test says.
 *
 * @module
 */
import type { PressureLevel, ResourceSample } from '../chat/resources.ts'
import { definePlugin, type Plugin, type PluginContext } from '../core/plugin.ts'

const GIB = 2 ** 30

/** A machine of 16 GiB that can be filled and emptied. */
export interface ResourceTrace {
  readonly plugin: Plugin
  /** Sets the free memory and states the edge, if it is one. */
  set(availableBytes: number, level?: PressureLevel): void
  /** Takes free memory, or gives it back where negative: what models that come and go do. */
  take(bytes: number): void
}

/**
 * Makes a scripted `resources` plugin.
 *
 * @example
 * const machine = resourceTrace(8 * 2 ** 30)
 * machine.set(2 ** 30, 'critical')
 */
export function resourceTrace(availableBytes: number = 12 * GIB, totalBytes: number = 16 * GIB): ResourceTrace {
  let sample = sampleOf(availableBytes, totalBytes, 'normal')
  let context: PluginContext | undefined
  const make = definePlugin({
    name: 'resources',
    apiVersion: 1,
    provides: ['resources'],
    setup(ctx) {
      context = ctx
      ctx.provide('resources', { latest: () => sample, history: () => [sample] })
    },
  })
  return {
    plugin: make(),
    take(bytes) {
      sample = sampleOf(sample.memory.availableBytes - bytes, totalBytes, sample.level)
    },
    set(bytes, level = 'normal') {
      const before = sample.level
      sample = sampleOf(bytes, totalBytes, level)
      if (level === before) return
      if (level === 'normal') context?.emit('resources.recovered', { availableBytes: bytes, totalBytes })
      else context?.emit('resources.pressured', { level, availableBytes: bytes, totalBytes })
    },
  }
}

function sampleOf(availableBytes: number, totalBytes: number, level: PressureLevel): ResourceSample {
  return {
    time: Date.now(),
    memory: { totalBytes, availableBytes, swapUsedBytes: 0 },
    cpu: { cores: 4, load: 0.1 },
    gpus: [],
    memoryStall: undefined,
    battery: undefined,
    level,
  }
}
