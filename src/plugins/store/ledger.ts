/**
 * Facts about sessions, with the messages they come from: kept by `seq`, which any id has.
 *
 * @module
 */
import type { LedgerFact, LedgerState, LedgerStore, NewLedgerFact } from '../../chat/ledger.ts'
import { missing, rowLimit } from './conversations.ts'
import type { Database } from './database.ts'
import type { Connection } from './sqlite.ts'

/** A fact once for each of its sources. */
interface SourceRow extends Omit<LedgerFact, 'sources'> {
  readonly source: string
}

/** The store's part for ledgers. A fact lost with the machine's power can be noted again: it does not wait for the disk. */
export function ledger(database: Database): LedgerStore {
  return {
    ledger: (sessionId, { limit } = {}) =>
      database.read((db) =>
        grouped(
          db.all<SourceRow>(
            `SELECT l.id, s.id AS sessionId, l.fact AS text, l.model, l.time, m.id AS source
             FROM sessions s
             JOIN (SELECT * FROM ledger WHERE session = (SELECT num FROM sessions WHERE id = ?) ORDER BY id DESC LIMIT ?) l ON l.session = s.num
             JOIN json_each(l.sources) j JOIN messages m ON m.seq = j.value
             ORDER BY l.id, j.key`,
            [sessionId, rowLimit(limit)],
          ),
        ),
      ),

    ledgerState: (sessionId) =>
      database.read(
        (db) =>
          db.get<LedgerState>(
            'SELECT ledger_through AS through, (SELECT count(*) FROM ledger WHERE session = num) AS facts FROM sessions WHERE id = ?',
            [sessionId],
          ) ?? { through: 0, facts: 0 },
      ),

    changeLedger: (sessionId, { add = [], remove = [], looked }) =>
      database.write('process', (db) => {
        const session =
          db.get<{ num: number; through: number }>('SELECT num, ledger_through AS through FROM sessions WHERE id = ?', [sessionId]) ??
          missing(sessionId)
        if (looked && looked.after !== session.through) return false
        for (const id of remove) db.run('DELETE FROM ledger WHERE id = ? AND session = ?', [id, session.num])
        for (const fact of add) insert(db, session.num, fact)
        if (looked) db.run('UPDATE sessions SET ledger_through = ? WHERE num = ?', [looked.through, session.num])
        return true
      }),
  }
}

function grouped(rows: readonly SourceRow[]): LedgerFact[] {
  const facts = new Map<number, LedgerFact & { sources: string[] }>()
  for (const { source, ...fact } of rows) {
    const known = facts.get(fact.id)
    if (known) known.sources.push(source)
    else facts.set(fact.id, { ...fact, sources: [source] })
  }
  return [...facts.values()]
}

/** A message may have been taken back while a model was reading it: then nothing is noted. */
function insert(db: Connection, session: number, { text, sources, model, time }: NewLedgerFact): void {
  const found = sources.map((id) => db.get<{ seq: number }>('SELECT seq FROM messages WHERE id = ? AND session = ?', [id, session])?.seq)
  if (found.length === 0 || found.includes(undefined)) return
  db.run('INSERT INTO ledger (session, fact, sources, model, time) VALUES (?, ?, ?, ?, ?)', [
    session,
    text,
    JSON.stringify(found),
    model,
    time,
  ])
}
