/**
 * The one door to libsql. It closes the binding's dangers, all of them measured: a bound boolean, Date, array or
 * object aborts the process; text is cut at NUL and unpaired surrogates are replaced; whole numbers are bound as
 * floats; missing values are bound silently; `.get()` adds `_metadata` and may leave a read open; preparing in a loop
 * leaks; a closed database still serves its statements; a full disk surfaces as "cannot rollback".
 *
 * @module
 */
import type Libsql from 'libsql'
import { storeErrors, toStoreError } from './errors.ts'

/** What a statement takes. */
export type Bindable = string | number | bigint | null | Buffer

/** What a statement changed. */
export interface Changes {
  readonly changes: number
  /** Row id of the last insertion. */
  readonly rowId: number
}

interface Prepared {
  readonly statement: Libsql.Statement
  readonly parameters: number
}

/** Begins text that had to be written as JSON because SQLite or the binding would change it. */
const ESCAPE = '\u0001'
// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL is what it looks for
const UNSAFE = /\u0000|\p{Surrogate}/u
const INT64_MAX = 2n ** 63n - 1n

/** One connection. Synchronous; every error is a `MaiError` of the store. */
export class Connection {
  readonly file: string
  #database: Libsql.Database | undefined
  readonly #statements: Map<string, Prepared> = new Map()

  private constructor(file: string, database: Libsql.Database) {
    this.file = file
    this.#database = database
  }

  /** Opens a file; loads the engine on first use. @throws MaiError `MAI_STORE_FULL`, `MAI_STORE_BUSY`, `MAI_STORE_FAILED` */
  static async open(file: string, busyMs: number): Promise<Connection> {
    const Database = await loadEngine()
    try {
      const connection = new Connection(file, new Database(file))
      connection.all(`PRAGMA busy_timeout = ${busyMs}`)
      return connection
    } catch (error) {
      throw toStoreError(error, file)
    }
  }

  /** All rows. `Row` names the selected columns. */
  all<Row extends object>(sql: string, values: readonly Bindable[] = []): Row[] {
    return this.#guarded(() => {
      // The statement's columns are the caller's knowledge; SQLite has no types to check them by.
      const rows = this.#prepared(sql, values.length).statement.all(bound(values)) as Record<string, unknown>[]
      for (const row of rows) restore(row)
      return rows as Row[]
    })
  }

  /** The first row. Reads to the end, so that no read stays open. */
  get<Row extends object>(sql: string, values: readonly Bindable[] = []): Row | undefined {
    return this.all<Row>(sql, values)[0]
  }

  run(sql: string, values: readonly Bindable[] = []): Changes {
    return this.#guarded(() => {
      const { changes, lastInsertRowid } = this.#prepared(sql, values.length).statement.run(bound(values))
      return { changes, rowId: Number(lastInsertRowid) }
    })
  }

  /** Several statements without values. */
  script(sql: string): void {
    this.#guarded(() => void this.#open().exec(sql))
  }

  /** Runs `work` in one transaction that holds the write lock from its beginning; undone when it throws. */
  transaction<T>(work: () => T): T {
    this.run('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.run('COMMIT')
      return result
    } catch (error) {
      // SQLite has rolled back by itself when the disk is full; a second time would hide that.
      if (this.#open().inTransaction) this.run('ROLLBACK')
      throw error
    }
  }

  /** Moves all into the main file and empties the log, unless somebody else is reading. */
  checkpoint(): void {
    this.all('PRAGMA wal_checkpoint(TRUNCATE)')
  }

  /** Ends it. Its handles go when the engine's statements are collected, so none is kept. */
  close(): void {
    const database = this.#database
    this.#database = undefined
    this.#statements.clear()
    database?.close()
  }

  #open(): Libsql.Database {
    if (!this.#database) throw storeErrors.closed(this.file)
    return this.#database
  }

  #prepared(sql: string, values: number): Prepared {
    const database = this.#open()
    let prepared = this.#statements.get(sql)
    if (!prepared) {
      prepared = { statement: database.prepare(sql), parameters: sql.split('?').length - 1 }
      this.#statements.set(sql, prepared)
    }
    if (prepared.parameters !== values) throw storeErrors.wrongCount(prepared.parameters, values)
    return prepared
  }

  #guarded<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw toStoreError(error, this.file)
    }
  }
}

async function loadEngine(): Promise<typeof Libsql> {
  try {
    const { default: Database } = await import('libsql')
    return Database
  } catch (error) {
    throw storeErrors.binding(error)
  }
}

/** Values as the binding takes them without harm. @throws MaiError `MAI_STORE_FAILED` */
function bound(values: readonly unknown[]): Bindable[] {
  return values.map((value, index) => {
    switch (typeof value) {
      case 'string':
        return UNSAFE.test(value) || value.startsWith(ESCAPE) ? ESCAPE + JSON.stringify(value) : value
      case 'number':
        if (!Number.isFinite(value)) throw storeErrors.unbindable(index + 1, String(value))
        return Number.isSafeInteger(value) ? BigInt(value) : value
      case 'bigint':
        if (value > INT64_MAX || value < -INT64_MAX - 1n) throw storeErrors.unbindable(index + 1, 'a bigint of more than 64 bits')
        return value
      default:
        if (value === null || Buffer.isBuffer(value)) return value
        throw storeErrors.unbindable(
          index + 1,
          value instanceof Object ? `a ${value.constructor?.name ?? 'object'}` : `of type ${typeof value}`,
        )
    }
  })
}

/** Undoes what `bound` did to text. */
function restore(row: Record<string, unknown>): void {
  for (const column in row) {
    const value = row[column]
    if (typeof value === 'string' && value.startsWith(ESCAPE)) row[column] = plain(value)
  }
}

/** Text as it was bound; for text that SQLite has put into JSON, where rows are not restored. */
export function plain(stored: string): string {
  return stored.startsWith(ESCAPE) ? (JSON.parse(stored.slice(1)) as string) : stored
}
