import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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
  db.transaction(() => {
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

  it('what the user asked for to hold is known at once', async () => {
    const store = await openStore({ file: await importedFile() })
    const parts = [{ type: 'text' as const, text: 'Please always answer in German.' }]
    const stored = await store.appendMessage({ id: 'm', sessionId: 'first', turnId: 't', role: 'user', parts, time: 9, complete: true })
    expect(await store.instructions('first', { before: stored.seq + 1, limit: 5 })).toMatchObject([{ id: 'm' }])
  }, 90_000)

  it('a search waits for all', async () => {
    const store = await openStore({ file: await importedFile() })
    expect(await store.search('word7')).toHaveLength(2)
  }, 90_000)

  it('a search is waited for to its end by a process that does nothing else', async () => {
    const file = await importedFile()
    const script = path.join(path.dirname(file), 'search.ts')
    await fs.writeFile(
      script,
      `import { createStore } from ${JSON.stringify(fileURLToPath(new URL('../../../src/plugins/store/store.ts', import.meta.url)))}
      const store = createStore({ file: ${JSON.stringify(file)}, ownFolder: false })
      await store.recall({ sessionId: 'second', words: ['word7'], before: 9999, limit: 1, around: 0 })
      console.log((await store.search('word7')).length)
      await store.close()`,
    )
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'jiti/register', script])
    expect(stdout.trim()).toBe('2')
  }, 90_000)
})
