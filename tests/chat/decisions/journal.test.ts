import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Journal } from '../../../src/chat/decisions/journal.ts'
import type { Store } from '../../../src/chat/store.ts'
import type { MaiEvents } from '../../../src/core/events.ts'
import { createKernel, type Kernel } from '../../../src/core/kernel.ts'
import { switchingPolicy } from '../../../src/plugins/switching/index.ts'
import { openStore } from '../../plugins/store/harness.ts'
import { candidate, OPTIONS, request } from '../../plugins/switching/support.ts'

const policy = switchingPolicy(OPTIONS)
const asked = request([candidate({ model: 'a' }), candidate({ model: 'b' })])
const MINUTE = 60_000
const hangs = (): Promise<never> => new Promise(() => {})

let kernel: Kernel
let failures: MaiEvents['plugin.failed'][]
beforeEach(async () => {
  kernel = createKernel({ plugins: [], lists: [], hooks: {} })
  await kernel.start()
  failures = []
  kernel.context.on('plugin.failed', (failure) => void failures.push(failure))
})
afterEach(async () => {
  vi.useRealTimers()
  await kernel.close()
})

/** The real store, open, except for some calls. */
async function storeWith(changes: (real: Store) => Partial<Store>): Promise<Store> {
  const real = await openStore()
  await real.lastRecordSeq()
  return Object.assign(Object.create(real), changes(real))
}

function journalOn(store: Store): Journal {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  return new Journal(kernel.context, policy, store, 'run', Date.now)
}

describe('a decision', () => {
  const written = async (store: Store): Promise<string[]> => (await store.records()).map(({ type }) => type)

  it('is given before it is written, and written soon after', async () => {
    const store = await storeWith(() => ({}))
    const journal = journalOn(store)
    const decision = await journal.select(asked)
    expect(await written(store)).toEqual(['run.started'])
    await vi.advanceTimersByTimeAsync(25)
    await expect.poll(() => written(store)).toEqual(['run.started', 'candidates.listed', 'model.selected'])
    const [record] = await store.records({ newest: true, limit: 1 })
    expect(record).toMatchObject({ payload: { decision: { model: decision.model } } })
  })

  it('is written before whatever comes next, and before who waits for it goes on', async () => {
    const store = await storeWith(() => ({}))
    const journal = journalOn(store)
    await journal.select(asked)
    await journal.record('pin.changed', { model: 'b' })
    expect(await journal.select(asked)).toMatchObject({ reason: 'pinned' })
    await journal.settled()
    expect(await written(store)).toEqual(['run.started', 'candidates.listed', 'model.selected', 'pin.changed', 'model.selected'])
  })
})

describe('a store that hangs', () => {
  it('at one record costs that record, and no decision after it', async () => {
    let hung = false
    const store = await storeWith((real) => ({
      appendRecord: (record) => {
        if (hung || record.type !== 'pin.changed') return real.appendRecord(record)
        hung = true
        return hangs()
      },
    }))
    const journal = journalOn(store)
    const pinned = journal.record('pin.changed', { model: 'b' })
    const decided = journal.select(asked)
    await vi.advanceTimersByTimeAsync(MINUTE)
    await pinned
    // What could not be written is known all the same.
    expect(await decided).toMatchObject({ model: 'b', reason: 'pinned' })
    expect((await store.records()).map(({ type }) => type)).toEqual(['run.started', 'candidates.listed', 'model.selected'])
    expect(failures).toMatchObject([{ plugin: 'store', during: 'recording pin.changed', error: { code: 'MAI_STORE_FAILED' } }])
  })

  it('at every record makes nobody wait long but the first', async () => {
    const journal = journalOn(await storeWith(() => ({ appendRecord: hangs })))
    await Promise.all([journal.record('pin.changed', { model: 'b' }), vi.advanceTimersByTimeAsync(MINUTE)])
    const decisions = Promise.all(Array.from({ length: 4 }, () => journal.select(asked)))
    await vi.advanceTimersByTimeAsync(5000)
    expect(await decisions).toHaveLength(4)
  })

  it.each(['records', 'latestSnapshot', 'saveSnapshot'] as const)('in %s stops no decision', async (call) => {
    const journal = journalOn(await storeWith(() => ({ [call]: hangs })))
    const decisions = Promise.all(Array.from({ length: 300 }, () => journal.select(asked)))
    await vi.advanceTimersByTimeAsync(MINUTE)
    expect(await decisions).toHaveLength(300)
    expect(failures.length).toBeGreaterThan(0)
  })
})

describe('a log that could not be read', () => {
  it('leaves the snapshots as they are: the state lacks what it holds', async () => {
    const store = await storeWith((real) => {
      let first = true
      const fails = (): Promise<never> => Promise.reject(new Error('unreadable'))
      return {
        records: (query) => {
          if (!first) return real.records(query)
          first = false
          return fails()
        },
      }
    })
    const journal = new Journal(kernel.context, policy, store, 'run', Date.now)
    for (let index = 0; index < 300; index++) await journal.record('pin.changed', { model: 'a' })
    expect(await store.latestSnapshot(policy.name, policy.version)).toBeUndefined()
    expect(failures).toMatchObject([{ during: 'reading the log' }])
  })
})
