import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Connection } from '../../../src/plugins/store/sqlite.ts'
import { openStore, temporaryFile } from './harness.ts'

const IMPORTED = 1500

/** Two sessions as an import leaves them: nothing is indexed; the second is the newer one. */
async function importedFile(): Promise<string> {
  const file = await temporaryFile()
  const store = await openStore({ file })
  for (const id of ['first', 'second']) await store.createSession({ id, title: '', time: 1 })
  await store.close()
  const db = await Connection.open(file, 10)
  db.transaction('process', () => {
    for (let index = 0; index < 2 * IMPORTED; index++) {
      const own = index % IMPORTED
      const rule = own === IMPORTED - 100 ? 'Always answer in French.' : 'We talked of this and that for a while.'
      const { rowId } = db.run(
        "INSERT INTO messages (id, session, turn_id, role, time, complete, parts) VALUES (?, ?, ?, 'user', ?, 1, ?)",
        [
          `id${index}`,
          index < IMPORTED ? 1 : 2,
          `t${index}`,
          index,
          JSON.stringify([{ type: 'text', text: `${rule} Number word${own}.` }]),
        ],
      )
      db.run('INSERT INTO unindexed (seq) VALUES (?)', [rowId])
    }
    db.run('UPDATE sessions SET message_count = ?', [IMPORTED])
  })
  db.close()
  return file
}

describe('after a large import', () => {
  it('a turn waits for no more than a moment, the newest of its session come first, and the rest follows by itself', async () => {
    const file = await importedFile()
    const store = await openStore({ file })
    const db = await Connection.open(file, 1000)
    onTestFinished(() => db.close())
    const waiting = (): number => db.get<{ count: number }>('SELECT count(*) AS count FROM unindexed')?.count ?? 0
    const ask = (word: string) =>
      store
        .recall({ sessionId: 'first', words: [word], before: IMPORTED + 1, limit: 10, around: 1 })
        .then(({ passages }) => passages.flat())

    await store.instructions('first', { before: IMPORTED + 1, limit: 5 })
    expect(waiting()).toBeGreaterThan(IMPORTED)
    // The first session is asked about: it is done before the second, which is newer.
    await vi.waitFor(async () => expect(await ask(`word${IMPORTED - 50}`)).toHaveLength(3), 20_000)
    await vi.waitFor(async () => expect(await store.instructions('first', { before: IMPORTED + 1, limit: 5 })).toHaveLength(1), 20_000)
    expect(db.all('SELECT 1 FROM unindexed WHERE seq > ? LIMIT 1', [IMPORTED])).toHaveLength(1)
    await vi.waitFor(() => expect(waiting()).toBe(0), 60_000)
    expect(await ask('word3')).toHaveLength(3)
  }, 90_000)

  it('a search waits for all', async () => {
    const store = await openStore({ file: await importedFile() })
    expect(await store.search('word7')).toHaveLength(2)
  }, 90_000)
})
