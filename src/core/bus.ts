/**
 * The bus: mitt, plus order, isolation and bounds.
 *
 * An emit inside a listener queues until the outer event has reached everybody (run to completion).
 * A listener that throws is contained where it is called, so the emit path needs no try/finally.
 *
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createEmitter, type Emitter } from './emitter.ts'
import { kernelErrors, toErrorFact } from './errors.ts'
import type { Disposer, EventMeta, EventType, Listener, MaiEvents, MailboxMode } from './events.ts'
import { Mailbox } from './mailbox.ts'

/** A chain of causes longer than this is a loop. */
export const MAX_HOPS = 64
/** Events that may wait while another is delivered. */
export const QUEUE_BOUND = 10_000

/** One event on its way: what listeners get as `meta`, with the payload beside it. */
interface Envelope extends EventMeta {
  readonly payload: unknown
}

type Cause = Pick<EventMeta, 'seq' | 'hops'>

/** One listener of one owner. */
interface Registered {
  readonly call: (payload: unknown, meta: EventMeta) => unknown
  readonly mailbox: Mailbox<Envelope>
}

/** The listeners of one event. The list is replaced, never changed, so that dispatch may walk it while it is. */
interface Channel {
  listeners: readonly Registered[]
}

type Wire = Record<EventType, Envelope>

/** Told of failures that no listener of `plugin.failed` could be told of. */
export type FailureSink = (plugin: string, during: string, error: unknown) => void

/** The events of one kernel. Plugins reach it through their context only. */
export class Bus {
  readonly #emitter: Emitter<Wire> = createEmitter<Wire>()
  readonly #channels: Map<EventType, Channel> = new Map()
  readonly #causes: AsyncLocalStorage<Envelope> = new AsyncLocalStorage<Envelope>()
  readonly #mailboxes: Readonly<Partial<Record<EventType, MailboxMode>>>
  readonly #onLost: FailureSink
  /** `seq` and `hops` of the event being delivered, 0 for none: storing the event itself costs as much as delivering it. */
  #current = 0
  #currentHops = 0
  #queue: Envelope[] = []
  #head = 0
  #dropped = 0
  #lastDropped: Envelope | undefined
  #seq = 0

  /**
   * @param mailboxes how asynchronous listeners of an event wait, where not `queue`
   * @param onLost the last resort
   */
  constructor(mailboxes: Readonly<Partial<Record<EventType, MailboxMode>>>, onLost: FailureSink) {
    this.#mailboxes = mailboxes
    this.#onLost = onLost
  }

  /** Delivers to all listeners, or queues when called from inside one. Never throws because of a listener. */
  emit<T extends EventType>(type: T, payload: MaiEvents[T]): void {
    const cause = this.#cause()
    if (cause === undefined) this.#deliver({ type, payload, seq: ++this.#seq, cause: 0, hops: 0 })
    else if (cause.hops >= MAX_HOPS) this.fail('bus', `event ${type}`, kernelErrors.tooManyHops(type, cause.hops))
    else this.#send({ type, payload, seq: ++this.#seq, cause: cause.seq, hops: cause.hops + 1 })
  }

  /**
   * States `plugin.failed`, one hop after its cause, so that failures which cause each other end like any loop.
   * Where nobody would hear it, or it is past the end of a chain, the last resort is told instead.
   */
  fail(plugin: string, during: string, error: unknown, cause: Cause | undefined = this.#cause()): void {
    const hops = cause === undefined ? 0 : cause.hops + 1
    // One hop more than others may have: the report that a chain was stopped comes after its end.
    if (hops > MAX_HOPS + 1 || !this.hasListeners('plugin.failed')) return this.#lose(plugin, during, error)
    const payload: MaiEvents['plugin.failed'] = { plugin, during, error: toErrorFact(error) }
    this.#send({ type: 'plugin.failed', payload, seq: ++this.#seq, cause: cause?.seq ?? 0, hops })
  }

