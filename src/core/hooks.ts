/**
 * Hooks: a value that others may change on its way.
 *
 * @module
 */
import { isMaiError, kernelErrors } from './errors.ts'
import type { Disposer } from './events.ts'
import { isThenable } from './mailbox.ts'
import { within } from './scope.ts'

/**
 * Hook name → what goes in and what comes out.
 *
 * @example
 * declare module 'mai' {
 *   interface MaiHooks { 'title.choose': { in: { sessionId: string }; out: string } }
 * }
 */
// biome-ignore lint/suspicious/noEmptyInterface: plugins merge into it
export interface MaiHooks {}

/** The name of a hook. */
export type HookName = keyof MaiHooks & string
/** What a hook starts from. */
export type HookInput<K extends HookName> = MaiHooks[K] extends { in: infer I } ? I : never
/** What a hook yields. */
export type HookOutput<K extends HookName> = MaiHooks[K] extends { out: infer O } ? O : never

/** One step: change the input, pass it on with `next`, change what comes back. */
export type HookHandler<K extends HookName> = (
  input: HookInput<K>,
  next: (input: HookInput<K>) => Promise<HookOutput<K>>,
) => HookOutput<K> | Promise<HookOutput<K>>

/** What a hook is; stands with its definition, not with its handlers. */
export interface HookDefinition {
  /** `observer`: a failing or late handler is skipped. `gate`: it fails the whole hook. */
  readonly kind: 'observer' | 'gate'
  /** Limit for each handler's own time, in ms; default 250. */
  readonly timeoutMs?: number
}

/** Default time limit of a handler, in ms. */
export const HOOK_TIMEOUT_MS = 250

type Next = (input: unknown) => Promise<unknown>

interface Registered {
  readonly owner: string
  readonly order: number
  readonly handler: (input: unknown, next: Next) => unknown
}

/** The hooks of one kernel. */
export class Hooks {
  readonly #definitions: Map<string, HookDefinition>
  readonly #handlers: Map<string, Registered[]> = new Map()
  readonly #onFailure: (owner: string, hook: string, error: unknown) => void

  constructor(definitions: Readonly<Record<string, HookDefinition>>, onFailure: (owner: string, hook: string, error: unknown) => void) {
    this.#definitions = new Map(Object.entries(definitions))
    this.#onFailure = onFailure
  }

  define(hook: string, definition: HookDefinition): void {
    this.#definitions.set(hook, definition)
  }

  /** Lower `order` runs first (outermost); equals in order of registration. @throws MaiError `MAI_HOOK_UNKNOWN` */
  add(hook: string, handler: Registered['handler'], owner: string, order: number): Disposer {
    if (!this.#definitions.has(hook)) throw kernelErrors.hookUnknown(hook, owner)
    const registered: Registered = { owner, order, handler }
    const list = [...(this.#handlers.get(hook) ?? []), registered].sort((a, b) => a.order - b.order)
    this.#handlers.set(hook, list)
    return () => {
      const rest = (this.#handlers.get(hook) ?? []).filter((other) => other !== registered)
      this.#handlers.set(hook, rest)
    }
  }

  /**
   * Runs all handlers around `last`.
   * @throws MaiError `MAI_HOOK_UNKNOWN`; for a gate `MAI_HOOK_FAILED` or `MAI_HOOK_TIMEOUT`; whatever `last` throws
   */
  async run(hook: string, input: unknown, last: (input: unknown) => unknown, who: string): Promise<unknown> {
    const definition = this.#definitions.get(hook)
    if (!definition) throw kernelErrors.hookUnknown(hook, who)
    const handlers = this.#handlers.get(hook) ?? []
    // Async, so that what `last` throws rejects and is never taken for a failure of the handler that called next.
    const step = async (index: number, value: unknown): Promise<unknown> => {
      const current = handlers[index]
      if (!current) return last(value)
      return this.#call(hook, definition, current, value, (changed) => step(index + 1, changed))
    }
    return step(0, input)
  }

  async #call(hook: string, definition: HookDefinition, entry: Registered, input: unknown, proceed: Next): Promise<unknown> {
    const limit = definition.timeoutMs ?? HOOK_TIMEOUT_MS
    let rest: Promise<unknown> | undefined
    // The rest of the chain runs once, has its own limits, and its failure is not this handler's.
    const next: Next = (changed) => {
      rest ??= proceed(changed)
      rest.catch(() => {})
      return rest
    }
    try {
      return await this.#ownTime(
        entry.handler(input, next),
        () => rest,
        limit,
        () => kernelErrors.hookTimeout(hook, entry.owner, limit),
      )
    } catch (error) {
      if (rest !== undefined) await rest
      if (definition.kind === 'gate') {
        const isLate = isMaiError(error) && error.code === 'MAI_HOOK_TIMEOUT'
        // Kept as the rest, so that a late call of next does not run what the gate has closed.
        rest = Promise.reject(isLate ? error : kernelErrors.hookFailed(hook, entry.owner, error))
        return await rest
      }
      this.#onFailure(entry.owner, hook, error)
      // Through next, so that a handler that calls it too late does not run the rest again.
      return next(input)
    }
  }

  /** Waits for a handler, not counting the time that the rest of the chain takes. */
  async #ownTime(work: unknown, rest: () => Promise<unknown> | undefined, limit: number, late: () => Error): Promise<unknown> {
    if (!isThenable(work)) return work
    let inner: Promise<unknown> | undefined
    for (;;) {
      try {
        return await within(work, limit, late)
      } catch (error) {
        if (rest() === inner) throw error
        inner = rest()
        // The handler may recover from a failure of the rest.
        await inner?.catch(() => {})
      }
    }
  }
}
