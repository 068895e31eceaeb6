/**
 * Builds the context of one plugin: the kernel's parts, seen through its scope.
 *
 * @module
 */
import type { Bus } from './bus.ts'
import { kernelErrors } from './errors.ts'
import type { Disposer, EventType, Listener, ListenerOptions, MaiEvents } from './events.ts'
import type { Hooks } from './hooks.ts'
import type { PluginContext } from './plugin.ts'
import type { Scope } from './scope.ts'
import type { Slots } from './slots.ts'

/** What all contexts of a kernel share. */
export interface KernelParts {
  readonly bus: Bus
  readonly slots: Slots
  readonly hooks: Hooks
  /** Runs work after boot and reports its failure. */
  startTask(scope: Scope, label: string, work: (signal: AbortSignal) => Promise<void>): void
}

/** The context of the plugin (or host) that owns `scope`. */
export function createContext(scope: Scope, { bus, slots, hooks, startTask }: KernelParts): PluginContext {
  const { name, signal } = scope

  /** Owns an effect that ends with the scope, by its disposer, or by a signal, and leaves nothing on the signal. */
  function until(label: string, undo: () => void, end: AbortSignal | undefined): Disposer {
    const stop: Disposer = scope.own(label, () => {
      end?.removeEventListener('abort', stop)
      undo()
    })
    if (end?.aborted) stop()
    else end?.addEventListener('abort', stop)
    return stop
  }

  function on<T extends EventType>(type: T, listener: Listener<T>, options: ListenerOptions = {}): Disposer {
    scope.assertOpen(`listen to "${type}"`)
    return until(`listener of ${type}`, bus.on(type, listener, name, options.mailbox), options.signal)
  }

  function once<T extends EventType>(type: T, options: { readonly signal?: AbortSignal } = {}): Promise<MaiEvents[T]> {
    const end = options.signal
    return new Promise((resolve, reject) => {
      scope.assertOpen(`wait for "${type}"`)
      const came = (payload: MaiEvents[T]): void => {
        resolve(payload)
        stop()
      }
      const off = bus.on(type, came, name)
      const ended = (): void => {
        off()
        reject(end?.aborted ? end.reason : signal.reason) // Without effect once the event has come.
      }
      const stop = until(`listener of ${type}`, ended, end)
    })
  }

  // The registries hold implementations by name; MaiSlots and MaiHooks give them back their types here.
  const context = {
    name,
    signal,
    on,
    once,
    emit<T extends EventType>(type: T, payload: MaiEvents[T]): void {
      if (scope.closed) scope.assertOpen(`emit "${type}"`)
      bus.emit(type, payload)
    },
    listening: (type: EventType): boolean => bus.hasListeners(type),
    provide(slot: string, impl: unknown): Disposer {
      scope.assertOpen(`provide "${slot}"`)
      return scope.own(`slot ${slot}`, slots.provide(slot, impl, name))
    },
    use(slot: string): unknown {
      const held = slots.find(slot)
      if (!held) throw kernelErrors.slotMissing(slot, name)
      return held.impl
    },
    tryUse: (slot: string): unknown => slots.find(slot)?.impl,
    contribute(slot: string, impl: unknown): Disposer {
      scope.assertOpen(`contribute to "${slot}"`)
      return scope.own(`slot ${slot}`, slots.contribute(slot, impl, name))
    },
    all: (slot: string): unknown[] => slots.all(slot),
    hook(hook: string, handler: Parameters<Hooks['add']>[1], options: { readonly order?: number } = {}): Disposer {
      scope.assertOpen(`join the hook "${hook}"`)
      return scope.own(`hook ${hook}`, hooks.add(hook, handler, name, options.order ?? 0))
    },
    runHook: (hook: string, input: unknown, last: (input: unknown) => unknown): Promise<unknown> => hooks.run(hook, input, last, name),
    task(label: string, work: (signal: AbortSignal) => Promise<void>): void {
      scope.assertOpen(`start "${label}"`)
      startTask(scope, label, work)
    },
    onDispose: (cleanup: () => void | Promise<void>, label?: string): void => scope.onDispose(cleanup, label),
  }
  return context as unknown as PluginContext
}
