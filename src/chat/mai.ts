/**
 * Mai: one object that answers messages, whatever happens to the models.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import type { Disposer, EventType, Listener } from '../core/events.ts'
import { createKernel, type Kernel } from '../core/kernel.ts'
import { type BlockingTwin, DEFAULT_SYNC_MS, LONGEST_SYNC_MS, type SyncOptions, syncErrors } from './blocking.ts'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from './events.ts'
import { chatErrors } from './failure.ts'
import { type Message, type Part, type Session, textOf } from './message.ts'
import { ModelManager } from './model-manager.ts'
import { nearest } from './nearest.ts'
import type { MessageInput, Reply, ReplyStream, SendOptions } from './reply.ts'
import { DEFAULT_TURN, type MaiSettings, type TurnSettings } from './settings.ts'
import type { MaiStatus, SystemStatus } from './status.ts'
import type { Store } from './store.ts'
import type { Turn } from './turn/turn.ts'
import { VERSION } from './version.ts'

/** Which session to talk in. */
export interface SessionChoice {
  /** An existing one. */
  readonly id?: string
  /** The most recently used one, if there is any. */
  readonly latest?: boolean
}

/** Characters of the first message that become a session's title. */
const TITLE_LENGTH = 60
/** Messages that one turn can have: the person's, and tool calls with their results. */
const UNDO_LIMIT = 200
/** Longest wait for answers to end at shutdown, in ms. */
const SHUTDOWN_LIMIT_MS = 5000

/** A conversation partner that keeps going. Make one with {@link createMai}. */
export class Mai implements AsyncDisposable {
  readonly kernel: Kernel
  readonly models: ModelManager
  readonly store: Store
  /** Limits of every turn. */
  readonly limits: TurnSettings
  readonly #configFile: string | undefined
  readonly #blocking: BlockingTwin | undefined
  readonly #running: Map<string, { readonly turn: Turn; readonly ended: Promise<unknown> }> = new Map()
  #sessionId: string | undefined
  #closing: Promise<void> | undefined

  /** @internal use {@link createMai} */
  constructor(kernel: Kernel, settings: MaiSettings, now: () => number) {
    this.kernel = kernel
    this.limits = { ...DEFAULT_TURN, ...settings.turn }
    this.#configFile = settings.configFile
    this.#blocking = settings.blocking
    this.store = kernel.context.use('store')
    kernel.context.use('context')
    kernel.context.use('resources')
    this.models = new ModelManager(kernel.context, settings, this.limits, randomUUID(), now)
  }

  /** Listens to an event for as long as Mai lives. */
  on<T extends EventType>(type: T, listener: Listener<T>): Disposer {
    return this.kernel.context.on(type, listener)
  }

  /** Chooses the present session, or starts one. @throws MaiError `MAI_UNKNOWN_SESSION` */
  async openSession(choice: SessionChoice = {}): Promise<Session> {
    const session = await this.#findSession(choice)
    if (session) {
      this.#sessionId = session.id
      this.kernel.context.emit('session.started', { sessionId: session.id, resumed: true })
      return session
    }
    return this.#newSession('')
  }

  /**
   * Answers a message.
   * @throws MaiError `MAI_NOTHING_SERVES`, `MAI_ALL_FAILED`, `MAI_EMPTY_MESSAGE`, `MAI_MESSAGE_TOO_LARGE`, `MAI_SESSION_BUSY`
   *
   * @example
   * const { text, model } = await mai.processMessage('Why is the sky blue?')
   */
  processMessage(input: MessageInput, options: SendOptions = {}): Promise<Reply> {
    return this.streamMessage(input, options).reply
  }

