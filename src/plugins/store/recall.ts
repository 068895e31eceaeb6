/**
 * Recall: the passages of a session that belong to some words, found by the index.
 *
 * @module
 */
import type { Message, Part } from '../../chat/message.ts'
import type { RecallQuery, RecallStore, Recollection } from '../../chat/recall.ts'
import { MESSAGE_COLUMNS, type MessageRow, rowLimit, toMessage } from './conversations.ts'
import type { Database } from './database.ts'
import type { Indexer } from './indexing.ts'
import { decode } from './json.ts'
import { inBody, MAX_TERMS, queryTerms } from './search-text.ts'
import { type Connection, plain } from './sqlite.ts'

/** Words that are counted to find the rarest; counting one takes some µs. */
const MOST_COUNTED = 64

/** A word in so many messages of the session is common. Beyond, it is only counted. */
const COMMON = 1000
/** Messages that passages are made of, at most: those with the rarest words. */
const MAX_HITS = 1000
/** A session that has most of the messages between its first and its last is looked up by this range, which is ten times as fast as by its mark. */
const DENSE = 0.5
/** Where no word is rare: messages that have all of them, the newest. */
const MAX_COMMON_HITS = 50

interface Hit {
  readonly seq: number
  readonly score: number
}

/** Where a session stands in the index. */
interface Place {
  readonly session: number
  readonly total: number
  /** `seq` of its first and last message. */
  readonly first: number
  readonly last: number
  readonly dense: boolean
}

interface Range {
  from: number
  to: number
}

