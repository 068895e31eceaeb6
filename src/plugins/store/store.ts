/**
 * The store: its parts over one database file, and the upkeep of that file.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../../chat/store.ts'
import { conversations, removeDeleted } from './conversations.ts'
import { Database, type DatabaseOptions } from './database.ts'
import { Indexer, indexMessages } from './indexing.ts'
import { ledger } from './ledger.ts'
import { log, pruneLog } from './log.ts'
import { type Processes, systemProcesses } from './processes.ts'
import { recall } from './recall.ts'
import { search } from './search.ts'
import { shared } from './shared.ts'

/** What {@link createStore} takes: the file, and effects that tests replace. */
export interface StoreOptions extends Omit<DatabaseOptions, 'onOpen'> {
  /** Epoch ms. */
  readonly now?: () => number
  readonly processes?: Processes
  /** How long after opening the old log is first looked at, in ms; default one minute, when a start is long over. */
  readonly upkeepAfterMs?: number
  /** Told of upkeep that failed. Nothing depends on it. */
  readonly onUpkeepError?: (error: unknown) => void
}

/** A store with its end. */
export interface OpenStore extends Store {
  readonly commitMessage: NonNullable<Store['commitMessage']>
  /** Waits for writes under way. Calls after it are refused. */
  close(): Promise<void>
}

/** The log may be pruned once a day; a long-lived process asks this often, in ms. */
const UPKEEP_EVERY_MS = 6 * 60 * 60 * 1000

/** Upkeep while closing takes at most about so long, in ms; the rest goes the next day. */
const CLOSING_UPKEEP_MS = 50

/** A store over a file that is opened when first used. */
export function createStore(options: StoreOptions): OpenStore {
  const { now = Date.now, upkeepAfterMs = 60_000, onUpkeepError, processes, ...rest } = options
  const stop = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined

  const tidy = async (signal: AbortSignal): Promise<void> => {
    try {
      await indexMessages(database, signal)
      await removeDeleted(database, signal)
      await pruneLog(database, now(), signal)
    } catch (error) {
      // While closing nobody listens any more; what is left is for the next process.
      failed(error)
    }
  }
  const upkeep = (): void => {
    schedule(UPKEEP_EVERY_MS)
    running = tidy(stop.signal)
  }
  const schedule = (ms: number): void => {
    if (!stop.signal.aborted) timer = setTimeout(upkeep, ms).unref()
  }
  const database = new Database({ ...rest, onOpen: () => schedule(upkeepAfterMs) })
  const talk = conversations(database)
  const failed = (error: unknown): void => {
    if (!stop.signal.aborted) onUpkeepError?.(error)
  }
  const indexer = new Indexer(database, failed)

  return {
    location: options.file,
    ...talk,
    async appendMessage(message, spans) {
      const stored = await talk.appendMessage(message, spans)
      indexer.soon()
      return stored
    },
    async commitMessage(message) {
      const committed = await talk.commitMessage(message)
      indexer.afterAnswer()
      return committed
    },
    async appendMessages(messages) {
      const stored = await talk.appendMessages(messages)
      indexer.soon()
      return stored
    },
    ...search(database, indexer),
    ...ledger(database),
    ...recall(database, indexer),
    ...log(database, now),
    ...shared(
      database,
      now,
      lazily(() => processes ?? systemProcesses()),
    ),
    async close() {
      stop.abort()
      clearTimeout(timer)
      indexer.stop()
      // A process that lives for one command gets no other moment.
      if (timer && !running) running = tidy(AbortSignal.timeout(CLOSING_UPKEEP_MS))
      // Another process may hold the lock: closing does not wait for upkeep as long as for a message.
      await Promise.race([running, sleep(CLOSING_UPKEEP_MS * 4, undefined, { ref: false })])
      await database.close()
    },
  }
}

/** Asks who we are only when a lease is touched. */
function lazily(make: () => Processes): Processes {
  let made: Processes | undefined
  const get = (): Processes => {
    made ??= make()
    return made
  }
  return {
    get host() {
      return get().host
    },
    look: (pid) => get().look(pid),
  }
}
