import { describe, expect, it } from 'vitest'
import { Connection } from '../../../src/plugins/store/sqlite.ts'
import { message, openStore, temporaryFile } from './harness.ts'

const MESSAGES = 100_000

/** Written directly: one transaction instead of one for each message. */
async function fillSession(file: string): Promise<void> {
  const store = await openStore({ file })
  await store.createSession({ id: 'long', title: '', time: 1 })
  await store.createSession({ id: 'short', title: '', time: 1 })
  await store.close()
  const db = await Connection.open(file, 10)
  const words = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta', 'iota', 'kappa']
  db.transaction(() => {
    for (let index = 0; index < MESSAGES; index++) {
      const text = `${words[index % 10]} ${words[(index * 7) % 10]} rare${index} with some more words of a talk that goes on and on for ever`
      db.run(`INSERT INTO messages (id, session, turn_id, role, time, complete, parts) VALUES (?, 1, ?, 'user', ?, 1, ?)`, [
        `id${index}`,
        `t${index}`,
        index,
        JSON.stringify([{ type: 'text', text }]),
      ])
      db.run(`INSERT INTO messages_fts (rowid, body, place) VALUES (?, ?, 's1')`, [index + 1, text])
    }
    db.run('UPDATE sessions SET message_count = ? WHERE num = 1', [MESSAGES])
  })
  db.close()
}

async function median(runs: number, work: (index: number) => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let index = 0; index < runs; index++) {
    const began = performance.now()
    await work(index)
    times.push(performance.now() - began)
  }
  times.sort((a, b) => a - b)
  return times[Math.floor(runs / 2)] ?? 0
}

describe('a session of 100,000 messages', () => {
  it('is paged, counted, searched and written to as fast as a short one', { timeout: 120_000 }, async () => {
    const file = await temporaryFile()
    await fillSession(file)
    const store = await openStore({ file })
    for (let index = 0; index < 100; index++) await store.appendMessage(message('short', `word${index}`))
    const figures = {
      pageShort: await median(50, () => store.messages('short', { limit: 50 })),
      pageNewest: await median(50, () => store.messages('long', { limit: 50 })),
      pageMiddle: await median(50, (index) => store.messages('long', { limit: 50, before: 50_000 - index * 10 })),
      count: await median(50, () => store.countMessages('long')),
      searchRare: await median(50, (index) => store.search(`rare${index * 997} alphabet`, { sessionId: 'long' })),
      searchCommon: await median(20, (index) => store.search(`with some more words of a talk rare${index * 997}`)),
      append: await median(50, (index) => store.appendMessage(message('long', `one more ${index}`))),
    }
    console.info('100,000 messages, p50 in ms:', figures)
    expect(await store.countMessages('long')).toBe(MESSAGES + 50)
    // Ten times and more above what is usual, and far below what reading the session takes.
    expect(figures.pageNewest).toBeLessThan(10)
    expect(figures.pageMiddle).toBeLessThan(10)
    expect(figures.count).toBeLessThan(5)
    expect(figures.searchRare).toBeLessThan(25)
    expect(figures.searchCommon).toBeLessThan(50)
    // Where every word is common, those that stand together are found.
    expect(await store.search('alpha talk', { limit: 3 })).toHaveLength(3)
    expect(await store.search('some more words', { sessionId: 'short' })).toEqual([])
    expect(figures.append).toBeLessThan(50)
  })
})