  /**
   * Answers a message piece by piece. Errors are those of {@link processMessage}, from `reply` and from the iteration.
   *
   * @example
   * for await (const piece of mai.streamMessage('Tell me a story.')) process.stdout.write(piece.text)
   */
  streamMessage(input: MessageInput, options: SendOptions = {}): ReplyStream {
    const parts: readonly Part[] = typeof input === 'string' ? [{ type: 'text', text: input }] : input
    const begun = this.#begin(parts, options)
    const reply = begun.then(({ reply: running }) => running)
    reply.catch(() => {})
    let turn: Turn | undefined
    let cancelled = false
    begun.then(
      (b) => {
        turn = b.turn
        if (cancelled) turn.cancel()
      },
      () => {},
    )
    const fallbackSession = options.sessionId ?? this.#sessionId ?? ''
    return {
      get sessionId(): string {
        return turn?.sessionId ?? fallbackSession
      },
      get turnId(): string {
        return turn?.id ?? ''
      },
      reply,
      cancel(): void {
        cancelled = true
        turn?.cancel()
      },
      report: () => turn?.report() ?? { sessionId: fallbackSession, turnId: '', attempts: [], switches: [], text: '' },
      [Symbol.asyncIterator]() {
        let inner: ReturnType<Turn['stream'][typeof Symbol.asyncIterator]> | undefined
        return {
          next: () => (inner ? inner.next() : begun.then((b) => (inner = b.turn.stream[Symbol.asyncIterator]()).next())),
          return: async () => {
            cancelled = true
            await inner?.return?.()
            turn?.cancel()
            return { done: true as const, value: undefined }
          },
        }
      },
    }
  }

