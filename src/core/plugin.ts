/**
 * What a plugin is, and what it sees of the kernel.
 *
 * @module
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Disposer, EventType, Listener, ListenerOptions, MaiEvents } from './events.ts'
import type { HookDefinition, HookHandler, HookInput, HookName, HookOutput } from './hooks.ts'
import type { Cleanup } from './scope.ts'
import type { Contribution, ListSlotName, MaiSlots, SingleSlotName, SlotName } from './slots.ts'

/** The plugin contract that this kernel speaks. */
export const PLUGIN_API_VERSION = 1

/** A symbol of the global registry, so that plugins of another copy of the package are recognised. */
const BRAND: unique symbol = Symbol.for('mai.plugin')

/** All a plugin sees of the kernel. What it registers here is undone when it closes. */
export interface PluginContext {
  /** The plugin's name. */
  readonly name: string
  /** Aborted when the plugin closes. */
  readonly signal: AbortSignal
  /** Listens to an event. A throw is contained and becomes `plugin.failed`. @throws MaiError `MAI_SCOPE_CLOSED` */
  on<T extends EventType>(type: T, listener: Listener<T>, options?: ListenerOptions): Disposer
  /** The next such event. Rejects when the plugin closes or the signal aborts. @throws MaiError `MAI_SCOPE_CLOSED` */
  once<T extends EventType>(type: T, options?: { readonly signal?: AbortSignal }): Promise<MaiEvents[T]>
  /** States a fact. @throws MaiError `MAI_SCOPE_CLOSED` */
  emit<T extends EventType>(type: T, payload: MaiEvents[T]): void
  /** Whether anybody listens: lets an emitter skip building an expensive payload. */
  listening(type: EventType): boolean
  /** Answers a slot. @throws MaiError `MAI_SLOT_TAKEN`, `MAI_SCOPE_CLOSED` */
  provide<K extends SingleSlotName>(slot: K, impl: MaiSlots[K]): Disposer
  /** Asks a slot. @throws MaiError `MAI_SLOT_MISSING` */
  use<K extends SingleSlotName>(slot: K): MaiSlots[K]
  /** Asks a slot that may have no answerer. */
  tryUse<K extends SingleSlotName>(slot: K): MaiSlots[K] | undefined
  /** Adds to a list slot. @throws MaiError `MAI_SCOPE_CLOSED` */
  contribute<K extends ListSlotName>(slot: K, impl: Contribution<K>): Disposer
  /** All contributions to a list slot, in the order of the configuration. */
  all<K extends ListSlotName>(slot: K): Contribution<K>[]
  /** Takes part in a hook. Lower `order` runs first. @throws MaiError `MAI_HOOK_UNKNOWN`, `MAI_SCOPE_CLOSED` */
  hook<K extends HookName>(name: K, handler: HookHandler<K>, options?: { readonly order?: number }): Disposer
  /** Runs a hook: all handlers, then `last`. */
  runHook<K extends HookName>(
    name: K,
    input: HookInput<K>,
    last: (input: HookInput<K>) => HookOutput<K> | Promise<HookOutput<K>>,
  ): Promise<HookOutput<K>>
  /** Starts work once every plugin is set up. Its failure is `plugin.failed`; closing waits for its end. */
  task(label: string, work: (signal: AbortSignal) => Promise<void>): void
  /** Registers an ending. Endings run in reverse order. @throws MaiError `MAI_SCOPE_CLOSED` */
  onDispose(cleanup: Cleanup, label?: string): void
}

/** `'x'` requires the slot, `'x?'` only orders this plugin after those that provide it. */
export type Need = SlotName | `${SlotName}?`

/** What {@link definePlugin} takes. */
export interface PluginDefinition<Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly name: string
  readonly apiVersion: typeof PLUGIN_API_VERSION
  /** The plugin's own version, for `mai plugins`. */
  readonly version?: string
  readonly needs?: readonly Need[]
  /** Slots it answers or contributes to. */
  readonly provides?: readonly SlotName[]
  /** List slots that this plugin defines for others. */
  readonly lists?: readonly ListSlotName[]
  /** Hooks that this plugin defines and runs. */
  readonly hooks?: Readonly<Partial<Record<HookName, HookDefinition>>>
  /** Any Standard Schema; validated at boot. */
  readonly options?: Schema
  /** Registers things. Neither network nor processes here: use `ctx.task` or first use. */
  setup(ctx: PluginContext, options: StandardSchemaV1.InferOutput<Schema>): void | Promise<void>
}

/** A plugin with its options, as it stands in a configuration. */
export interface Plugin {
  readonly [BRAND]: true
  readonly definition: PluginDefinition
  readonly input: unknown
}

/** Makes a {@link Plugin} from options. */
export type PluginFactory<Schema extends StandardSchemaV1> = (options?: StandardSchemaV1.InferInput<Schema>) => Plugin

/**
 * Defines a plugin.
 *
 * @example
 * export const greeter = definePlugin({
 *   name: 'greeter',
 *   apiVersion: 1,
 *   setup(ctx) { ctx.on('kernel.ready', ({ bootMs }) => console.error(`ready in ${bootMs} ms`)) },
 * })
 * // mai.config.ts: defineConfig({ plugins: [greeter()] })
 */
export function definePlugin<Schema extends StandardSchemaV1>(definition: PluginDefinition<Schema>): PluginFactory<Schema> {
  // Options reach setup only after its own schema has validated them, so the erased type is safe.
  const erased = definition as unknown as PluginDefinition
  return (options) => ({ [BRAND]: true, definition: erased, input: options ?? {} })
}

/** True for a plugin of this or another copy of the package. */
export function isPlugin(value: unknown): value is Plugin {
  return typeof value === 'object' && value !== null && BRAND in value && value[BRAND] === true
}
