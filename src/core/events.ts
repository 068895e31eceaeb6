/**
 * Events: facts that happened. Nobody answers them.
 *
 * @module
 */
import type { ErrorFact } from './errors.ts'

/**
 * Event type → payload. Payloads are serialisable: ids and numbers.
 *
 * @example
 * declare module 'mai' {
 *   interface MaiEvents { 'weather.changed': { celsius: number } }
 * }
 */
export interface MaiEvents {
  /** All plugins are set up. */
  'kernel.ready': { readonly bootMs: number; readonly plugins: readonly string[] }
  /** The kernel begins to close; scopes are still open. */
  'kernel.closing': Record<never, never>
  /** A plugin misbehaved and was contained. `during` says where: a listener, a hook, a task, closing. */
  'plugin.failed': { readonly plugin: string; readonly during: string; readonly error: ErrorFact }
}

/** The name of an event. */
export type EventType = keyof MaiEvents

/** Where an event stands in the order of events. */
export interface EventMeta {
  readonly type: EventType
  /** Position in this kernel's order of events, from 1. */
  readonly seq: number
  /** `seq` of the event in whose listener this one was emitted; 0 for none. */
  readonly cause: number
  /** Length of that chain of causes. */
  readonly hops: number
}

/** What `ctx.on` takes. A listener may be asynchronous; it then gets its events one at a time. */
export type Listener<T extends EventType> = (payload: MaiEvents[T], meta: EventMeta) => void | Promise<void>

/** How a listener waits while its own previous, asynchronous call runs. */
export type MailboxMode =
  /** Keep up to 1,000 events, in order; drop and report the rest. */
  | 'queue'
  /** Keep only the newest event: for samples. */
  | 'latest'

/** Options of `ctx.on`. */
export interface ListenerOptions {
  /** Ends the registration when aborted. */
  readonly signal?: AbortSignal
  /** Default: what the event's domain set, else `queue`. */
  readonly mailbox?: MailboxMode
}

/** Undoes a registration. Calling it again does nothing. */
export type Disposer = () => void
