/**
 * The kernel: boots plugins, gives each its context, and closes them in reverse.
 *
 * @module
 */
import { bootOrder } from './boot.ts'
import { Bus } from './bus.ts'
import { createContext, type KernelParts } from './context.ts'
import { isMaiError, kernelErrors, toErrorFact } from './errors.ts'
import type { EventType, MailboxMode } from './events.ts'
import { type HookDefinition, Hooks } from './hooks.ts'
import { isPlugin, type Plugin, type PluginContext } from './plugin.ts'
import { Scope, within } from './scope.ts'
import { Slots } from './slots.ts'

/** What a kernel is made of. */
export interface KernelConfig {
  readonly plugins: readonly Plugin[]
  /** List slots of the domain. */
  readonly lists?: readonly string[]
  /** Hooks of the domain. */
  readonly hooks?: Readonly<Record<string, HookDefinition>>
  /** How asynchronous listeners of an event wait, where not `queue`. */
  readonly mailboxes?: Readonly<Partial<Record<EventType, MailboxMode>>>
  /** Limit for one plugin's setup, in ms; default 10,000. */
  readonly setupTimeoutMs?: number
  /** Limit for closing one plugin, in ms; default 5,000. */
  readonly closeTimeoutMs?: number
  /** Told of failures that no listener of `plugin.failed` could be told of. Default: standard error. */
  readonly onLost?: (plugin: string, during: string, error: unknown) => void
}

/** How long one plugin's setup took, in ms, in boot order. */
export interface BootTiming {
  readonly plugin: string
  readonly ms: number
}

/** A booted plugin, for `mai plugins`. */
export interface PluginReport {
  readonly name: string
  readonly version: string | undefined
  readonly slots: readonly string[]
  readonly effects: readonly string[]
  readonly bootMs: number
}

/** A set of plugins with one life. */
export interface Kernel extends AsyncDisposable {
  /** The host's own context, closed last. */
  readonly context: PluginContext
  readonly timings: readonly BootTiming[]
  /** Boots all plugins. On failure what was set up is undone. @throws MaiError one that names the plugin and the cure */
  start(): Promise<void>
  /** Closes all plugins in reverse order, once. Never rejects: problems become `plugin.failed`. */
  close(): Promise<void>
  plugins(): PluginReport[]
}

interface Booted {
  readonly plugin: Plugin
  readonly scope: Scope
  readonly ms: number
}

type Phase = 'new' | 'starting' | 'running' | 'closed'

/**
 * Creates a kernel. Nothing runs until `start()`.
 *
 * @example
 * await using kernel = createKernel({ plugins: [greeter()] })
 * await kernel.start()
 */
export function createKernel(config: KernelConfig): Kernel {
  return new KernelRuntime(config)
}

class KernelRuntime implements Kernel {
  readonly context: PluginContext
  readonly #config: KernelConfig
  readonly #host: Scope = new Scope('mai')
  readonly #parts: KernelParts
  readonly #booted: Booted[] = []
  readonly #waitingTasks: (() => void)[] = []
  #phase: Phase = 'new'
  #closing: Promise<void> | undefined

