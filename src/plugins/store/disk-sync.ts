/**
 * Brings commits to the disk while this thread goes on.
 *
 * With a write-ahead log, SQLite's `synchronous = FULL` differs from `NORMAL` in one thing: each commit ends with a sync of
 * the log (https://www.sqlite.org/pragma.html#pragma_synchronous). Here that sync is done beside this thread, and one of
 * them serves all who wait for it. Commits, checkpoints and a new log's header are SQLite's own, as ever.
 *
 * @module
 */
import fs from 'node:fs'

/** Syncs a file's content to the disk; what a test may replace. */
export type SyncFile = (descriptor: number) => Promise<void>

const fdatasync: SyncFile = (descriptor) =>
  new Promise((resolve, reject) => {
    fs.fdatasync(descriptor, (error) => (error ? reject(error) : resolve()))
  })

/** Syncs one file for as long as it is open. */
export class DiskSync {
  readonly #descriptor: number
  readonly #syncFile: SyncFile
  /** The sync under way. */
  #running: Promise<void> | undefined
  /** The one after it, which sees what was written since that began. */
  #next: Promise<void> | undefined

  /** @param file the log of an open database: SQLite holds no lock on it that closing could drop @throws the file system's error */
  constructor(file: string, syncFile: SyncFile = fdatasync) {
    // Windows syncs only what may be written.
    this.#descriptor = fs.openSync(file, 'r+')
    this.#syncFile = syncFile
  }

  /** Resolves when all that was written before the call is on the disk. @throws the file system's error */
  flush(): Promise<void> {
    if (!this.#running) return this.#next ?? this.#begin()
    const begin = (): Promise<void> => this.#begin()
    this.#next ??= this.#running.then(begin, begin)
    return this.#next
  }

  /** Closes the file after the syncs under way. Never rejects. */
  async close(): Promise<void> {
    await (this.#next ?? this.#running)?.catch(() => {})
    fs.closeSync(this.#descriptor)
  }

  #begin(): Promise<void> {
    this.#next = undefined
    const running = this.#syncFile(this.#descriptor).finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }
}