export function recall(database: Database, indexer: Indexer): RecallStore {
  return {
    async recall(query) {
      await indexer.forTurn(query.sessionId, query.before)
      return database.read((db) => recollect(db, query))
    },
    async instructions(sessionId, { before, limit }) {
      await indexer.forTurn(sessionId, before)
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
  const place = placeOf(db, sessionId)
  const terms = queryTerms(words.join(' '), MOST_COUNTED)
  if (!place || terms.length === 0) return { passages: [], total: place?.total ?? 0, frequencies: new Map() }
  const { total } = place
  // The rarest say most, and pairs of signs are all of one length: those that are there are counted before they are chosen.
  const counted = countsOf(db, terms, place)
    .filter(({ count }) => count > 0)
    .sort((a, b) => a.count - b.count)
    .slice(0, MAX_TERMS)
  // Quotes are syntax, the blank between two signs is how they are indexed.
  const frequencies = new Map(counted.map(({ term, count }) => [term.replace(/["\s]/g, ''), count]))
  const found = hits(db, place, counted)
  const ranges = rangesOf(
    found.filter(({ seq }) => seq < before),
    limit,
    around,
  )
  return { passages: read(db, place.session, ranges, before), total, frequencies }
}

function placeOf(db: Connection, sessionId: string): Place | undefined {
  const found = db.get<Omit<Place, 'dense'>>(
    `SELECT num AS session, message_count AS total,
       coalesce((SELECT min(seq) FROM messages WHERE session = num), 0) AS first,
       coalesce((SELECT max(seq) FROM messages WHERE session = num), 0) AS last
     FROM sessions WHERE id = ?`,
    [sessionId],
  )
  return found && { ...found, dense: found.total >= DENSE * (found.last - found.first + 1) }
}

/** How many messages of the session have a term, up to a bound. */
function countsOf(db: Connection, terms: readonly string[], place: Place): { readonly term: string; readonly count: number }[] {
  const counts = each(db, terms, place, 'SELECT count(*) FROM (SELECT 1 FROM messages_fts WHERE', `LIMIT ${COMMON})`)
  return terms.map((term, at) => ({ term, count: Number(counts[at] ?? 0) }))
}

/** Newest messages that have a term, by term. */
function seqsOf(db: Connection, terms: readonly string[], place: Place, newest: number): number[][] {
  const lists = each(
    db,
    terms,
    place,
    'SELECT group_concat(rowid) FROM (SELECT rowid FROM messages_fts WHERE',
    `ORDER BY rowid DESC LIMIT ${newest})`,
  )
  return lists.map((seqs) => (seqs === null ? [] : String(seqs).split(',').map(Number)))
}

/** Asks the index once for each term and hands over one row for all: a row costs more than a hit, a statement more than a row. */
function each(
  db: Connection,
  terms: readonly string[],
  { session, first, last, dense }: Place,
  before: string,
  after: string,
): (number | string | null)[] {
  const inside = dense ? 'AND rowid BETWEEN ? AND ?' : ''
  const { found } = db.get<{ found: string }>(
    `SELECT json_group_array((${before} messages_fts MATCH term.value ${inside} ${after})) AS found FROM json_each(?) term`,
    [...(dense ? [first, last] : []), JSON.stringify(terms.map((term) => inBody(term, dense ? undefined : session)))],
  ) ?? { found: '[]' }
  return JSON.parse(found)
}

/**
 * Messages with the rarer terms, by how rare these are. SQLite's own ranking is not asked: it counts each term through
 * the whole index, the session's mark among them.
 */
function hits(db: Connection, place: Place, counted: readonly { readonly term: string; readonly count: number }[]): Hit[] {
  let left = MAX_HITS
  const rare: { readonly term: string; readonly rarity: number }[] = []
  for (const { term, count } of counted) {
    if (count >= COMMON || count > left) break
    left -= count
    rare.push({ term, rarity: Math.log(1 + place.total / count) })
  }
  const scores = new Map<number, number>()
  if (rare.length === 0) {
    const all = counted.map(({ term }) => term).join(' AND ')
    for (const seq of all === '' ? [] : (seqsOf(db, [all], place, MAX_COMMON_HITS)[0] ?? [])) scores.set(seq, 1)
  } else {
    const lists = seqsOf(
      db,
      rare.map(({ term }) => term),
      place,
      COMMON,
    )
    for (const [at, { rarity }] of rare.entries()) for (const seq of lists[at] ?? []) scores.set(seq, (scores.get(seq) ?? 0) + rarity)
  }
  return [...scores].map(([seq, score]) => ({ seq, score }))
}

/** Where hits stand close together, or are good, until about `limit` messages are covered; ascending, apart from each other. */
function rangesOf(found: readonly Hit[], limit: number, around: number): Range[] {
  const places = [...found].sort((a, b) => a.seq - b.seq)
  const decay = Array.from({ length: 2 * around + 1 }, (_, distance) => 0.65 * Math.exp(-distance / Math.max(1, around)))
  // What stands near counts for both, so each pair is looked at once.
  const worth = places.map(({ score }) => score)
  for (const [at, hit] of places.entries()) {
    for (let other = at + 1; other < places.length; other++) {
      const next = places[other]
      const share = next === undefined ? undefined : decay[next.seq - hit.seq]
      if (next === undefined || share === undefined) break
      worth[at] = (worth[at] ?? 0) + share * next.score
      worth[other] = (worth[other] ?? 0) + share * hit.score
    }
  }
  const byWorth = places.map(({ seq }, at) => ({ seq, worth: worth[at] ?? 0 })).sort((a, b) => b.worth - a.worth || b.seq - a.seq)
  let ranges: Range[] = []
  let covered = 0
  for (const { seq } of byWorth) {
    if (covered >= limit) break
    if (ranges.some(({ from, to }) => from <= seq - around && seq + around <= to)) continue
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

/** Passages that are not empty. One row for all: the engine hands rows over one by one, which costs more than reading them. */
function read(db: Connection, session: number, ranges: readonly Range[], before: number): Message[][] {
  if (ranges.length === 0) return []
  const { rows } = db.get<{ rows: string }>(
    `SELECT json_group_array(json_array(range, seq, id, sessionId, turnId, role, time, complete, json(parts))) AS rows FROM (
       SELECT r.key AS range, ${MESSAGE_COLUMNS}
       FROM json_each(?) r CROSS JOIN messages m ON m.seq BETWEEN r.value ->> 0 AND r.value ->> 1 JOIN sessions s ON s.num = m.session
       WHERE m.session = ? ORDER BY r.key, m.seq)`,
    [JSON.stringify(ranges.map(({ from, to }) => [from, Math.min(to, before - 1)])), session],
  ) ?? { rows: '[]' }
  type Row = [range: number, number, string, string, string, Message['role'], number, number, Part[]]
  const passages: Message[][] = ranges.map(() => [])
  for (const [range, seq, id, sessionId, turnId, role, time, complete, parts] of decode<Row[]>(rows)) {
    passages[range]?.push({
      id: plain(id),
      seq,
      sessionId: plain(sessionId),
      turnId: plain(turnId),
      role,
      parts,
      time,
      complete: complete === 1,
    })
  }
  return passages.filter((messages) => messages.length > 0)
}