  /**
   * Answers a message while this thread stands still: no timer, stream or signal handler of it runs meanwhile.
   * For scripts; a thread of its own opens the same configuration. Everything else should use {@link processMessage}.
   * @throws MaiError as {@link processMessage}; `MAI_SYNC_BUSY`, `MAI_SYNC_TIMEOUT`, `MAI_SYNC_UNAVAILABLE`
   *
   * @example
   * const mai = await openMai()
   * console.log(mai.processMessageSync('Why is the sky blue?').text)
   */
  processMessageSync(input: MessageInput, options: SyncOptions = {}): Reply {
    if (this.#closing) throw chatErrors.closed()
    if (!this.#blocking) throw syncErrors.unavailable()
    const { timeLimitMs = DEFAULT_SYNC_MS, sessionId = this.#sessionId, ...sending } = options
    if (!(timeLimitMs >= 1 && timeLimitMs <= LONGEST_SYNC_MS)) throw syncErrors.limit(timeLimitMs)
    if (sessionId !== undefined && this.#running.has(sessionId)) throw syncErrors.busy(sessionId)
    const parts: readonly Part[] = typeof input === 'string' ? [{ type: 'text', text: input }] : input
    this.checkMessage(parts)
    const reply = this.#blocking.answer(parts, { ...sending, ...(sessionId === undefined ? {} : { sessionId }), timeLimitMs })
    this.#sessionId ??= reply.sessionId
    return reply
  }

  /** What every message is checked for before anything is done about it. @throws MaiError `MAI_EMPTY_MESSAGE`, `MAI_MESSAGE_TOO_LARGE` */
  checkMessage(parts: readonly Part[]): void {
    const bytes = parts.reduce(
      (sum, part) => sum + ('text' in part ? Buffer.byteLength(part.text) : 'data' in part ? part.data.length : 0),
      0,
    )
    if (bytes > this.limits.maxMessageBytes) throw chatErrors.messageTooLarge(bytes, this.limits.maxMessageBytes)
    if (!parts.some((part) => (part.type === 'text' ? part.text.trim() !== '' : true))) throw chatErrors.emptyMessage()
  }

  /** Messages of a session in ascending order, the newest `limit` before `before` (a `seq`). */
  async getConversationHistory(
    options: { readonly sessionId?: string; readonly limit?: number; readonly before?: number } = {},
  ): Promise<readonly Message[]> {
    const { sessionId = this.#sessionId, ...page } = options
    return sessionId === undefined ? [] : this.store.messages(sessionId, page)
  }

  /**
   * Takes back the newest turn of a session: its message, and what was answered.
   * @returns the message's parts, to be asked again; undefined when nothing was said yet
   * @throws MaiError `MAI_SESSION_BUSY`
   */
  async undoTurn(options: { readonly sessionId?: string } = {}): Promise<readonly Part[] | undefined> {
    const { sessionId = this.#sessionId } = options
    if (sessionId === undefined) return undefined
    if (this.#running.has(sessionId)) throw chatErrors.sessionBusy(sessionId)
    const newest = await this.store.messages(sessionId, { limit: UNDO_LIMIT })
    const turnId = newest.at(-1)?.turnId
    const turn = newest.filter((message) => message.turnId === turnId)
    // The answer first: a message without its answer is what an interruption leaves too.
    for (const { id } of turn.toReversed()) await this.store.deleteMessage(id)
    return turn.find(({ role }) => role === 'user')?.parts
  }

  /** Everything, freshly asked of backends, store and machine. */
  async getSystemStatus(): Promise<SystemStatus> {
    const current = await this.models.getCurrentModelStatus()
    const loaded = (await this.models.list().catch(() => [])).flatMap((model) => model.instances)
    const sessions = await this.store.listSessions()
    return {
      ...current,
      version: VERSION,
      configFile: this.#configFile,
      backends: this.models.backends(),
      loaded,
      leases: await this.store.leases(),
      circuits: await this.models.circuits(),
      store: { location: this.store.location, sessions: sessions.length },
    }
  }

  /** What is going on; no I/O. */
  getStatus(): MaiStatus {
    const turns = [...this.#running.values()].map(({ turn }) => ({
      sessionId: turn.sessionId,
      turnId: turn.id,
      phase: turn.phase,
      model: turn.model,
    }))
    const state = this.#closing ? 'closed' : turns.length > 0 ? 'answering' : 'idle'
    return { state, sessionId: this.#sessionId, model: this.models.current, turns }
  }

  /** Ends answers (what exists is stored), releases models as configured, closes plugins. Idempotent. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown()
  }

  async #begin(parts: readonly Part[], options: SendOptions): Promise<{ turn: Turn; reply: Promise<Reply> }> {
    if (this.#closing) throw chatErrors.closed()
    this.checkMessage(parts)
    const sessionId = options.sessionId ?? this.#sessionId ?? (await this.#newSession(textOf(parts))).id
    // The present one is known; storing refuses what was deleted since.
    if (sessionId !== this.#sessionId && !(await this.store.getSession(sessionId))) throw chatErrors.unknownSession(sessionId, [])
    if (this.#running.has(sessionId)) throw chatErrors.sessionBusy(sessionId)
    const { turn, reply } = this.models.generateResponse({ sessionId, parts, options })
    const ended = reply.catch(() => {}).finally(() => this.#running.delete(sessionId))
    this.#running.set(sessionId, { turn, ended })
    return { turn, reply }
  }

  async #findSession({ id, latest }: SessionChoice): Promise<Session | undefined> {
    if (id === undefined) return latest ? (await this.store.listSessions({ limit: 1 }))[0] : undefined
    const exact = await this.store.getSession(id)
    if (exact) return exact
    const ids = (await this.store.listSessions({ limit: 1000 })).map((session) => session.id)
    const starting = ids.filter((other) => other.startsWith(id))
    const [only] = starting
    if (only !== undefined && starting.length === 1) return this.store.getSession(only)
    throw chatErrors.unknownSession(id, nearest(id, ids))
  }

  async #newSession(firstText: string): Promise<Session> {
    const title = firstText.replace(/\s+/g, ' ').trim().slice(0, TITLE_LENGTH)
    const session = await this.store.createSession({ id: randomUUID(), title, time: Date.now() })
    this.#sessionId = session.id
    this.kernel.context.emit('session.started', { sessionId: session.id, resumed: false })
    return session
  }

  async #close(): Promise<void> {
    const running = [...this.#running.values()]
    for (const { turn } of running) turn.cancel()
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise((resolve) => {
      timer = setTimeout(resolve, SHUTDOWN_LIMIT_MS)
    })
    await Promise.race([Promise.all(running.map(({ ended }) => ended)), limit])
    await Promise.race([this.models.close(), limit])
    clearTimeout(timer)
    this.#blocking?.close()
    await this.kernel.close()
  }
}

/**
 * Boots the plugins and gives back a Mai that is ready to answer.
 * @throws MaiError when a plugin cannot boot or a slot that Mai needs is empty
 *
 * @example
 * await using mai = await createMai({ plugins: [lmstudio(), resources(), switching(), compression(), store()] })
 */
export async function createMai(settings: MaiSettings, now: () => number = Date.now): Promise<Mai> {
  const kernel = createKernel({ plugins: settings.plugins, lists: CHAT_LISTS, hooks: CHAT_HOOKS, mailboxes: CHAT_MAILBOXES })
  await kernel.start()
  try {
    return new Mai(kernel, settings, now)
  } catch (error) {
    await kernel.close()
    throw error
  }
}
