import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Connection } from '../../../src/plugins/store/sqlite.ts'
import { openStore, outputOf, startChild, temporaryFile } from './harness.ts'

/** `npm run test:chaos` does all of it; every run of the tests does a little. */
const WHOLE = process.env.MAI_CHAOS === '1'
const KILLS = WHOLE ? 200 : 6
const WRITING_MS = WHOLE ? 60_000 : 2000

/** Runs a writer and kills it at some moment after so many lines. @returns what it said was done */
async function killed(file: string, who: string, afterLines: number): Promise<string[]> {
  const child = startChild('write-for-ever', file, who)
  const ended = once(child, 'close')
  if (!child.stdout) throw new Error('no output')
  const said: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line)
    // A moment of its own choosing, so that it hits any step of any write.
    if (said.length === afterLines) void sleep(Math.random() * 4).then(() => child.kill('SIGKILL'))
  }
  await ended
  return said
}

describe('several processes on one store', () => {
  it('lose nothing that was acknowledged when a writer is killed at any moment', { timeout: 900_000 }, async () => {
    const file = await temporaryFile()
    const done = new Map<string, Set<string>>(['message', 'record', 'fact', 'undoing', 'undone'].map((kind) => [kind, new Set()]))
    for (let round = 0; round < KILLS; round++) {
      for (const line of await killed(file, `r${round}`, 3 + ((round * 7) % 90))) {
        const [kind = '', id = ''] = line.split(' ')
        done.get(kind)?.add(id)
      }
    }
    const of = (kind: string): Set<string> => done.get(kind) ?? new Set()
    const store = await openStore({ file })
    const messages = (await store.messages('s')).map(({ id }) => id)
    const stored = new Set(messages)
    const facts = await store.ledger('s')
    const noted = new Set(facts.map(({ text }) => text))
    const recorded = new Set((await store.records({ type: 'pin.changed' })).map(({ payload }) => JSON.stringify(payload)))
    // One that was being taken back when its process died may be there or not.
    const stands = (id: string): boolean => !of('undoing').has(id)
    expect(of('message').size).toBeGreaterThan(KILLS * 5)
    expect([...of('message')].filter((id) => stands(id) && !stored.has(id))).toEqual([])
    expect([...of('undone')].filter((id) => stored.has(id))).toEqual([])
    expect([...of('fact')].filter((id) => stands(id) && !noted.has(id))).toEqual([])
    expect([...of('record')].filter((id) => !recorded.has(JSON.stringify({ model: id })))).toEqual([])
    // What was half done is not there at all.
    expect(await store.countMessages('s')).toBe(messages.length)
    for (const id of messages.slice(-50)) expect(await store.spans(id)).toHaveLength(1)
    expect(facts.filter(({ sources }) => !sources.every((id) => stored.has(id)))).toEqual([])
    const last = messages.at(-1) ?? ''
    expect((await store.search(last, { limit: 1000 })).some(({ message: { id } }) => id === last)).toBe(true)
    await store.close()
    const db = await Connection.open(file, 1000)
    expect(db.get('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' })
    db.close()
    const acknowledged = [...done.values()].reduce((sum, { size }) => sum + size, 0)
    console.info(`kill -9, ${KILLS} times: ${acknowledged} writes acknowledged, 0 lost`)
  })

  it('write at once without losing anything or failing', { timeout: 240_000 }, async () => {
    const file = await temporaryFile()
    const outputs = ['a', 'b'].map((who) => outputOf(startChild('write-for', file, who, String(WRITING_MS))))
    // A writer that meets "database is locked" ends with an error, and outputOf throws.
    const written = (await Promise.all(outputs)).map(Number)
    const store = await openStore({ file })
    const ids = new Set((await store.messages('s')).map(({ id }) => id))
    for (const [index, who] of ['a', 'b'].entries()) {
      expect(written[index]).toBeGreaterThan(0)
      for (let each = 0; each < (written[index] ?? 0); each++) expect(ids.has(`${who}-${each}`)).toBe(true)
    }
    expect(ids.size).toBe((written[0] ?? 0) + (written[1] ?? 0))
    expect(await store.records()).toHaveLength(ids.size)
    console.info(`two writers, ${WRITING_MS / 1000} s: ${written.join(' + ')} messages and as many records`)
  })
})
