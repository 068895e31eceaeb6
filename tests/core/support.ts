/**
 * Events, slots and hooks for the tests of the kernel, and a real kernel around them.
 *
 * @module
 */
import { onTestFinished } from 'vitest'
import type { MaiEvents } from '../../src/core/events.ts'
import { createKernel, type Kernel, type KernelConfig } from '../../src/core/kernel.ts'
import { definePlugin, type Plugin, type PluginContext, type PluginDefinition } from '../../src/core/plugin.ts'
import type { ListSlot } from '../../src/core/slots.ts'

declare module '../../src/core/events.ts' {
  interface MaiEvents {
    'test.a': number
    'test.b': number
    'test.c': number
  }
}

declare module '../../src/core/slots.ts' {
  interface MaiSlots {
    [slot: `test-slot-${string}`]: string
    'test-list': ListSlot<string>
  }
}

declare module '../../src/core/hooks.ts' {
  interface MaiHooks {
    'test.observed': { in: string; out: string }
    'test.gated': { in: string; out: string }
  }
}

export type Failure = MaiEvents['plugin.failed']

/** A failure that went to the last resort. */
export interface Lost {
  readonly plugin: string
  readonly during: string
  readonly error: unknown
}

/** A kernel of plugins called p1, p2 … whose failures are collected. */
export interface Started {
  readonly kernel: Kernel
  /** The host's context. */
  readonly ctx: PluginContext
  readonly failures: Failure[]
  readonly lost: Lost[]
}

export function plugin(name: string, setup: PluginDefinition['setup'], more: Partial<PluginDefinition> = {}): Plugin {
  return definePlugin({ name, apiVersion: 1, ...more, setup })()
}

/** A kernel that collects its failures and closes after the test; not yet started. */
export function newKernel(config: Partial<KernelConfig> = {}): Started {
  const failures: Failure[] = []
  const lost: Lost[] = []
  const kernel = createKernel({
    plugins: [],
    lists: ['test-list'],
    hooks: { 'test.observed': { kind: 'observer', timeoutMs: 30 }, 'test.gated': { kind: 'gate', timeoutMs: 30 } },
    onLost: (plugin, during, error) => lost.push({ plugin, during, error }),
    ...config,
  })
  kernel.context.on('plugin.failed', (failure) => void failures.push(failure))
  onTestFinished(() => kernel.close())
  return { kernel, ctx: kernel.context, failures, lost }
}

/** The same, started, with one plugin for each setup. */
export async function startKernel(setups: PluginDefinition['setup'][] = [], config: Partial<KernelConfig> = {}): Promise<Started> {
  const started = newKernel({ plugins: setups.map((setup, i) => plugin(`p${i + 1}`, setup)), ...config })
  await started.kernel.start()
  return started
}

/** A promise with its ends outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** All pending promise callbacks have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Never settles. */
export const never: Promise<never> = new Promise(() => {})