  constructor(config: KernelConfig) {
    this.#config = config
    const onLost = config.onLost ?? toStandardError
    const bus = new Bus(config.mailboxes ?? {}, onLost)
    this.#parts = {
      bus,
      slots: new Slots(config.lists ?? []),
      hooks: new Hooks(config.hooks ?? {}, (owner, hook, error) => bus.fail(owner, `hook ${hook}`, error)),
      startTask: (scope, label, work) => {
        const begin = (): void => this.#runTask(scope, label, work)
        if (this.#phase === 'running') begin()
        else this.#waitingTasks.push(begin)
      },
    }
    this.context = createContext(this.#host, this.#parts)
  }

  get timings(): readonly BootTiming[] {
    return this.#booted.map(({ plugin, ms }) => ({ plugin: plugin.definition.name, ms }))
  }

  plugins(): PluginReport[] {
    return this.#booted.map(({ plugin, scope, ms }) => ({
      name: plugin.definition.name,
      version: plugin.definition.version,
      slots: this.#parts.slots.ownedBy(plugin.definition.name),
      effects: scope.list(),
      bootMs: ms,
    }))
  }

  async start(): Promise<void> {
    if (this.#phase !== 'new') throw kernelErrors.kernelState(this.#phase)
    this.#phase = 'starting'
    const began = performance.now()
    try {
      for (const plugin of this.#ordered()) await this.#boot(plugin)
    } catch (error) {
      await this.close()
      throw error
    }
    this.#phase = 'running'
    for (const begin of this.#waitingTasks.splice(0)) begin()
    this.context.emit('kernel.ready', { bootMs: performance.now() - began, plugins: this.#booted.map((b) => b.plugin.definition.name) })
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Declares what plugins define for each other, then orders them. */
  #ordered(): Plugin[] {
    const { slots, hooks } = this.#parts
    const plugins = this.#config.plugins
    for (const plugin of plugins.filter(isPlugin)) {
      for (const list of plugin.definition.lists ?? []) slots.declareList(list)
      for (const [hook, definition] of Object.entries<HookDefinition>(plugin.definition.hooks ?? {})) hooks.define(hook, definition)
    }
    return bootOrder(plugins, (slot) => slots.isList(slot))
  }

  async #boot(plugin: Plugin): Promise<void> {
    const { name, provides = [] } = plugin.definition
    const limit = this.#config.setupTimeoutMs ?? 10_000
    const began = performance.now()
    const options = await within(validatedOptions(plugin), limit, () => kernelErrors.setupTimeout(name, limit))
    this.#assertStarting()
    const scope = new Scope(name)
    // In the list before its setup, so that a failure half-way is rolled back too.
    const position = this.#booted.push({ plugin, scope, ms: 0 }) - 1
    try {
      const setup = plugin.definition.setup(createContext(scope, this.#parts), options)
      if (setup !== undefined) await within(setup, limit, () => kernelErrors.setupTimeout(name, limit))
    } catch (error) {
      throw isMaiError(error) ? error : kernelErrors.setupFailed(name, error)
    }
    this.#assertStarting()
    for (const slot of provides) {
      if (!this.#parts.slots.isList(slot) && this.#parts.slots.find(slot)?.owner !== name) throw kernelErrors.slotUnfilled(slot, name)
    }
    this.#booted[position] = { plugin, scope, ms: performance.now() - began }
  }

  /** Closing the kernel while it boots ends the boot. */
  #assertStarting(): void {
    if (this.#phase !== 'starting') throw kernelErrors.kernelState(this.#phase)
  }

  #runTask(scope: Scope, label: string, work: (signal: AbortSignal) => Promise<void>): void {
    if (scope.closed) return
    const running = (async () => work(scope.signal))().catch((error) => {
      // To be aborted is how a task ends when its plugin closes.
      if (!scope.signal.aborted) this.#parts.bus.fail(scope.name, `task ${label}`, error)
    })
    const ended = scope.own(`task ${label}`, () => running)
    void running.then(ended)
  }

  async #closeAll(): Promise<void> {
    const wasRunning = this.#phase === 'running'
    this.#phase = 'closed'
    if (wasRunning) this.context.emit('kernel.closing', {})
    const limit = this.#config.closeTimeoutMs ?? 5000
    const scopes = [...this.#booted.map((booted) => booted.scope).reverse(), this.#host]
    for (const scope of scopes) {
      for (const { effect, error } of await scope.close(limit)) {
        this.#parts.bus.fail(scope.name, `closing ${effect}`, error)
      }
    }
  }
}

/** @throws MaiError `MAI_PLUGIN_OPTIONS` */
async function validatedOptions({ definition, input }: Plugin): Promise<unknown> {
  const validate = async () => definition.options?.['~standard'].validate(input)
  const result = await validate().catch((error: unknown) => {
    throw kernelErrors.pluginOptions(definition.name, [toErrorFact(error).message], error)
  })
  if (!result) return input
  if (!result.issues) return result.value
  const issues = result.issues.map(({ message, path = [] }) => {
    const where = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
    return where ? `${where}: ${message}` : message
  })
  throw kernelErrors.pluginOptions(definition.name, issues)
}

function toStandardError(plugin: string, during: string, error: unknown): void {
  process.stderr.write(`mai: "${plugin}" failed in its ${during}: ${toErrorFact(error).message}\n`)
}
