/**
 * Mai: one object that answers messages, whatever happens to the models.
 *
 * @module
 */
import type { EventType, Disposer, Listener } from '../core/events.ts'
import type { Kernel } from '../core/kernel.ts'
import type { Message, Session } from './message.ts'
import type { ModelManager } from './model-manager.ts'
import type { MessageInput, Reply, ReplyStream, SendOptions } from './reply.ts'
import type { MaiSettings } from './settings.ts'
import type { MaiStatus, SystemStatus } from './status.ts'
import type { Store } from './store.ts'

/** Which session to talk in. */
export interface SessionChoice {
  /** An existing one. @throws MaiError `MAI_UNKNOWN_SESSION` */
  readonly id?: string
  /** The most recently used one, if there is any. */
  readonly latest?: boolean
}

export interface Mai extends AsyncDisposable {
  readonly kernel: Kernel
  readonly models: ModelManager
  readonly store: Store
  on<T extends EventType>(type: T, listener: Listener<T>): Disposer
  /** Chooses or starts the present session. Without a call, the first message starts a new one. */
  openSession(choice?: SessionChoice): Promise<Session>
  processMessage(input: MessageInput, options?: SendOptions): Promise<Reply>
  streamMessage(input: MessageInput, options?: SendOptions): ReplyStream
  getConversationHistory(options?: { sessionId?: string; limit?: number; before?: number }): Promise<readonly Message[]>
  getSystemStatus(): Promise<SystemStatus>
  getStatus(): MaiStatus
  /** Ends answers (what exists is stored), releases models as configured, closes plugins. Idempotent. */
  shutdown(): Promise<void>
}
export declare function createMai(settings: MaiSettings): Promise<Mai>
