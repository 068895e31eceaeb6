/**
 * Puts messages into the search index after they were stored: nobody waits for it at the end of an answer.
 *
 * A message is noted as unindexed in the transaction that stores it, so a process that dies leaves the rest to the next
 * search, by whatever process.
 *
 * @module
 */
import { setImmediate } from 'node:timers/promises'
import { concernsInstructions } from '../../chat/instructions.ts'
import type { Part, Role } from '../../chat/message.ts'
import type { Database } from './database.ts'
import { decode } from './json.ts'
import { indexText, placeToken } from './search-text.ts'
import type { Connection } from './sqlite.ts'

/** One transaction takes about so long, in ms, or one message. */
const STEP_MS = 5
const BATCH = 64

/** Notes that a message stands in no index yet. */
export function noteUnindexed(db: Connection, seq: number): void {
  db.run('INSERT INTO unindexed (seq) VALUES (?)', [seq])
}

/** Indexes what is left to index. @param signal stops it between two steps */
export async function indexMessages(database: Database, signal?: AbortSignal): Promise<void> {
  for (;;) {
    if (signal?.aborted || !(await database.read(hasUnindexed))) return
    await database.write('process', indexSome)
    await setImmediate()
  }
}

function hasUnindexed(db: Connection): boolean {
  return db.get('SELECT 1 FROM unindexed LIMIT 1') !== undefined
}

function indexSome(db: Connection): void {
  const until = performance.now() + STEP_MS
  const waiting = db.all<{ seq: number }>('SELECT seq FROM unindexed ORDER BY seq LIMIT ?', [BATCH])
  for (const { seq } of waiting) {
    const row = db.get<{ session: number; role: Role; parts: string }>('SELECT session, role, parts FROM messages WHERE seq = ?', [seq])
    if (row) index(db, seq, row.session, row.role, decode<Part[]>(row.parts))
    db.run('DELETE FROM unindexed WHERE seq = ?', [seq])
    if (performance.now() > until) return
  }
}

function index(db: Connection, seq: number, session: number, role: Role, parts: readonly Part[]): void {
  db.run('INSERT INTO messages_fts (rowid, body, place) VALUES (?, ?, ?)', [seq, indexText(parts), placeToken(session)])
  if (concernsInstructions({ role, parts })) db.run('INSERT OR IGNORE INTO instructions (seq, session) VALUES (?, ?)', [seq, session])
}
