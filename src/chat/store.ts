/**
 * The slot `store`: durable conversations, the policy's log, and what processes share.
 *
 * @module
 */
import type { LedgerStore } from './ledger.ts'
import type { Message, NewMessage, Session, Span } from './message.ts'
import type { ModelKey } from './model.ts'
import type { PolicyRecords, RecordedEvent, RecordType } from './policy.ts'
import type { RecallStore } from './recall.ts'

/** A page of something ordered by time: the newest of it, or with `after` the oldest. */
export interface Page {
  readonly limit?: number
  /** Exclusive upper end: a `seq`. */
  readonly before?: number
  /** Exclusive lower end: a `seq`. */
  readonly after?: number
}

/** A found message. */
export interface SearchHit {
  readonly message: Message
  /** Higher is better. */
  readonly score: number
}

/** A model that a living process uses. */
export interface Lease {
  readonly instanceId: string
  readonly model: ModelKey
  readonly pid: number
  /** The process's start, epoch ms: tells a reused pid. */
  readonly processStart: number
  readonly bytes: number
  /** Whether that process loaded it (and may unload it). */
  readonly owned: boolean
  /** Epoch ms. */
  readonly heartbeat: number
}

/** A policy's state after a record. */
export interface Snapshot {
  readonly seq: number
  readonly policy: string
  readonly version: number
  readonly state: unknown
}

/** What is kept between processes under a name. */
export interface StoreSettings {
  /** The pinned model; absent: none. */
  pin: ModelKey
}

/** A message that is stored. */
export interface CommittedMessage {
  readonly message: Message
  /** How many messages its session had before it; undefined: the store did not look. */
  readonly earlier?: number | undefined
  /** When no power cut can lose it any more. @throws MaiError of the store */
  readonly durable: Promise<void>
}

/** Which records to read. */
export interface RecordQuery {
  readonly after?: number
  readonly through?: number
  readonly run?: string
  readonly type?: RecordType
  readonly limit?: number
  /** Newest first. */
  readonly newest?: boolean
}

/** Writes are durable when the promise resolves. @throws MaiError `MAI_STORE_FULL`, `MAI_STORE_BUSY`, `MAI_STORE_FAILED` */
export interface Store extends LedgerStore, RecallStore {
  /** For people: where it is. */
  readonly location: string
  createSession(session: { readonly id: string; readonly title: string; readonly time: number }): Promise<Session>
  getSession(id: string): Promise<Session | undefined>
  /** Most recently used first. */
  listSessions(page?: { readonly limit?: number }): Promise<readonly Session[]>
  renameSession(id: string, title: string): Promise<void>
  /** Removes the session with everything that belongs to it. */
  deleteSession(id: string): Promise<boolean>
  /** Appends a message and, in the same transaction, its spans. */
  appendMessage(message: NewMessage, spans?: readonly Omit<Span, 'messageId'>[]): Promise<Message>
  /**
   * The same in two steps, for a turn that has something to do while the disk is at work: when this resolves, other
   * processes see the message and the death of this one does not lose it; when `durable` does, a power cut does not either.
   * A store that cannot part the two lacks it.
   */
  commitMessage?(message: NewMessage): Promise<CommittedMessage>
  /** As `appendMessage` with many, all or none of them: one write to the disk instead of one for each. */
  appendMessages(
    messages: readonly { readonly message: NewMessage; readonly spans: readonly Omit<Span, 'messageId'>[] }[],
  ): Promise<readonly Message[]>
  /** Removes a message and the facts that come from it, for `/undo` and `/retry`. */
  deleteMessage(id: string): Promise<void>
  /** The newest `limit` messages before `before`, or the oldest `limit` after `after`; in ascending order. */
  messages(sessionId: string, page?: Page): Promise<readonly Message[]>
  countMessages(sessionId: string): Promise<number>
  spans(messageId: string): Promise<readonly Span[]>
  search(query: string, options?: { readonly sessionId?: string; readonly limit?: number }): Promise<readonly SearchHit[]>
  appendRecord<T extends RecordType>(record: {
    readonly run: string
    readonly time: number
    readonly type: T
    readonly payload: PolicyRecords[T]
  }): Promise<number>
  records(query?: RecordQuery): Promise<readonly RecordedEvent[]>
  lastRecordSeq(): Promise<number>
  saveSnapshot(snapshot: Snapshot): Promise<void>
  /** The newest, or the newest after a record no later than `through`. */
  latestSnapshot(policy: string, version: number, through?: number): Promise<Snapshot | undefined>
  getSetting<K extends keyof StoreSettings>(name: K): Promise<StoreSettings[K] | undefined>
  /** `undefined` removes it. */
  setSetting<K extends keyof StoreSettings>(name: K, value: StoreSettings[K] | undefined): Promise<void>
  /** What was learned about a model on this machine, by the figure's name; its unit is part of the name. */
  figures(model: ModelKey): Promise<Readonly<Record<string, number>>>
  /** Keeps learned figures, beside those of other names. */
  learn(model: ModelKey, figures: Readonly<Record<string, number>>): Promise<void>
  putLease(lease: Lease): Promise<void>
  dropLease(instanceId: string, pid: number): Promise<void>
  /** Leases of living processes; dead ones are pruned. */
  leases(): Promise<readonly Lease[]>
}
