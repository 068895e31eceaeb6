/**
 * The bus: mitt, plus order, isolation and bounds.
 *
 * An emit inside a listener queues until the outer event has reached everybody (run to completion).
 * A listener that throws is contained by its own guard, so the emit path needs no try/finally.
 *
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createEmitter, type Emitter } from './emitter.ts'
import { kernelErrors, toErrorFact } from './errors.ts'
import type { Disposer, EventMeta, EventType, Listener, MailboxMode, MaiEvents } from './events.ts'
import { Mailbox } from './mailbox.ts'

/** A chain of causes longer than this is a loop. */
export const MAX_HOPS = 64
/** Events that may wait while another is delivered. */
export const QUEUE_BOUND = 10_000

/** One event on its way: what listeners get as `meta`, with the payload beside it. */
interface Envelope extends EventMeta {
  readonly payload: unknown
}

type Wire = Record<EventType, Envelope>

/** Told of every contained failure; the kernel turns it into `plugin.failed`. */
export type FailureSink = (plugin: string, during: string, error: unknown) => void

/** The events of one kernel. Plugins reach it through their context only. */
export class Bus {
  readonly #emitter: Emitter<Wire> = createEmitter<Wire>()
  readonly #causes: AsyncLocalStorage<Envelope> = new AsyncLocalStorage<Envelope>()
  readonly #mailboxes: Readonly<Partial<Record<EventType, MailboxMode>>>
  readonly #onLost: FailureSink
  #asyncListeners = false
  #current: Envelope | undefined
  #queue: Envelope[] = []
  #head = 0
  #dropped = 0
  #seq = 0

  /**
   * @param mailboxes how asynchronous listeners of an event wait, where not `queue`
   * @param onLost last resort for a failure inside a listener of `plugin.failed` itself
   */
  constructor(mailboxes: Readonly<Partial<Record<EventType, MailboxMode>>>, onLost: FailureSink) {
    this.#mailboxes = mailboxes
    this.#onLost = onLost
  }

  /** Delivers to all listeners, or queues when called from inside one. Never throws because of a listener. */
  emit<T extends EventType>(type: T, payload: MaiEvents[T]): void {
    const current = this.#current
    const cause = current ?? (this.#asyncListeners ? this.#causes.getStore() : undefined)
    if (cause === undefined) {
      this.#deliver({ type, payload, seq: ++this.#seq, cause: 0, hops: 0 })
      return
    }
    if (cause.hops >= MAX_HOPS) {
      // The report starts a chain of its own; a loop through plugin.failed itself ends here.
      if (type !== 'plugin.failed') this.#report('bus', `event ${type}`, kernelErrors.tooManyHops(type, cause.hops))
      return
    }
    const envelope: Envelope = { type, payload, seq: ++this.#seq, cause: cause.seq, hops: cause.hops + 1 }
    if (current === undefined) this.#deliver(envelope)
    else this.#enqueue(envelope)
  }

  /** Registers a listener for its owner. */
  on<T extends EventType>(type: T, listener: Listener<T>, owner: string, mode?: MailboxMode): Disposer {
    // The emitter keys payloads by type, so what arrives here for `type` is its payload.
    const call = listener as (payload: unknown, meta: EventMeta) => void | Promise<void>
    const during = `listener of ${type}`
    const fail = (envelope: Envelope, error: unknown): void => {
      if (envelope.type === 'plugin.failed') this.#onLost(owner, during, error)
      else this.#report(owner, during, error)
    }
    const traced = (envelope: Envelope): void | Promise<void> => this.#causes.run(envelope, call, envelope.payload, envelope)
    const mailbox = new Mailbox<Envelope>(mode ?? this.#mailboxes[type] ?? 'queue', traced, fail, (dropped) =>
      this.#report(owner, during, kernelErrors.mailboxFull(owner, type, dropped)),
    )
    let isAsync = listener.constructor.name === 'AsyncFunction'
    if (isAsync) this.#asyncListeners = true
    const guard = (envelope: Envelope): void => {
      if (mailbox.state !== 'idle') {
        mailbox.offer(envelope)
        return
      }
      try {
        const result = isAsync ? traced(envelope) : call(envelope.payload, envelope)
        if (result !== undefined && typeof result.then === 'function') {
          isAsync = this.#asyncListeners = true
          mailbox.hold(envelope, result)
        }
      } catch (error) {
        fail(envelope, error)
      }
    }
    this.#emitter.on(type, guard)
    return () => {
      mailbox.close()
      this.#emitter.off(type, guard)
    }
  }

  /** Whether anybody listens to this event: lets an emitter skip building an expensive payload. */
  hasListeners(type: EventType): boolean {
    return (this.#emitter.all.get(type)?.length ?? 0) > 0
  }

  /** Sends `plugin.failed` as a fact with no cause, so that reports of loops are not loops. */
  #report(plugin: string, during: string, error: unknown): void {
    const envelope = this.#failure(plugin, during, error)
    if (this.#current === undefined) this.#deliver(envelope)
    else this.#enqueue(envelope)
  }

  #failure(plugin: string, during: string, error: unknown): Envelope {
    const payload: MaiEvents['plugin.failed'] = { plugin, during, error: toErrorFact(error) }
    return { type: 'plugin.failed', payload, seq: ++this.#seq, cause: 0, hops: 0 }
  }

  #enqueue(envelope: Envelope): void {
    if (this.#queue.length - this.#head >= QUEUE_BOUND) this.#dropped++
    else this.#queue.push(envelope)
  }

  #deliver(envelope: Envelope): void {
    this.#current = envelope
    this.#emitter.emit(envelope.type, envelope)
    this.#current = undefined
    if (this.#queue.length > 0) this.#drain()
  }

  #drain(): void {
    for (;;) {
      const next = this.#queue[this.#head++]
      if (next === undefined) {
        this.#queue = []
        this.#head = 0
        if (this.#dropped === 0) return
        const dropped = this.#dropped
        this.#dropped = 0
        this.#queue.push(this.#failure('bus', 'queue', kernelErrors.queueFull(dropped, QUEUE_BOUND)))
        continue
      }
      if (this.#head > QUEUE_BOUND) {
        this.#queue = this.#queue.slice(this.#head)
        this.#head = 0
      }
      this.#current = next
      this.#emitter.emit(next.type, next)
      this.#current = undefined
    }
  }
}
