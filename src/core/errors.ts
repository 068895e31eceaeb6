/**
 * The one error class of Mai, and the kernel's own errors.
 *
 * @module
 */

/** Every code starts with `MAI_`; scripts may rely on it, the wording may change. */
export type MaiErrorCode = `MAI_${string}`

/** What to add to an error beside its code and problem. */
export interface MaiErrorOptions {
  /** What the person can do about it, as a full sentence. */
  readonly cure?: string
  /** The error underneath. */
  readonly cause?: unknown
  /** Further machine-readable facts: ids and numbers, never message text. */
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * An error a person can act on: a stable code, what happened, and the cure.
 *
 * @example
 * throw new MaiError('MAI_CONFIG_INVALID', 'The port is not a number.', { cure: 'Give a port such as 1234.' })
 */
export class MaiError extends Error {
  readonly code: MaiErrorCode
  /** What happened, without the cure. */
  readonly problem: string
  readonly cure: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: MaiErrorCode, problem: string, options: MaiErrorOptions = {}) {
    super(options.cure ? `${problem} ${options.cure}` : problem, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'MaiError'
    this.code = code
    this.problem = problem
    this.cure = options.cure
    this.details = options.details
  }
}

/** True for a {@link MaiError}, also one made by another copy of this package. */
export function isMaiError(error: unknown): error is MaiError {
  return error instanceof Error && 'code' in error && 'problem' in error && typeof error.code === 'string' && error.code.startsWith('MAI_')
}

/** An error as plain data, for events and logs: serialisable and without a stack. */
export interface ErrorFact {
  readonly code: string
  readonly message: string
}

/** Reduces anything thrown to {@link ErrorFact}. */
export function toErrorFact(error: unknown): ErrorFact {
  try {
    if (!(error instanceof Error)) return { code: 'UNKNOWN', message: String(error) }
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name
    return { code: String(code), message: String(error.message) }
  } catch {
    // Anything can be thrown, also what refuses to be read: an object without a prototype, a getter that throws.
    return { code: 'UNKNOWN', message: 'something that cannot be shown as text' }
  }
}

/** Milliseconds as a person reads them. */
const seconds = (ms: number): string => (ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`)

/** Errors of the kernel: one function each, so that wording and cure stand in one place. */
export const kernelErrors = {
  scopeClosed: (name: string, action: string): MaiError =>
    new MaiError('MAI_SCOPE_CLOSED', `"${name}" is closed, so it can no longer ${action}.`, {
      cure: 'Stop the work when ctx.signal aborts, or register its end with ctx.onDispose.',
      details: { name, action },
    }),
  closeTimeout: (name: string, effect: string, ms: number): MaiError =>
    new MaiError('MAI_CLOSE_TIMEOUT', `"${effect}" of "${name}" did not end within ${seconds(ms)}.`, {
      cure: 'Make its disposer settle, and abort what it waits for when ctx.signal aborts.',
      details: { name, effect, ms },
    }),
  tooManyHops: (type: string, hops: number): MaiError =>
    new MaiError('MAI_EVENT_LOOP', `"${type}" was not sent: it ends a chain of ${hops} events, each emitted because of the last.`, {
      cure: 'Two listeners answer each other; let one of them stop.',
      details: { type, hops },
    }),
  queueFull: (dropped: number, bound: number): MaiError =>
    new MaiError('MAI_EVENT_FLOOD', `${dropped} events were dropped: more than ${bound} were waiting.`, {
      cure: 'Emit fewer events from inside listeners.',
      details: { dropped, bound },
    }),
  mailboxFull: (plugin: string, type: string, dropped: number): MaiError =>
    new MaiError('MAI_LISTENER_SLOW', `The listener of "${plugin}" for "${type}" is too slow: events dropped for it: ${dropped}.`, {
      cure: "Do less in the listener, or register it with { mailbox: 'latest' }.",
      details: { plugin, type, dropped },
    }),
  slotMissing: (slot: string, who: string): MaiError =>
    new MaiError('MAI_SLOT_MISSING', `"${who}" needs the slot "${slot}", and no plugin provides it.`, {
      cure: `Add a plugin that provides "${slot}" to mai.config.ts; you may have forgotten one, disabled it, or set defaults: false.`,
      details: { slot, plugin: who },
    }),
  slotTaken: (slot: string, holder: string, who: string): MaiError =>
    new MaiError('MAI_SLOT_TAKEN', `"${who}" provides the slot "${slot}", which "${holder}" provides already.`, {
      cure: 'Remove one of the two from mai.config.ts.',
      details: { slot, holder, plugin: who },
    }),
  slotUnfilled: (slot: string, who: string): MaiError =>
    new MaiError('MAI_SLOT_UNFILLED', `"${who}" says that it provides the slot "${slot}" but did not.`, {
      cure: `Call ctx.provide('${slot}', …) in its setup, or take it out of its provides.`,
      details: { slot, plugin: who },
    }),
  slotKind: (slot: string, who: string, isList: boolean): MaiError =>
    new MaiError(
      'MAI_SLOT_KIND',
      `"${who}" used the ${isList ? 'list' : 'single'} slot "${slot}" as a ${isList ? 'single' : 'list'} one.`,
      {
        cure: isList ? 'Use ctx.contribute and ctx.all with it.' : 'Use ctx.provide and ctx.use with it, or declare it in lists.',
        details: { slot, plugin: who },
      },
    ),
  hookUnknown: (hook: string, who: string): MaiError =>
    new MaiError('MAI_HOOK_UNKNOWN', `"${who}" uses the hook "${hook}", which nobody has defined.`, {
      cure: 'Check its name, or define it in the hooks of the plugin that runs it.',
      details: { hook, plugin: who },
    }),
  hookFailed: (hook: string, who: string, cause: unknown): MaiError =>
    new MaiError('MAI_HOOK_FAILED', `The hook "${hook}" of "${who}" failed: ${toErrorFact(cause).message}`, {
      cure: `Mend "${who}" or take it out of mai.config.ts.`,
      cause,
      details: { hook, plugin: who },
    }),
  hookTimeout: (hook: string, who: string, ms: number): MaiError =>
    new MaiError('MAI_HOOK_TIMEOUT', `The hook "${hook}" of "${who}" took longer than ${seconds(ms)}.`, {
      cure: 'Do slow work in the background and answer the hook from memory.',
      details: { hook, plugin: who, ms },
    }),
  notAPlugin: (position: number): MaiError =>
    new MaiError('MAI_PLUGIN_INVALID', `Entry ${position + 1} of plugins is not a plugin.`, {
      cure: 'Make it with definePlugin, and call it: plugins: [myPlugin()].',
      details: { position },
    }),
  pluginDuplicate: (name: string): MaiError =>
    new MaiError('MAI_PLUGIN_DUPLICATE', `Two plugins are called "${name}".`, { cure: 'Remove or rename one.', details: { plugin: name } }),
  apiVersion: (name: string, found: unknown, supported: number): MaiError =>
    new MaiError('MAI_PLUGIN_API_VERSION', `The plugin "${name}" was made for plugin API ${String(found)}; this Mai speaks ${supported}.`, {
      cure: Number(found) > supported ? 'Update Mai.' : 'Update the plugin.',
      details: { plugin: name, found, supported },
    }),
  pluginCycle: (names: readonly string[]): MaiError =>
    new MaiError('MAI_PLUGIN_CYCLE', `These plugins need each other in a circle: ${names.join(' → ')}.`, {
      cure: 'Take one of these slots out of the needs and ask for it on first use with ctx.tryUse, or split a plugin.',
      details: { plugins: names },
    }),
  pluginOptions: (name: string, issues: readonly string[], cause?: unknown): MaiError =>
    new MaiError('MAI_PLUGIN_OPTIONS', `The options of the plugin "${name}" are not valid: ${issues.join('; ')}.`, {
      cure: `Correct ${name}({ … }) in mai.config.ts.`,
      cause,
      details: { plugin: name, issues },
    }),
  setupTimeout: (name: string, ms: number): MaiError =>
    new MaiError('MAI_PLUGIN_SETUP_TIMEOUT', `The plugin "${name}" did not finish its setup within ${seconds(ms)}.`, {
      cure: 'Move slow work out of setup with ctx.task, or take the plugin out of mai.config.ts.',
      details: { plugin: name, ms },
    }),
  setupFailed: (name: string, cause: unknown): MaiError =>
    new MaiError('MAI_PLUGIN_SETUP_FAILED', `The plugin "${name}" failed in its setup: ${toErrorFact(cause).message}`, {
      cure: `Mend "${name}" or take it out of mai.config.ts.`,
      cause,
      details: { plugin: name },
    }),
  kernelState: (state: string): MaiError =>
    new MaiError('MAI_KERNEL_STATE', `The kernel is ${state}, so it cannot start.`, {
      cure: 'Make a new kernel with createKernel for each start.',
      details: { state },
    }),
}
