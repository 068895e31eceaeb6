/**
 * Long sessions, written to a store's file at once rather than message by message.
 *
 * @module
 */
import type { Message, Part } from '../../src/chat/message.ts'
import { Connection } from '../../src/plugins/store/sqlite.ts'
import { createStore } from '../../src/plugins/store/store.ts'

/** What is said. */
export type Line = Pick<Message, 'role'> & { readonly text: string }

/** Time between two messages, in ms, and between two sittings, which have so many messages. */
const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const SITTING = 40

/** Appends `lines` to a session that is made where it is missing; indexes them. */
export async function fill(file: string, sessionId: string, lines: Iterable<Line>): Promise<number> {
  const store = createStore({ file, ownFolder: false })
  await store.createSession({ id: sessionId, title: '', time: 0 })
  await store.close()
  const db = await Connection.open(file, 1000)
  const session = db.get<{ num: number }>('SELECT num FROM sessions WHERE id = ?', [sessionId])?.num ?? 0
  let count = 0
  db.transaction(() => {
    for (const { role, text } of lines) {
      const parts: readonly Part[] = [{ type: 'text', text }]
      const time = Date.UTC(2020, 0, 1, 9) + Math.floor(count / SITTING) * DAY + (count % SITTING) * MINUTE
      const { rowId } = db.run('INSERT INTO messages (id, session, turn_id, role, time, complete, parts) VALUES (?, ?, ?, ?, ?, 1, ?)', [
        `${sessionId}-${count}`,
        session,
        `${sessionId}-t${count >> 1}`,
        role,
        time,
        JSON.stringify(parts),
      ])
      db.run('INSERT INTO unindexed (seq) VALUES (?)', [rowId])
      count++
    }
    db.run('UPDATE sessions SET message_count = message_count + ?, updated_at = ? WHERE num = ?', [count, Date.UTC(2030, 0, 1), session])
  })
  db.close()
  const again = createStore({ file, ownFolder: false })
  await again.search('index')
  await again.close()
  return count
}
