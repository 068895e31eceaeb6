/**
 * Sessions, messages and spans.
 *
 * @module
 */
import { setImmediate } from 'node:timers/promises'
import { chatErrors } from '../../chat/failure.ts'
import type { Message, NewMessage, Part, Role, Session, Span } from '../../chat/message.ts'
import type { Store } from '../../chat/store.ts'
import type { Database } from './database.ts'
import { noteInstructions, noteUnindexed } from './indexing.ts'
import { decode, encode } from './json.ts'
import type { Connection } from './sqlite.ts'

/** The store's part for conversations. */
export type Conversations = Required<
  Pick<
    Store,
    | 'createSession'
    | 'getSession'
    | 'listSessions'
    | 'renameSession'
    | 'deleteSession'
    | 'appendMessage'
    | 'appendMessages'
    | 'deleteMessage'
    | 'messages'
    | 'countMessages'
    | 'spans'
    | 'commitMessage'
  >
>

/** A row of {@link MESSAGE_COLUMNS}. */
export interface MessageRow {
  readonly seq: number
  readonly id: string
  readonly sessionId: string
  readonly turnId: string
  readonly role: Role
  readonly time: number
  readonly complete: number
  readonly parts: string
}

/** Columns of a {@link MessageRow}, from `messages m JOIN sessions s`. */
export const MESSAGE_COLUMNS = 'm.seq, m.id, s.id AS sessionId, m.turn_id AS turnId, m.role, m.time, m.complete, m.parts'

const SESSION_COLUMNS = 'id, title, created_at AS createdAt, updated_at AS updatedAt, message_count AS messageCount'

const COUNT_MESSAGE = 'UPDATE sessions SET message_count = message_count + 1, updated_at = max(updated_at, ?) WHERE id = ?'

/** One step of removing a session takes about so long, in ms, and goes by so many messages. */
const REMOVAL_MS = 20
const REMOVAL_BATCH = 5

/** As SQLite takes a limit: -1 is none. */
export function rowLimit(limit: number | undefined): number {
  return limit === undefined || limit === Number.POSITIVE_INFINITY ? -1 : Math.max(0, Math.floor(limit) || 0)
}

export function toMessage({ seq, id, sessionId, turnId, role, time, complete, parts }: MessageRow): Message {
  return { id, seq, sessionId, turnId, role, parts: decode<Part[]>(parts), time, complete: complete === 1 }
}

export function conversations(database: Database): Conversations {
  return {
    /** An id that exists already gives the session that has it. */
    createSession: ({ id, title, time }) =>
      database.write('disk', (db) => {
        db.run('INSERT INTO sessions (id, title, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING', [
          id,
          title,
          time,
          time,
        ])
        return sessionOf(db, id) ?? missing(id)
      }),

    getSession: (id) => database.read((db) => sessionOf(db, id)),

    listSessions: (page) =>
      database.read((db) =>
        db.all<Session>(`SELECT ${SESSION_COLUMNS} FROM sessions WHERE id IS NOT NULL ORDER BY updated_at DESC, num DESC LIMIT ?`, [
          rowLimit(page?.limit),
        ]),
      ),

    renameSession: (id, title) =>
      database.write('disk', (db) => {
        if (db.run('UPDATE sessions SET title = ? WHERE id = ?', [title, id]).changes === 0) missing(id)
      }),

    async deleteSession(id) {
      const found = await database.write('disk', (db) => db.run("UPDATE sessions SET id = NULL, title = '' WHERE id = ?", [id]).changes > 0)
      if (!found) return false
      await removeDeleted(database)
      // The deleted text is overwritten in the main file; this takes it out of the log too.
      await database.tryCheckpoint()
      return true
    },

    appendMessage: (message, spans = []) => database.write('disk', (db) => appendNoted(db, message, spans)),

    // Its instructions hold from the next message on, and are noted with the index.
    async commitMessage(message) {
      const { value, durable } = await database.commit((db) => {
        const stored = insert(db, message, [])
        const counted = db.get<{ count: number }>(`${COUNT_MESSAGE} RETURNING message_count AS count`, [message.time, message.sessionId])
        return { message: stored, earlier: counted ? counted.count - 1 : 0 }
      })
      return { ...value, durable }
    },

    appendMessages: (messages) => database.write('disk', (db) => messages.map(({ message, spans }) => appendNoted(db, message, spans))),

    deleteMessage: (id) =>
      database.write('disk', (db) => {
        const found = db.get<{ seq: number; session: number }>('SELECT seq, session FROM messages WHERE id = ?', [id])
        if (found === undefined) return
        const { seq, session } = found
        db.run('DELETE FROM messages WHERE seq = ?', [seq])
        // A fact from this message goes with it.
        db.run('DELETE FROM ledger WHERE session = ? AND EXISTS (SELECT 1 FROM json_each(sources) WHERE value = ?)', [session, seq])
        db.run(
          `UPDATE sessions SET message_count = message_count - 1,
             updated_at = coalesce((SELECT time FROM messages WHERE session = num ORDER BY seq DESC LIMIT 1), created_at)
           WHERE num = ?`,
          [session],
        )
      }),

    messages: (sessionId, { limit, before, after } = {}) =>
      database.read((db) => {
        const newest = after === undefined
        const rows = db.all<MessageRow>(
          `SELECT ${MESSAGE_COLUMNS} FROM sessions s JOIN messages m ON m.session = s.num
           WHERE s.id = ? AND m.seq > ? AND m.seq < ? ORDER BY m.seq ${newest ? 'DESC' : 'ASC'} LIMIT ?`,
          [sessionId, after ?? -1, before ?? Number.MAX_SAFE_INTEGER, rowLimit(limit)],
        )
        return (newest ? rows.reverse() : rows).map(toMessage)
      }),

    countMessages: (sessionId) => database.read((db) => sessionOf(db, sessionId)?.messageCount ?? 0),

    spans: (messageId) =>
      database.read((db) =>
        db.all<Span>(
          `SELECT m.id AS messageId, p.start, p."end", p.model, p.reason FROM messages m JOIN spans p ON p.message = m.seq
           WHERE m.id = ? ORDER BY p.position`,
          [messageId],
        ),
      ),
  }
}

