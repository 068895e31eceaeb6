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
        const session = sessionId === undefined ? undefined : db.get<{ num: number }>('SELECT num FROM sessions WHERE id = ?', [sessionId])
        if (words === undefined || (sessionId !== undefined && !session)) return []
        // The index of sessions answers this alone, without reading a message.
        const inside = session
          ? 'AND EXISTS (SELECT 1 FROM messages INDEXED BY messages_by_session WHERE session = ? AND seq = messages_fts.rowid)'
          : ''
        // The best are found first; only they are read.
        const rows = db.all<HitRow>(
          `SELECT ${MESSAGE_COLUMNS}, f.rank
           FROM (SELECT rowid AS seq, bm25(messages_fts) AS rank FROM messages_fts WHERE messages_fts MATCH ? ${inside} ORDER BY rank LIMIT ?) f
           JOIN messages m ON m.seq = f.seq JOIN sessions s ON s.num = m.session
           ORDER BY f.rank, m.seq DESC`,
          [words, ...(session ? [session.num] : []), rowLimit(limit)],
        )
        return rows.map((row) => ({ message: toMessage(row), score: -row.rank }))
      }),
  }
}
