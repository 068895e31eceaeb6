/**
 * Recall: the passages of a session that belong to some words, found by the index.
 *
 * @module
 */
import type { Message } from '../../chat/message.ts'
import type { RecallQuery, RecallStore, Recollection } from '../../chat/recall.ts'
import { MESSAGE_COLUMNS, type MessageRow, rowLimit, toMessage } from './conversations.ts'
import type { Database } from './database.ts'
import { indexMessages } from './indexing.ts'
import { sessionNumber } from './search.ts'
import { inBody, queryTerms } from './search-text.ts'
import type { Connection } from './sqlite.ts'

/** A word in so many messages of the session is common. Beyond, it is only counted. */
const COMMON = 2000
/** Messages that passages are made of, at most: those with the rarest words. */
const MAX_HITS = 1500
/** Where no word is rare: messages that have all of them, the newest. */
const MAX_COMMON_HITS = 50

interface Hit {
  readonly seq: number
  readonly score: number
}

interface Range {
  from: number
  to: number
}

/** @param onIndexError told when new messages cannot be indexed; those indexed before are found all the same */
export function recall(database: Database, onIndexError: (error: unknown) => void): RecallStore {
  return {
    async recall(query) {
      await indexMessages(database).catch(onIndexError)
      return database.read((db) => recollect(db, query))
    },
    async instructions(sessionId, { before, limit }) {
      await indexMessages(database).catch(onIndexError)
      return database.read((db) =>
        db
          .all<MessageRow>(
            `SELECT ${MESSAGE_COLUMNS} FROM sessions s JOIN instructions i ON i.session = s.num JOIN messages m ON m.seq = i.seq
             WHERE s.id = ? AND i.seq < ? ORDER BY i.seq DESC LIMIT ?`,
            [sessionId, before, rowLimit(limit)],
          )
          .reverse()
          .map(toMessage),
      )
    },
  }
}

function recollect(db: Connection, { sessionId, words, before, limit, around }: RecallQuery): Recollection {
  const session = sessionNumber(db, sessionId)
  const total = db.get<{ total: number }>('SELECT message_count AS total FROM sessions WHERE id = ?', [sessionId])?.total ?? 0
  const terms = queryTerms(words.join(' '))
  if (session === undefined || terms.length === 0) return { passages: [], total, frequencies: new Map() }
  const counted = terms.map((term) => ({ term, count: countUpTo(db, term, session) })).sort((a, b) => a.count - b.count)
  // Quotes are syntax, the blank between two signs is how they are indexed.
  const frequencies = new Map(counted.map(({ term, count }) => [term.replace(/["\s]/g, ''), count]))
  const found = hits(db, session, total, counted)
  const ranges = rangesOf(
    found.filter(({ seq }) => seq < before),
    limit,
    around,
  )
  const passages = ranges.map((range) => read(db, session, range, before)).filter((messages) => messages.length > 0)
  return { passages, total, frequencies }
}

function countUpTo(db: Connection, term: string, session: number): number {
  const sql = 'SELECT count(*) AS count FROM (SELECT 1 FROM messages_fts WHERE messages_fts MATCH ? LIMIT ?)'
  return db.get<{ count: number }>(sql, [inBody(term, session), COMMON])?.count ?? 0
}

/**
 * Messages with the rarer terms, by how rare these are. SQLite's own ranking is not asked: it counts each term through
 * the whole index, the session's mark among them.
 */
function hits(
  db: Connection,
  session: number,
  total: number,
  counted: readonly { readonly term: string; readonly count: number }[],
): Hit[] {
  const scores = new Map<number, number>()
  let left = MAX_HITS
  for (const { term, count } of counted) {
    if (count === 0) continue
    if (count >= COMMON || count > left) break
    left -= count
    const rarity = Math.log(1 + total / count)
    for (const { seq } of db.all<{ seq: number }>('SELECT rowid AS seq FROM messages_fts WHERE messages_fts MATCH ?', [
      inBody(term, session),
    ])) {
      scores.set(seq, (scores.get(seq) ?? 0) + rarity)
    }
  }
  if (scores.size === 0) {
    const all = counted.filter(({ count }) => count > 0).map(({ term }) => term)
    if (all.length === 0) return []
    const sql = 'SELECT rowid AS seq FROM messages_fts WHERE messages_fts MATCH ? ORDER BY rowid DESC LIMIT ?'
    return db.all<{ seq: number }>(sql, [inBody(all.join(' AND '), session), MAX_COMMON_HITS]).map(({ seq }) => ({ seq, score: 1 }))
  }
  return [...scores].map(([seq, score]) => ({ seq, score }))
}

/** Where hits stand close together, or are good, until about `limit` messages are covered; ascending, apart from each other. */
function rangesOf(found: readonly Hit[], limit: number, around: number): Range[] {
  const places = [...found].sort((a, b) => a.seq - b.seq)
  const near = (hit: Hit, at: number): number => {
    let sum = hit.score
    for (const step of [-1, 1]) {
      for (let other = at + step; places[other] && Math.abs((places[other]?.seq ?? 0) - hit.seq) <= 2 * around; other += step) {
        sum += (places[other]?.score ?? 0) * 0.65 * Math.exp(-Math.abs((places[other]?.seq ?? 0) - hit.seq) / Math.max(1, around))
      }
    }
    return sum
  }
  const byWorth = places.map((hit, at) => ({ seq: hit.seq, worth: near(hit, at) })).sort((a, b) => b.worth - a.worth || b.seq - a.seq)
  let ranges: Range[] = []
  let covered = 0
  for (const { seq } of byWorth) {
    if (covered >= limit) break
    let joined: Range = { from: seq - around, to: seq + around }
    const apart: Range[] = []
    for (const range of ranges) {
      if (range.to + 1 < joined.from || range.from > joined.to + 1) apart.push(range)
      else joined = { from: Math.min(range.from, joined.from), to: Math.max(range.to, joined.to) }
    }
    ranges = [...apart, joined]
    covered = ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0)
  }
  return ranges.sort((a, b) => a.from - b.from)
}

function read(db: Connection, session: number, { from, to }: Range, before: number): Message[] {
  return db
    .all<MessageRow>(
      `SELECT ${MESSAGE_COLUMNS} FROM messages m JOIN sessions s ON s.num = m.session
       WHERE m.session = ? AND m.seq BETWEEN ? AND ? ORDER BY m.seq`,
      [session, from, Math.min(to, before - 1)],
    )
    .map(toMessage)
}