/** What is imported may wait long for its index, but not its instructions. */
function appendNoted(db: Connection, message: NewMessage, spans: readonly Omit<Span, 'messageId'>[]): Message {
  const stored = append(db, message, spans)
  noteInstructions(db, stored.seq, message)
  return stored
}

function append(db: Connection, message: NewMessage, spans: readonly Omit<Span, 'messageId'>[]): Message {
  const stored = insert(db, message, spans)
  db.run(COUNT_MESSAGE, [message.time, message.sessionId])
  return stored
}

/** Without counting it in its session. */
function insert(db: Connection, message: NewMessage, spans: readonly Omit<Span, 'messageId'>[]): Message {
  const { id, sessionId, turnId, role, parts, time, complete } = message
  const { rowId: seq, changes } = db.run(
    `INSERT INTO messages (id, session, turn_id, role, time, complete, parts)
     SELECT ?, num, ?, ?, ?, ?, ? FROM sessions WHERE id = ?`,
    [id, turnId, role, time, complete ? 1 : 0, encode(parts), sessionId],
  )
  if (changes === 0) missing(sessionId)
  for (const [position, { start, end, model, reason }] of spans.entries()) {
    db.run('INSERT INTO spans (message, position, start, "end", model, reason) VALUES (?, ?, ?, ?, ?, ?)', [
      seq,
      position,
      start,
      end,
      model,
      reason,
    ])
  }
  noteUnindexed(db, seq)
  return { ...message, seq }
}

/**
 * Removes what belongs to deleted sessions, in short transactions: taking words out of the index is slow, and neither
 * this process nor others are to wait for it. What a crash left is removed by the next call.
 * @param signal stops it between two steps
 */
export async function removeDeleted(database: Database, signal?: AbortSignal): Promise<void> {
  if (!(await database.read(deletedSession))) return
  for (let more = true; more && !signal?.aborted; await setImmediate()) more = await database.write('process', removeSome)
}

/** @returns whether more is left */
function removeSome(db: Connection): boolean {
  const until = performance.now() + REMOVAL_MS
  for (let deleted = deletedSession(db); deleted; deleted = deletedSession(db)) {
    const { num } = deleted
    while (
      db.run('DELETE FROM messages WHERE seq IN (SELECT seq FROM messages WHERE session = ? LIMIT ?)', [num, REMOVAL_BATCH]).changes > 0
    ) {
      if (performance.now() > until) return true
    }
    db.run('DELETE FROM sessions WHERE num = ?', [num])
  }
  return false
}

function deletedSession(db: Connection): { readonly num: number } | undefined {
  return db.get('SELECT num FROM sessions WHERE id IS NULL LIMIT 1')
}

function sessionOf(db: Connection, id: string): Session | undefined {
  return db.get<Session>(`SELECT ${SESSION_COLUMNS} FROM sessions WHERE id = ?`, [id])
}

export function missing(sessionId: string): never {
  throw chatErrors.unknownSession(sessionId, [])
}
