import { once } from 'node:events'
import path from 'node:path'
import { performance } from 'node:perf_hooks'
import { describe, expect, it, vi } from 'vitest'
import type { Lease } from '../../../src/chat/store.ts'
import { type Processes, systemProcesses } from '../../../src/plugins/store/processes.ts'
import { Connection } from '../../../src/plugins/store/sqlite.ts'
import { message, openStore, outputOf, startChild, temporaryFile, temporaryFolder } from './harness.ts'

/** Processes that open one new store together: ten in `npm run test:chaos`. */
const OPENERS = Number(process.env.MAI_TEST_OPENERS ?? 4)

describe('several processes on one store', () => {
  it(`open a new store at once, ${OPENERS} of them`, { timeout: 120_000 }, async () => {
    const file = path.join(await temporaryFolder(), 'new', 'mai.db')
    const names = Array.from({ length: OPENERS }, (_, index) => `p${index}`)
    await Promise.all(names.map((who) => outputOf(startChild('open', file, who))))
    const store = await openStore({ file })
    expect((await store.messages('s')).map(({ id }) => id).sort()).toEqual(names)
  })

  it('in one process open a new store at once too', async () => {
    const file = await temporaryFile()
    const stores = await Promise.all(Array.from({ length: 10 }, () => openStore({ file })))
    await Promise.all(stores.map((store, index) => store.createSession({ id: `s${index}`, title: '', time: 1 })))
    await Promise.all(stores.map((store, index) => store.appendMessage(message(`s${index}`, 'x'))))
    expect(await stores[0]?.listSessions()).toHaveLength(10)
  })
})

describe('the deletion of a long session', () => {
  it('is out of sight at once, blocks nobody, and is finished by the next process after a crash', { timeout: 60_000 }, async () => {
    const file = await temporaryFile()
    const store = await openStore({ file })
    for (const id of ['long', 'kept']) await store.createSession({ id, title: id, time: 1 })
    await store.appendMessage(message('kept', 'unforgotten'))
    const writes: Promise<unknown>[] = []
    for (let index = 0; index < 1500; index++)
      writes.push(store.appendMessage(message('long', `forgotten words of the long talk ${index} `.repeat(20))))
    await Promise.all(writes)
    const child = startChild('delete', file, 'long')
    const closed = once(child, 'close')
    if (child.stdout) await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await closed
    expect(await store.getSession('long')).toBeUndefined()
    expect((await store.listSessions()).map(({ id }) => id)).toEqual(['kept'])
    expect(await store.messages('long')).toEqual([])
    expect(await store.search('forgotten')).toEqual([])
    await store.createSession({ id: 'long', title: 'again', time: 2 })
    await store.appendMessage(message('long', 'a new beginning'))
    await store.close()
    const next = await openStore({ file, upkeepAfterMs: 0 })
    await next.lastRecordSeq()
    await vi.waitFor(async () => expect(await leftOver(file)).toBe(2), { timeout: 40_000, interval: 100 })
    expect(await next.messages('long')).toHaveLength(1)
    expect(await next.messages('kept')).toHaveLength(1)
  })

  async function leftOver(file: string): Promise<number> {
    const db = await Connection.open(file, 100)
    const left = db.get<{ left: number }>('SELECT count(*) AS left FROM messages_fts')?.left ?? 0
    db.close()
    return left
  }
})

describe('leases', () => {
  const now = 1_000_000
  const own: Lease = {
    instanceId: 'i',
    model: 'x/y',
    pid: process.pid,
    processStart: Math.round(performance.timeOrigin),
    bytes: 7,
    owned: true,
    heartbeat: Date.now(),
  }

  it('of this process stand until they are dropped', async () => {
    const store = await openStore()
    await store.putLease(own)
    await store.putLease({ ...own, bytes: 8, owned: false })
    expect(await store.leases()).toStrictEqual([{ ...own, bytes: 8, owned: false }])
    await store.putLease({ ...own, instanceId: 'j', processStart: Math.round(Date.now() - process.uptime() * 1000) })
    await store.dropLease('i', process.pid)
    expect((await store.leases()).map(({ instanceId }) => instanceId)).toEqual(['j'])
  })

  it('of a killed process go', async () => {
    const file = await temporaryFile()
    const store = await openStore({ file })
    const child = startChild('lease', file, 'theirs')
    const closed = once(child, 'close')
    if (child.stdout) await once(child.stdout, 'data')
    expect(await store.leases()).toMatchObject([{ instanceId: 'theirs', pid: child.pid, owned: true }])
    child.kill('SIGKILL')
    await closed
    expect(await store.leases()).toEqual([])
    const other = await openStore({ file })
    expect(await other.leases()).toEqual([])
  })

  it('of a pid that has never been go', async () => {
    const store = await openStore()
    await store.putLease({ ...own, pid: 2 ** 30 })
    expect(await store.leases()).toEqual([])
  })

  it.runIf(process.platform === 'linux')('of another process that once had this pid go', async () => {
    const store = await openStore()
    await store.putLease({ ...own, processStart: own.processStart - 60_000 })
    expect(await store.leases()).toEqual([])
  })

  it.runIf(process.platform === 'linux')('are told apart by the true start of a process', () => {
    const seen = systemProcesses().look(process.pid)
    expect(seen.state).toBe('alive')
    if (seen.state === 'alive') expect(Math.abs((seen.startMs ?? 0) - performance.timeOrigin)).toBeLessThan(5000)
  })

  const fake = (host: string, look: Processes['look']): Processes => ({ host, look })

  it('of a pid that came back with another birth go, though the clock was set', async () => {
    let birth = '100'
    const store = await openStore({ now: () => now, processes: fake('here', () => ({ state: 'alive', birth, startMs: 5000 })) })
    await store.putLease({ ...own, pid: 42, processStart: 5500, heartbeat: now })
    expect(await store.leases()).toHaveLength(1)
    birth = '101'
    expect(await store.leases()).toEqual([])
  })

  it('of a hidden process, or of another machine, stand for a minute after the last sign of life', async () => {
    const file = await temporaryFile()
    let time = now
    const clock = { file, now: () => time }
    const hidden = await openStore({ ...clock, processes: fake('here', () => ({ state: 'unknown' })) })
    const elsewhere = await openStore({ ...clock, processes: fake('there', () => ({ state: 'dead' })) })
    await hidden.putLease({ ...own, pid: 42, heartbeat: now })
    time += 60_000
    expect(await hidden.leases()).toHaveLength(1)
    expect(await elsewhere.leases()).toHaveLength(1)
    time += 1
    expect(await elsewhere.leases()).toEqual([])
    expect(await hidden.leases()).toEqual([])
  })

  it('where a start cannot be asked go by the life of the pid alone', async () => {
    let alive = true
    const store = await openStore({ now: () => now, processes: fake('here', () => (alive ? { state: 'alive' } : { state: 'dead' })) })
    await store.putLease({ ...own, heartbeat: 0 })
    expect(await store.leases()).toHaveLength(1)
    alive = false
    expect(await store.leases()).toEqual([])
  })
})
