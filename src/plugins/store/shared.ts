/**
 * What processes share: settings, what was learned about models, and leases of those in use.
 *
 * @module
 */
import { performance } from 'node:perf_hooks'
import type { ModelKey } from '../../chat/model.ts'
import type { Lease, Store } from '../../chat/store.ts'
import type { Database } from './database.ts'
import { decode, encode } from './json.ts'
import type { Processes } from './processes.ts'
import type { Connection } from './sqlite.ts'

/** The store's part for what processes share. */
export type Shared = Pick<Store, 'getSetting' | 'setSetting' | 'figures' | 'learn' | 'putLease' | 'dropLease' | 'leases'>

/** A process that cannot be looked at counts as dead when it was silent for so long, in ms. */
const SILENCE_MS = 60_000
/** Two clocks' readings of one start may differ by so much, in ms: the boot time in `/proc` has whole seconds. */
const START_TOLERANCE_MS = 2000
/** Birth of a process that was not the one its lease says. */
const NOT_THAT_PROCESS = 'other'

interface LeaseRow extends Omit<Lease, 'owned'> {
  readonly owned: number
  readonly host: string
  readonly birth: string | null
}

const LEASE_COLUMNS = 'instance_id AS instanceId, model, pid, process_start AS processStart, bytes, owned, heartbeat, host, birth'

export function shared(database: Database, now: () => number, processes: Processes): Shared {
  return {
    getSetting: (name) =>
      database.read((db) => {
        const row = db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', [name])
        return row && decode(row.value)
      }),

    setSetting: (name, value) =>
      database.write('disk', (db) => {
        if (value === undefined) db.run('DELETE FROM settings WHERE name = ?', [name])
        else db.run('INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)', [name, encode(value)])
      }),

    figures: (model) => database.read((db) => figuresOf(db, model)),

    learn: (model, figures) =>
      database.write('process', (db) => {
        const all = encode({ ...figuresOf(db, model), ...figures })
        db.run('INSERT OR REPLACE INTO models (key, figures, time) VALUES (?, ?, ?)', [model, all, now()])
      }),

    putLease: (lease) =>
      database.write('process', (db) => {
        const { instanceId, model, pid, processStart, bytes, owned, heartbeat } = lease
        db.run(
          `INSERT OR REPLACE INTO leases (instance_id, model, pid, process_start, bytes, owned, heartbeat, host, birth)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          [instanceId, model, pid, processStart, bytes, owned ? 1 : 0, heartbeat, processes.host, birthOf(lease, processes)],
        )
      }),

    dropLease: (instanceId, pid) =>
      database.write('process', (db) => {
        db.run('DELETE FROM leases WHERE instance_id = ? AND pid = ? AND host = ?', [instanceId, pid, processes.host])
      }),

    async leases() {
      const rows = await database.read((db) => db.all<LeaseRow>(`SELECT ${LEASE_COLUMNS} FROM leases ORDER BY pid, instance_id`))
      const time = now()
      const dead = new Set(rows.filter((row) => !isLiving(row, time, processes)))
      if (dead.size > 0) await prune(database, dead)
      return rows.filter((row) => !dead.has(row)).map(toLease)
    },
  }
}

function figuresOf(db: Connection, model: ModelKey): Readonly<Record<string, number>> {
  const row = db.get<{ figures: string }>('SELECT figures FROM models WHERE key = ?', [model])
  return row ? decode(row.figures) : {}
}

/** What tells this process from a later one with its pid. Read when the lease is written: ticks, unlike epoch time, do not move with the clock. */
function birthOf({ pid, processStart }: Lease, processes: Processes): string | null {
  const seen = processes.look(pid)
  if (seen.state === 'dead') return NOT_THAT_PROCESS
  if (seen.state === 'unknown' || seen.birth === undefined) return null
  const near = (startMs: number | undefined): boolean => startMs !== undefined && Math.abs(startMs - processStart) <= START_TOLERANCE_MS
  return near(seen.startMs) || (pid === process.pid && near(performance.timeOrigin)) ? seen.birth : NOT_THAT_PROCESS
}

function isLiving({ host, pid, birth, heartbeat }: LeaseRow, time: number, processes: Processes): boolean {
  const heard = time - heartbeat <= SILENCE_MS
  if (host !== processes.host) return heard
  const seen = processes.look(pid)
  if (seen.state !== 'alive') return seen.state === 'unknown' && heard
  return birth === null || seen.birth === undefined || birth === seen.birth
}

/** Removes leases, unless they were renewed meanwhile. */
async function prune(database: Database, dead: ReadonlySet<LeaseRow>): Promise<void> {
  try {
    await database.write('process', (db) => {
      for (const { instanceId, pid, host, heartbeat } of dead) {
        db.run('DELETE FROM leases WHERE instance_id = ? AND pid = ? AND host = ? AND heartbeat = ?', [instanceId, pid, host, heartbeat])
      }
    })
  } catch {
    // A full or held store must not hide who lives; the dead go next time.
  }
}

function toLease({ instanceId, model, pid, processStart, bytes, owned, heartbeat }: LeaseRow): Lease {
  return { instanceId, model, pid, processStart, bytes, owned: owned === 1, heartbeat }
}