  /** Registers a listener for its owner. */
  on<T extends EventType>(type: T, listener: Listener<T>, owner: string, mode?: MailboxMode): Disposer {
    // The emitter keys payloads by type, so what arrives here for `type` is its payload.
    const call = listener as Registered['call']
    const during = `listener of ${type}`
    const failed = (envelope: Envelope, error: unknown): void => {
      if (type === 'plugin.failed') this.#lose(owner, during, error)
      else this.fail(owner, during, error, envelope)
    }
    const mailbox = new Mailbox<Envelope>({
      mode: mode ?? this.#mailboxes[type] ?? 'queue',
      deliver: (envelope) => this.#causes.run(envelope, call, envelope.payload, envelope),
      failed,
      dropped: (envelope, count) => failed(envelope, kernelErrors.mailboxFull(owner, type, count)),
    })
    if (listener.constructor.name === 'AsyncFunction') mailbox.state = 'idle'
    const registered: Registered = { call, mailbox }
    const channel = this.#channel(type)
    channel.listeners = [...channel.listeners, registered]
    return () => {
      mailbox.close()
      channel.listeners = channel.listeners.filter((other) => other !== registered)
    }
  }

  /** Whether anybody listens to this event: lets an emitter skip building an expensive payload. */
  hasListeners(type: EventType): boolean {
    return (this.#channels.get(type)?.listeners.length ?? 0) > 0
  }

  /** What is being delivered, or what the running asynchronous listener was called for. */
  #cause(): Cause | undefined {
    return this.#current === 0 ? this.#causes.getStore() : { seq: this.#current, hops: this.#currentHops }
  }

  #channel(type: EventType): Channel {
    const known = this.#channels.get(type)
    if (known) return known
    const channel: Channel = { listeners: [] }
    this.#channels.set(type, channel)
    this.#emitter.on(type, (envelope) => reach(channel.listeners, envelope))
    return channel
  }

  /** The last resort may fail too; that must not break dispatch. */
  #lose(plugin: string, during: string, error: unknown): void {
    try {
      this.#onLost(plugin, during, error)
    } catch {
      // Nobody is left to tell.
    }
  }

  #send(envelope: Envelope): void {
    if (this.#current === 0) this.#deliver(envelope)
    else if (this.#queue.length - this.#head < QUEUE_BOUND) this.#queue.push(envelope)
    else {
      this.#dropped++
      this.#lastDropped = envelope
    }
  }

  #deliver(first: Envelope): void {
    for (let next: Envelope | undefined = first; next !== undefined; next = this.#queue.length === 0 ? undefined : this.#take()) {
      this.#current = next.seq
      this.#currentHops = next.hops
      this.#emitter.emit(next.type, next)
    }
    this.#current = 0
    if (this.#dropped === 0) return
    const dropped = this.#dropped
    this.#dropped = 0
    this.fail('bus', 'queue', kernelErrors.queueFull(dropped, QUEUE_BOUND), this.#lastDropped)
  }

  #take(): Envelope | undefined {
    const next = this.#queue[this.#head++]
    if (next === undefined || this.#head > QUEUE_BOUND) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return next
  }
}

/** One loop for all: as handlers of the emitter, a closure each, listeners cost half as much again as mitt itself. */
function reach(listeners: readonly Registered[], envelope: Envelope): void {
  const { payload } = envelope
  // By index: an iterator costs a lone listener several nanoseconds.
  for (let i = 0; i < listeners.length; i++) {
    const registered = listeners[i]
    if (registered === undefined) continue
    const { call, mailbox } = registered
    try {
      if (mailbox.state !== 'sync') mailbox.offer(envelope)
      else {
        const result = call(payload, envelope)
        if (result !== undefined) mailbox.answered(envelope, result)
      }
    } catch (error) {
      mailbox.failed(envelope, error)
    }
  }
}
