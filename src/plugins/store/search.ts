/**
 * Full-text search over messages, best first (BM25).
 *
 * @module
 */
import type { Store } from '../../chat/store.ts'
import { MESSAGE_COLUMNS, type MessageRow, rowLimit, toMessage } from './conversations.ts'
import type { Database } from './database.ts'
import type { Indexer } from './indexing.ts'
import { inBody, queryTerms } from './search-text.ts'
import type { Connection } from './sqlite.ts'

const DEFAULT_LIMIT = 20
/** A word in so many messages is common. Ranking a message takes about 2 µs, so common words would cost what they do not tell. */
const COMMON = 2000
/** Messages to rank at most, where rare words allow it. */
const MAX_RANKED = 4000

interface HitRow extends MessageRow {
  readonly rank: number
}

export function search(database: Database, indexer: Indexer): Pick<Store, 'search'> {
  return {
    async search(query, { sessionId, limit = DEFAULT_LIMIT } = {}) {
      await indexer.all()
      return database.read((db) => {
        const terms = queryTerms(query)
        const session = sessionId === undefined ? undefined : sessionNumber(db, sessionId)
        if (terms.length === 0 || (sessionId !== undefined && session === undefined)) return []
        for (const match of matches(db, terms)) {
          const rows = ranked(db, match, session, rowLimit(limit))
          if (rows.length > 0) return rows.map((row) => ({ message: toMessage(row), score: -row.rank }))
        }
        return []
      })
    },
  }
}

/** Queries to try in turn: any of the rarer words; where all are common, all of them together, then the longest alone. */
function* matches(db: Connection, terms: readonly string[]): Generator<string> {
  const counted = terms.map((term) => ({ term, count: countUpTo(db, term) })).sort((a, b) => a.count - b.count)
  let total = 0
  const rare = counted.filter(({ count }) => count < COMMON && (total += count) <= MAX_RANKED)
  if (rare.some(({ count }) => count > 0)) yield inBody(rare.map(({ term }) => term).join(' OR '))
  const common = counted.filter(({ count }) => count === COMMON)
  if (common.length > 1) yield inBody(common.map(({ term }) => term).join(' AND '))
  if (common[0]) yield inBody(common[0].term)
}

function countUpTo(db: Connection, term: string): number {
  const sql = 'SELECT count(*) AS count FROM (SELECT 1 FROM messages_fts WHERE messages_fts MATCH ? LIMIT ?)'
  return db.get<{ count: number }>(sql, [inBody(term), COMMON])?.count ?? 0
}

function ranked(db: Connection, match: string, session: number | undefined, limit: number): HitRow[] {
  // The index of sessions answers this alone, without reading a message.
  const inside =
    session === undefined
      ? ''
      : 'AND EXISTS (SELECT 1 FROM messages INDEXED BY messages_by_session WHERE session = ? AND seq = messages_fts.rowid)'
  // The best are found first; only they are read.
  return db.all<HitRow>(
    `SELECT ${MESSAGE_COLUMNS}, f.rank
     FROM (SELECT rowid AS seq, bm25(messages_fts) AS rank FROM messages_fts WHERE messages_fts MATCH ? ${inside} ORDER BY rank LIMIT ?) f
     JOIN messages m ON m.seq = f.seq JOIN sessions s ON s.num = m.session AND s.id IS NOT NULL
     ORDER BY f.rank, m.seq DESC`,
    [match, ...(session === undefined ? [] : [session]), limit],
  )
}

function sessionNumber(db: Connection, id: string): number | undefined {
  return db.get<{ num: number }>('SELECT num FROM sessions WHERE id = ?', [id])?.num
}
