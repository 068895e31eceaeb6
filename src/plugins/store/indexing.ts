/**
 * Puts messages into the search index after they were stored: nobody waits for it at the end of an answer.
 *
 * A message is noted as unindexed in the transaction that stores it, so a process that dies leaves the rest to the next
 * one, whichever it is. After an import there may be a great many: a search waits for all of them, a turn only for a moment.
 *
 * @module
 */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { concernsInstructions } from '../../chat/instructions.ts'
import type { Message, Part, Role } from '../../chat/message.ts'
import type { Database } from './database.ts'
import { decode } from './json.ts'
import { indexText, placeToken } from './search-text.ts'
import type { Connection } from './sqlite.ts'

/** One transaction takes about so long, in ms, or one message. While nobody waits, as much time is left between two. */
const STEP_MS = 5
const BATCH = 64
/** New messages are indexed so long after the first of them, in ms: not while an answer ends; and nothing recalls a question before its answer. */
const AFTER_MS = 100
const AFTER_QUESTION_MS = 2000
const ALIVE_MS = 60_000
/** A turn waits so long, in ms, and goes on with what is indexed by then. */
const PATIENCE_MS = 25

/** Notes that a message stands in no index yet. */
export function noteUnindexed(db: Connection, seq: number): void {
  db.run('INSERT INTO unindexed (seq) VALUES (?)', [seq])
}

/** Notes that a message gives or takes back a standing instruction, if it does. Its patterns take some 16 ms to compile at the first message, 9 at the second. */
export function noteInstructions(db: Connection, seq: number, message: Pick<Message, 'role' | 'parts'>): void {
  if (concernsInstructions(message))
    db.run('INSERT OR IGNORE INTO instructions (seq, session) SELECT seq, session FROM messages WHERE seq = ?', [seq])
}

/** Indexes all that is left to index, the newest first. @param signal stops it between two steps */
export async function indexMessages(database: Database, signal?: AbortSignal): Promise<void> {
  while (!signal?.aborted && (await database.read((db) => leftOf(db).length > 0))) {
    await database.write('process', (db) => indexSome(db))
    await setImmediate()
  }
}

/** Indexes in the background of one store. */
export class Indexer {
  readonly #database: Database
  readonly #onError: (error: unknown) => void
  readonly #stop: AbortController = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #isSoon = false
  #running: Promise<void> | undefined
  /** Who waits for all of it. */
  #waiting = 0
  /** Its messages go first. */
  #session: string | undefined

  /** @param onError told when messages cannot be indexed; those indexed before are found all the same */
  constructor(database: Database, onError: (error: unknown) => void) {
    this.#database = database
    this.#onError = onError
  }

  /** Begins before long. */
  soon(): void {
    if (!this.#isSoon) this.#in(AFTER_MS)
    this.#isSoon = true
  }

  /** Begins with the answer that is on its way, or when that takes long. */
  afterAnswer(): void {
    if (!this.#timer) this.#in(AFTER_QUESTION_MS)
  }

  /** Until everything is indexed that was stored before the call. */
  async all(): Promise<void> {
    this.#waiting++
    // The pauses of a run keep no process alive; who waits for its end does.
    const alive = setInterval(() => {}, ALIVE_MS)
    try {
      // A run that is about to end may not have seen the newest.
      await this.#running
      await this.#run()
    } finally {
      clearInterval(alive)
      this.#waiting--
    }
  }

  /** Until what a session has before `before` is indexed, or for a moment: the rest is done in the background, this session's first. */
  async forTurn(sessionId: string, before: number): Promise<void> {
    this.#session = sessionId
    const until = performance.now() + PATIENCE_MS
    while (performance.now() < until && (await this.#database.read((db) => leftOf(db, sessionId, before).length > 0))) {
      const all = this.#run().then(() => true)
      // What is left after a whole run cannot be indexed.
      if (await Promise.race([all, sleep(STEP_MS, false)])) return
    }
  }

  /** Ends it after the step under way. */
  stop(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
  }

  #in(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#run(), ms).unref()
  }

  #run(): Promise<void> {
    this.#running ??= this.#steps()
      .catch(this.#onError)
      .finally(() => {
        this.#running = undefined
      })
    return this.#running
  }

  async #steps(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isSoon = false
    const isLeft = (): Promise<boolean> => this.#database.read((db) => leftOf(db).length > 0)
    for (let more = await isLeft(); more && !this.#stop.signal.aborted; ) {
      const step = (db: Connection): void => indexSome(db, this.#session)
      // While nobody waits for all, its way to the disk begins at once, or the next message's would be longer. Here it is not waited for.
      if (this.#waiting > 0) await this.#database.write('process', step)
      else await this.#database.commit(step)
      more = await isLeft()
      if (more) await (this.#waiting > 0 ? setImmediate() : sleep(STEP_MS, undefined, { ref: false }))
    }
  }
}

/** The newest that stand in no index yet; of a session those between its first and its last message. */
function leftOf(db: Connection, sessionId?: string, before = Number.MAX_SAFE_INTEGER): { readonly seq: number }[] {
  if (sessionId === undefined) return db.all('SELECT seq FROM unindexed ORDER BY seq DESC LIMIT ?', [BATCH])
  return db.all(
    `SELECT u.seq FROM sessions s CROSS JOIN unindexed u
     ON u.seq >= (SELECT min(seq) FROM messages WHERE session = s.num) AND u.seq <= (SELECT max(seq) FROM messages WHERE session = s.num)
     WHERE s.id = ? AND u.seq < ? ORDER BY u.seq DESC LIMIT ?`,
    // Each alone, as SQLite finds a first or a last in the index, but reads it all for both at once.
    [sessionId, before, BATCH],
  )
}

function indexSome(db: Connection, sessionId?: string): void {
  const until = performance.now() + STEP_MS
  const own = sessionId === undefined ? [] : leftOf(db, sessionId)
  // Ascending within a step, as the index writes itself out whenever a row comes before the last one.
  for (const { seq } of (own.length > 0 ? own : leftOf(db)).reverse()) {
    const row = db.get<{ session: number; role: Role; parts: string }>('SELECT session, role, parts FROM messages WHERE seq = ?', [seq])
    if (row) index(db, seq, row.session, row.role, decode<Part[]>(row.parts))
    db.run('DELETE FROM unindexed WHERE seq = ?', [seq])
    if (performance.now() > until) return
  }
}

function index(db: Connection, seq: number, session: number, role: Role, parts: readonly Part[]): void {
  db.run('INSERT INTO messages_fts (rowid, body, place) VALUES (?, ?, ?)', [seq, indexText(parts), placeToken(session)])
  noteInstructions(db, seq, { role, parts })
}
