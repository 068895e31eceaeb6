import fs from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { NewLedgerFact } from '../../../src/chat/ledger.ts'
import { message, openStore, temporaryFile } from './harness.ts'

const fact = (text: string, ...sources: string[]): NewLedgerFact => ({ text, sources, model: 'x/y', time: 7 })

async function talk(ids: readonly string[], file?: string) {
  const store = await openStore(file === undefined ? {} : { file })
  await store.createSession({ id: 's', title: '', time: 1 })
  const stored = []
  for (const id of ids) stored.push(await store.appendMessage(message('s', `text of ${id}`, { id })))
  return { store, stored }
}

describe('the ledger of a session', () => {
  it('gives facts back with their sources, oldest first, also after closing', async () => {
    const file = await temporaryFile()
    const { store } = await talk(['a', 'b'], file)
    expect(await store.ledgerState('s')).toEqual({ through: 0, facts: 0 })
    await store.changeLedger('s', { add: [fact('one \u0000 😀 \ud800', 'b', 'a'), fact('two', 'b')] })
    await store.close()
    const again = await openStore({ file })
    const facts = await again.ledger('s')
    expect(facts.map(({ id: _, ...rest }) => rest)).toEqual([
      { sessionId: 's', text: 'one \u0000 😀 \ud800', sources: ['b', 'a'], model: 'x/y', time: 7 },
      { sessionId: 's', text: 'two', sources: ['b'], model: 'x/y', time: 7 },
    ])
    expect((await again.ledger('s', { limit: 1 })).map(({ text }) => text)).toEqual(['two'])
    expect(await again.ledger('elsewhere')).toEqual([])
  })

  it('replaces facts, and only those of the session', async () => {
    const { store } = await talk(['a'])
    await store.createSession({ id: 'other', title: '', time: 1 })
    await store.appendMessage(message('other', 'x', { id: 'o' }))
    await store.changeLedger('other', { add: [fact('theirs', 'o')] })
    await store.changeLedger('s', { add: [fact('old', 'a')] })
    const [theirs] = await store.ledger('other')
    const [old] = await store.ledger('s')
    await store.changeLedger('s', { add: [fact('new', 'a')], remove: [old?.id ?? 0, theirs?.id ?? 0] })
    expect((await store.ledger('s')).map(({ text }) => text)).toEqual(['new'])
    expect(await store.ledger('other')).toEqual([theirs])
  })

  it('knows how far the session has been looked at, and refuses whoever looked at the same messages later', async () => {
    const { store, stored } = await talk(['a', 'b'])
    const through = stored[1]?.seq ?? 0
    expect(await store.changeLedger('s', { add: [fact('mine', 'a')], looked: { after: 0, through } })).toBe(true)
    expect(await store.changeLedger('s', { add: [fact('yours', 'a')], looked: { after: 0, through } })).toBe(false)
    expect(await store.ledgerState('s')).toEqual({ through, facts: 1 })
    expect((await store.ledger('s')).map(({ text }) => text)).toEqual(['mine'])
  })

  it('notes nothing that comes from a message of elsewhere, or that was taken back meanwhile', async () => {
    const { store } = await talk(['a', 'gone'])
    await store.createSession({ id: 'other', title: '', time: 1 })
    await store.appendMessage(message('other', 'x', { id: 'o' }))
    await store.deleteMessage('gone')
    const add = [fact('kept', 'a'), fact('half', 'a', 'gone'), fact('foreign', 'o'), fact('from nowhere')]
    expect(await store.changeLedger('s', { add })).toBe(true)
    expect((await store.ledger('s')).map(({ text }) => text)).toEqual(['kept'])
    await expect(store.changeLedger('unknown', { add })).rejects.toMatchObject({ code: 'MAI_UNKNOWN_SESSION' })
  })

  it('loses what comes from a message that is taken back, and nothing else', async () => {
    const odd = 'b\u0000\ud800'
    const { store } = await talk(['a', odd, 'c'])
    await store.changeLedger('s', { add: [fact('of a', 'a'), fact('of b', odd), fact('of both', 'c', odd), fact('of c', 'c')] })
    await store.deleteMessage(odd)
    expect((await store.ledger('s')).map(({ text }) => text)).toEqual(['of a', 'of c'])
  })

  it('goes with the session, from the disk too', async () => {
    const file = await temporaryFile()
    const { store } = await talk(['a'], file)
    await store.changeLedger('s', { add: [fact('zzqsecret', 'a')] })
    await store.deleteSession('s')
    expect(await store.ledger('s')).toEqual([])
    await store.close()
    for (const suffix of ['', '-wal', '-shm']) {
      const bytes = await fs.promises.readFile(file + suffix, 'latin1').catch(() => '')
      expect(bytes).not.toContain('zzqsecret')
    }
  })

  it('never holds a fact without all its sources, whatever is added, replaced and taken back', async () => {
    const step = fc.oneof(
      fc.record({ op: fc.constant('add' as const), sources: fc.subarray([0, 1, 2, 3, 4], { minLength: 1 }) }),
      fc.record({ op: fc.constant('undo' as const), at: fc.nat(4) }),
      fc.record({ op: fc.constant('remove' as const), at: fc.nat(9) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const { store } = await talk(['0', '1', '2', '3', '4'])
        const there = new Set(['0', '1', '2', '3', '4'])
        let expected: { readonly text: string; readonly sources: string[] }[] = []
        for (const [index, each] of steps.entries()) {
          if (each.op === 'add') {
            const sources = each.sources.map(String)
            await store.changeLedger('s', { add: [fact(`f${index}`, ...sources)] })
            if (sources.every((id) => there.has(id))) expected.push({ text: `f${index}`, sources })
          } else if (each.op === 'undo') {
            await store.deleteMessage(String(each.at))
            there.delete(String(each.at))
            expected = expected.filter(({ sources }) => !sources.includes(String(each.at)))
          } else {
            const [target] = (await store.ledger('s')).slice(each.at)
            if (!target) continue
            await store.changeLedger('s', { remove: [target.id] })
            expected = expected.filter(({ text }) => text !== target.text)
          }
        }
        expect((await store.ledger('s')).map(({ text, sources }) => ({ text, sources }))).toEqual(expected)
        await store.close()
      }),
      { numRuns: 25 },
    )
  })
})
