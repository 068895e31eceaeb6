/**
 * The policy's log: records and snapshots. A record survives the death of the process; one lost with the machine's
 * power harms no conversation, so it does not wait for the disk.
 *
 * @module
 */
import { setImmediate } from 'node:timers/promises'
import type { RecordedEvent, RecordType } from '../../chat/policy.ts'
import type { Store } from '../../chat/store.ts'
import { rowLimit } from './conversations.ts'
import type { Database } from './database.ts'
import { decode, encode } from './json.ts'
import type { Bindable, Connection } from './sqlite.ts'

/** The store's part for the policy. */
export type Log = Pick<Store, 'appendRecord' | 'records' | 'lastRecordSeq' | 'saveSnapshot' | 'latestSnapshot'>

const DAY_MS = 24 * 60 * 60 * 1000
/** Records and snapshots older than this go, in ms. */
const RETENTION_MS: number = 30 * DAY_MS
/** Records deleted in one transaction, so that nobody waits long for the lock. */
const BATCH = 500
/** Setting that says when the log was last pruned. */
const PRUNED = 'log.pruned'

type Head = readonly [seq: number, run: string, time: number, type: RecordType]

interface Page {
  readonly heads: string
  /** Null: there is none. */
  readonly payloads: string | null
}

interface SnapshotRow {
  readonly seq: number
  readonly policy: string
  readonly version: number
  readonly state: string
}

export function log(database: Database, now: () => number): Log {
  return {
    appendRecord: async ({ run, time, type, payload }) => {
      const values = [run, time, type, encode(payload)]
      return (await database.writeOne('INSERT INTO records (run, time, type, payload) VALUES (?, ?, ?, ?)', values)).rowId
    },

    records: ({ after, through, run, type, limit, newest = false } = {}) => {
      const conditions: [string, Bindable | undefined][] = [
        ['seq > ?', after],
        ['seq <= ?', through],
        ['run = ?', run],
        ['type = ?', type],
      ]
      const used = conditions.flatMap(([sql, value]) => (value === undefined ? [] : [{ sql, value }]))
      const where = used.length > 0 ? `WHERE ${used.map(({ sql }) => sql).join(' AND ')}` : ''
      // Two JSON texts for all of them, since handing over a row costs; payloads are written as they come, for they are most of it.
      const sql = `SELECT json_group_array(json_array(seq, run, time, type)) AS heads, '[' || group_concat(payload) || ']' AS payloads
        FROM (SELECT seq, run, time, type, payload FROM records ${where} ORDER BY seq ${newest ? 'DESC' : 'ASC'} LIMIT ?)`
      return database.read((db) => {
        const page = db.get<Page>(sql, [...used.map(({ value }) => value), rowLimit(limit)])
        const payloads = decode<readonly unknown[]>(page?.payloads ?? '[]')
        return decode<readonly Head[]>(page?.heads ?? '[]').map((head, index) => toRecord(head, payloads[index]))
      })
    },

    // Of all that were ever written, so that it stays true when old ones have gone.
    lastRecordSeq: () => database.read((db) => db.get<{ seq: number }>("SELECT seq FROM sqlite_sequence WHERE name = 'records'")?.seq ?? 0),

    saveSnapshot: ({ seq, policy, version, state }) =>
      database.write('process', (db) => {
        db.run('INSERT OR REPLACE INTO snapshots (policy, version, seq, time, state) VALUES (?, ?, ?, ?, ?)', [
          policy,
          version,
          seq,
          now(),
          encode(state),
        ])
      }),

    latestSnapshot: (policy, version, through = Number.MAX_SAFE_INTEGER) =>
      database.read((db) => {
        const row = db.get<SnapshotRow>(
          'SELECT seq, policy, version, state FROM snapshots WHERE policy = ? AND version = ? AND seq <= ? ORDER BY seq DESC LIMIT 1',
          [policy, version, through],
        )
        return row && { ...row, state: decode<unknown>(row.state) }
      }),
  }
}

/**
 * Removes old records and snapshots, once a day over all processes, in small steps. The newest snapshot of each policy
 * stays. The first time, with a new store, it only notes the day.
 * @param signal stops it between two steps; the next call goes on
 */
export async function pruneLog(database: Database, now: number, signal: AbortSignal): Promise<void> {
  const last = await database.read(lastPruned)
  // A moment in the future comes from a clock that was wrong.
  if (last !== undefined && last <= now && now - last < DAY_MS) return
  const cutoff = now - RETENTION_MS
  let deleted = last === undefined ? 0 : BATCH
  while (deleted > 0 && !signal.aborted) {
    // Records stand in the order of time, so the old ones are the first.
    deleted = await database.write(
      'process',
      (db) =>
        db.run('DELETE FROM records WHERE time < ? AND seq IN (SELECT seq FROM records ORDER BY seq LIMIT ?)', [cutoff, BATCH]).changes,
    )
    await setImmediate()
  }
  if (deleted > 0) return
  await database.write('process', (db) => {
    db.run('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', [PRUNED, String(now)])
    db.run(
      `DELETE FROM snapshots WHERE time < ?
       AND seq < (SELECT max(seq) FROM snapshots n WHERE n.policy = snapshots.policy AND n.version = snapshots.version)`,
      [cutoff],
    )
  })
}

function lastPruned(db: Connection): number | undefined {
  const row = db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', [PRUNED])
  return row && Number(row.value)
}

function toRecord([seq, run, time, type]: Head, payload: unknown): RecordedEvent {
  // The payload is what appendRecord took for this type.
  return { seq, run, time, type, payload } as RecordedEvent
}
