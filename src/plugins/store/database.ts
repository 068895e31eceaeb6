/**
 * One database file shared by processes: opened on first use, written in order, patient while another process writes.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { DiskSync, type SyncFile } from './disk-sync.ts'
import { isBusy, storeErrors, toStoreError } from './errors.ts'
import { prepareFiles } from './files.ts'
import { migrate } from './schema.ts'
import { type Bindable, type Changes, Connection } from './sqlite.ts'

/** What a write waits for: the disk, or the operating system (safe when only the process dies). */
export type Durability = 'disk' | 'process'

/** What a write gave, and when it will be on the disk. */
export interface Committed<T> {
  readonly value: T
  /** @throws MaiError `MAI_STORE_FULL`, `MAI_STORE_FAILED` when the disk did not take it; then only a power cut can lose it */
  readonly durable: Promise<void>
}

/** What a database needs to know. */
export interface DatabaseOptions {
  readonly file: string
  /** Whether the folder is Mai's own: its mode is tightened. */
  readonly ownFolder: boolean
  /** How long to try while others hold the lock, in ms; default 10,000. */
  readonly patienceMs?: number
  /** Most pages of 4,096 bytes that the file may have; default: SQLite's own limit. */
  readonly maxPages?: number
  /** From 0 to 1, spreads the tries of several processes. */
  readonly random?: () => number
  /** Syncs the log to the disk. */
  readonly syncFile?: SyncFile
  /** Called once, when the database has been opened. */
  readonly onOpen?: () => void
}

/** SQLite itself waits so long, in ms, and blocks this thread meanwhile; we wait the rest without blocking. */
const BLOCKING_WAIT_MS = 10
/** Longest pause between two tries, in ms. */
const MAX_PAUSE_MS = 50
/** How long a write may still try while closing, in ms: below the kernel's limit for closing a plugin. */
const CLOSING_PATIENCE_MS = 2000
/** The log file is cut back to this after a large write, in bytes. */
const LOG_LIMIT_BYTES = 16 * 1024 * 1024

export class Database {
  readonly file: string
  readonly #options: DatabaseOptions
  #opening: Promise<Connection> | undefined
  #disk: DiskSync | undefined
  #lastWrite: Promise<unknown> = Promise.resolve()
  #wrote = false
  #closing: Promise<void> | undefined

  constructor(options: DatabaseOptions) {
    this.file = options.file
    this.#options = options
  }

  /** @throws MaiError `MAI_STORE_BUSY`, `MAI_STORE_FAILED` */
  async read<T>(work: (connection: Connection) => T): Promise<T> {
    const connection = await this.#connection()
    return this.#patiently(() => work(connection))
  }

  /** Runs `work` in a transaction, after all writes before it. @throws MaiError `MAI_STORE_FULL`, `MAI_STORE_BUSY`, `MAI_STORE_FAILED` */
  async write<T>(durability: Durability, work: (connection: Connection) => T): Promise<T> {
    if (durability === 'process') return this.#inOrder((connection) => connection.transaction(() => work(connection)))
    const { value, durable } = await this.commit(work)
    await durable
    return value
  }

  /** Runs one statement that writes, without waiting for the disk: a transaction by itself. */
  writeOne(sql: string, values: readonly Bindable[]): Promise<Changes> {
    return this.#inOrder((connection) => connection.run(sql, values))
  }

  /** As `write` to the disk, for who has something to do while the disk is at work. */
  commit<T>(work: (connection: Connection) => T): Promise<Committed<T>> {
    return this.#inOrder((connection) => {
      const value = connection.transaction(() => work(connection))
      // Begun before the write counts as done: closing waits for both.
      const durable = this.#synced()
      durable.catch(() => {})
      return { value, durable }
    })
  }

  /** Empties the log file, so that nothing deleted stays in it. */
  async tryCheckpoint(): Promise<void> {
    checkpoint(await this.#connection())
  }

  /** Waits for writes under way, then closes. Never rejects: what was acknowledged is safe already. */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    await this.#lastWrite
    const connection = await this.#opening?.catch(() => undefined)
    if (!connection) return
    await this.#disk?.close()
    if (this.#wrote) checkpoint(connection)
    connection.close()
  }

  async #inOrder<T>(work: (connection: Connection) => T): Promise<T> {
    if (this.#closing) throw storeErrors.closed(this.file)
    const before = this.#lastWrite
    const write = (async () => {
      await before
      const connection = await this.#connection()
      this.#wrote = true
      return this.#patiently(() => work(connection))
    })()
    // The next write waits for this one, whatever comes of it; its error goes to its own caller.
    this.#lastWrite = write.catch(() => undefined)
    return write
  }

  async #synced(): Promise<void> {
    try {
      await this.#disk?.flush()
    } catch (error) {
      throw toStoreError(error, this.file)
    }
  }

  #connection(): Promise<Connection> {
    if (this.#opening === undefined) {
      if (this.#closing) return Promise.reject(storeErrors.closed(this.file))
      const opening = this.#open()
      this.#opening = opening
      // A failure is not kept: the next call tries again, when the cause may be mended.
      opening.then(this.#options.onOpen, () => {
        this.#opening = undefined
      })
    }
    return this.#opening
  }

  async #open(): Promise<Connection> {
    try {
      prepareFiles(this.file, this.#options.ownFolder)
    } catch (error) {
      throw toStoreError(error, this.file)
    }
    const connection = await this.#patiently(() => Connection.open(this.file, BLOCKING_WAIT_MS))
    try {
      // Several processes may open a new file at once: then changing its journal is refused for a moment.
      await this.#patiently(() => configure(connection, this.#options.maxPages))
      await this.#patiently(() => migrate(connection))
      this.#disk = syncedBeside(connection, this.#options.syncFile)
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }

  async #patiently<T>(work: () => T | Promise<T>): Promise<T> {
    const { patienceMs = 10_000, random = Math.random } = this.#options
    const began = performance.now()
    for (let pause = 1; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
      try {
        return await work()
      } catch (error) {
        const limit = this.#closing ? Math.min(patienceMs, CLOSING_PATIENCE_MS) : patienceMs
        if (!isBusy(error) || performance.now() - began >= limit) throw error
        await sleep(pause * (0.5 + random()))
      }
    }
  }
}

/** Undefined where there is no log to sync, as on file systems that cannot share memory: then SQLite syncs within each commit. */
function syncedBeside(connection: Connection, syncFile: SyncFile | undefined): DiskSync | undefined {
  try {
    const disk = new DiskSync(`${connection.file}-wal`, syncFile)
    connection.run('PRAGMA synchronous = NORMAL')
    return disk
  } catch {
    connection.run('PRAGMA synchronous = FULL')
    return undefined
  }
}

function checkpoint(connection: Connection): void {
  try {
    connection.checkpoint()
  } catch {
    // The disk is full or others are at work: the log stays, complete, until the next time.
  }
}

function configure(connection: Connection, maxPages: number | undefined): void {
  const mode = connection.get<{ journal_mode: string }>('PRAGMA journal_mode')?.journal_mode
  if (mode !== 'wal') connection.all('PRAGMA journal_mode = WAL')
  connection.all('PRAGMA foreign_keys = ON')
  connection.all('PRAGMA secure_delete = ON')
  connection.all(`PRAGMA journal_size_limit = ${LOG_LIMIT_BYTES}`)
  if (maxPages !== undefined) connection.all(`PRAGMA max_page_count = ${maxPages}`)
}
