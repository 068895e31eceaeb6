/**
 * Full-text search over messages, best first (BM25).
 *
 * @module
 */
import type { Store } from '../../chat/store.ts'
import { MESSAGE_COLUMNS, type MessageRow, rowLimit, toMessage } from './conversations.ts'
import type { Database } from './database.ts'
import { matchAny } from './search-text.ts'

const DEFAULT_LIMIT = 20

interface HitRow extends MessageRow {
  readonly rank: number
}

export function search(database: Database): Pick<Store, 'search'> {
  return {
    search: (query, { sessionId, limit = DEFAULT_LIMIT } = {}) =>
      database.read((db) => {
        const words = matchAny(query)
        if (words === undefined) return []
        let match = `body : (${words})`
        if (sessionId !== undefined) {
          const session = db.get<{ num: number }>('SELECT num FROM sessions WHERE id = ?', [sessionId])
          if (!session) return []
          match = `session : "s${session.num}" AND (${match})`
        }
        // The best are found in the index alone; only they are read.
        const rows = db.all<HitRow>(
          `SELECT ${MESSAGE_COLUMNS}, f.rank
           FROM (
             SELECT rowid AS seq, bm25(messages_fts, 0.0, 1.0) AS rank FROM messages_fts WHERE messages_fts MATCH ? ORDER BY rank LIMIT ?
           ) f
           JOIN messages m ON m.seq = f.seq JOIN sessions s ON s.num = m.session
           ORDER BY f.rank, m.seq DESC`,
          [match, rowLimit(limit)],
        )
        return rows.map((row) => ({ message: toMessage(row), score: -row.rank }))
      }),
  }
}
