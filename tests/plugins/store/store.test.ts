import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { CHAT_HOOKS, CHAT_LISTS } from '../../../src/chat/events.ts'
import type { Part } from '../../../src/chat/message.ts'
import { createKernel } from '../../../src/core/kernel.ts'
import { store as storePlugin } from '../../../src/plugins/store/index.ts'
import { Connection } from '../../../src/plugins/store/sqlite.ts'
import { message, openStore, temporaryFile, temporaryFolder } from './harness.ts'

const session = { id: 's', title: 'A talk', time: 500 }

describe('sessions', () => {
  it('come back as they were created', async () => {
    const store = await openStore()
    const created = await store.createSession(session)
    expect(created).toEqual({ id: 's', title: 'A talk', createdAt: 500, updatedAt: 500, messageCount: 0 })
    expect(await store.getSession('s')).toEqual(created)
    expect(await store.getSession('other')).toBeUndefined()
  })

  it('are created once: a second creation gives the first', async () => {
    const store = await openStore()
    await store.createSession(session)
    expect(await store.createSession({ ...session, title: 'Another' })).toMatchObject({ title: 'A talk' })
  })

  it('are listed by last use, and counted with their messages', async () => {
    const store = await openStore()
    for (const id of ['a', 'b', 'c']) await store.createSession({ id, title: id, time: 1 })
    await store.appendMessage(message('b', 'hello', { time: 9000 }))
    await store.appendMessage(message('a', 'hello', { time: 8000 }))
    const listed = await store.listSessions()
    expect(listed.map(({ id }) => id)).toEqual(['b', 'a', 'c'])
    expect(listed[0]).toMatchObject({ updatedAt: 9000, messageCount: 1 })
    expect(await store.listSessions({ limit: 1 })).toHaveLength(1)
  })

  it('are renamed, and renaming an unknown one is an error', async () => {
    const store = await openStore()
    await store.createSession(session)
    await store.renameSession('s', 'Better\u0000 \ud800')
    expect(await store.getSession('s')).toMatchObject({ title: 'Better\u0000 \ud800' })
    await expect(store.renameSession('other', 'x')).rejects.toMatchObject({ code: 'MAI_UNKNOWN_SESSION' })
  })

  it('are deleted with everything: messages, spans, index, and the bytes on disk', async () => {
    const file = await temporaryFile()
    const store = await openStore({ file })
    await store.createSession(session)
    await store.createSession({ ...session, id: 'kept' })
    await store.appendMessage(message('kept', 'apples'))
    const secret = await store.appendMessage(message('s', 'the Xylophonist told me zzqsecret'), [
      { start: 0, end: 3, model: 'x/y', reason: 'r' },
    ])
    for (let index = 0; index < 50; index++) await store.appendMessage(message('s', `zzqsecret${index} pears`))
    expect(await store.deleteSession('s')).toBe(true)
    expect(await store.deleteSession('s')).toBe(false)
    expect(await store.getSession('s')).toBeUndefined()
    expect(await store.messages('s')).toEqual([])
    expect(await store.spans(secret.id)).toEqual([])
    expect(await store.search('zzqsecret pears')).toEqual([])
    expect(await store.search('apples')).toHaveLength(1)
    await store.close()
    for (const name of await fs.promises.readdir(path.dirname(file))) {
      // The engine removes its log when the collector comes by: what is gone by then holds nothing.
      const bytes = await fs.promises.readFile(path.join(path.dirname(file), name), 'latin1').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' && name !== path.basename(file)) return ''
        throw error
      })
      expect(bytes).not.toMatch(/zzqsecret|xylophonist/i)
    }
  })
})

describe('messages', () => {
  it('come back with all their parts, in the order of writing, and stay after closing', async () => {
    const file = await temporaryFile()
    const first = await openStore({ file })
    await first.createSession(session)
    const parts: Part[] = [
      { type: 'text', text: 'Look:\n\u0000 NUL, 😀, \ud83d alone, \udc00 alone, \u2028', origin: 'material' },
      { type: 'image', mediaType: 'image/png', data: 'AAAA' },
      { type: 'reasoning', text: 'hmm' },
      { type: 'tool-call', callId: 'c', name: 'add', arguments: '{"a":1}' },
      { type: 'tool-result', callId: 'c', text: '2', isError: false },
    ]
    const asked = message('s', '', { parts })
    const answered = message('s', 'Done', { role: 'assistant', turnId: asked.turnId, complete: false })
    const stored = [await first.appendMessage(asked), await first.appendMessage(answered)]
    expect(stored[0]).toStrictEqual({ ...asked, seq: stored[0]?.seq })
    await first.close()
    const second = await openStore({ file })
    expect(await second.messages('s')).toStrictEqual(stored)
  })

  it('keep ids that hold NUL or unpaired surrogates', async () => {
    const store = await openStore()
    const id = 's\u0000\udfff\u0001'
    await store.createSession({ ...session, id })
    const stored = await store.appendMessage(message(id, 'hi', { id: 'm\u0000a' }))
    await store.appendMessage(message(id, 'hi', { id: 'm\u0000b' }))
    expect((await store.messages(id))[0]).toStrictEqual(stored)
    expect(await store.getSession('s')).toBeUndefined()
  })

  it('are paged from the newest backwards, each page ascending', async () => {
    const store = await openStore()
    await store.createSession(session)
    await store.createSession({ ...session, id: 'other' })
    for (let index = 0; index < 25; index++) {
      await store.appendMessage(message('s', `text ${index}`))
      await store.appendMessage(message('other', 'noise'))
    }
    const pages: string[][] = []
    for (let before: number | undefined; ; ) {
      const page = await store.messages('s', { limit: 10, ...(before === undefined ? {} : { before }) })
      if (page.length === 0) break
      pages.push(page.map(({ parts }) => (parts[0]?.type === 'text' ? parts[0].text : '')))
      before = page[0]?.seq
    }
    expect(pages.map((page) => page.length)).toEqual([10, 10, 5])
    expect(pages.reverse().flat()).toEqual(Array.from({ length: 25 }, (_, index) => `text ${index}`))
    expect(await store.messages('s')).toHaveLength(25)
    expect(await store.messages('s', { limit: 0 })).toEqual([])
    expect(await store.countMessages('s')).toBe(25)
    expect(await store.countMessages('nowhere')).toBe(0)
  })

  it('have spans that say who wrote what', async () => {
    const store = await openStore()
    await store.createSession(session)
    const spans = [
      { start: 0, end: 10, model: 'lmstudio/a', reason: 'most-efficient' },
      { start: 10, end: 25, model: 'lmstudio/b', reason: 'loop \ud800' },
    ]
    const { id } = await store.appendMessage(message('s', 'x'.repeat(25), { role: 'assistant' }), spans)
    expect(await store.spans(id)).toEqual(spans.map((span) => ({ messageId: id, ...span })))
    expect(await store.spans('unknown')).toEqual([])
  })

  it('are refused for an unknown session, and for an id that exists, leaving nothing behind', async () => {
    const store = await openStore()
    await expect(store.appendMessage(message('nowhere', 'x'))).rejects.toMatchObject({ code: 'MAI_UNKNOWN_SESSION' })
    await store.createSession(session)
    await store.appendMessage(message('s', 'first', { id: 'same' }))
    await expect(store.appendMessage(message('s', 'second', { id: 'same' }))).rejects.toMatchObject({ code: 'MAI_STORE_FAILED' })
    expect(await store.countMessages('s')).toBe(1)
    expect(await store.search('second')).toEqual([])
  })

  it('are written many at once, all or none of them', async () => {
    const store = await openStore()
    await store.createSession(session)
    const many = Array.from({ length: 5 }, (_, index) => ({
      message: message('s', `pears ${index}`),
      spans: [{ start: 0, end: 5, model: 'x/y', reason: 'first' }],
    }))
    const stored = await store.appendMessages(many)
    expect(await store.messages('s')).toEqual(stored)
    expect(await store.spans(stored[4]?.id ?? '')).toHaveLength(1)
    expect(await store.search('pears')).toHaveLength(5)
    const twice = [{ message: message('s', 'plums'), spans: [] }, ...many]
    await expect(store.appendMessages(twice)).rejects.toMatchObject({ code: 'MAI_STORE_FAILED' })
    expect(await store.countMessages('s')).toBe(5)
  })

  it('can be taken back, with their spans and their place in the index', async () => {
    const store = await openStore()
    await store.createSession(session)
    await store.appendMessage(message('s', 'kept', { time: 1000 }))
    const { id, seq } = await store.appendMessage(message('s', 'withdrawn', { time: 2000 }), [
      { start: 0, end: 1, model: 'x/y', reason: '' },
    ])
    expect(await store.search('withdrawn')).toHaveLength(1)
    await store.deleteMessage(id)
    await store.deleteMessage(id)
    expect(await store.messages('s')).toHaveLength(1)
    expect(await store.spans(id)).toEqual([])
    expect(await store.search('withdrawn')).toEqual([])
    expect(await store.getSession('s')).toMatchObject({ messageCount: 1, updatedAt: 1000 })
    const next = await store.appendMessage(message('s', 'next'))
    expect(next.seq, 'a place is never given twice').toBeGreaterThan(seq)
  })

  it('are written in the order of the calls, also when nobody waits', async () => {
    const store = await openStore()
    await store.createSession(session)
    const all = await Promise.all(Array.from({ length: 50 }, (_, index) => store.appendMessage(message('s', String(index)))))
    expect(all.map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq).sort((a, b) => a - b))
    expect(await store.messages('s')).toEqual(all)
  })
})

describe('search', () => {
  it('finds what was written just now, and what is never searched is indexed in the background', async () => {
    const file = await temporaryFile()
    const store = await openStore({ file })
    await store.createSession(session)
    await store.appendMessage(message('s', 'pears'))
    expect(await store.search('pears')).toHaveLength(1)
    await store.appendMessage(message('s', 'plums'))
    const db = await Connection.open(file, 1000)
    onTestFinished(() => db.close())
    await vi.waitFor(() => expect(db.all('SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?', ['plums'])).toHaveLength(1), 10_000)
    expect(db.all('SELECT seq FROM unindexed')).toEqual([])
  })

  it('finds by any word, best first, inside one session or in all', async () => {
    const store = await openStore()
    await store.createSession(session)
    await store.createSession({ ...session, id: 'other' })
    const both = await store.appendMessage(message('s', 'The cat sat on the mat with a dog'))
    const one = await store.appendMessage(message('s', 'A dog barked all through the long winter night in the yard of the house'))
    const elsewhere = await store.appendMessage(message('other', 'my cats'))
    const inside = await store.search('cat dog', { sessionId: 's' })
    expect(inside.map(({ message: { id } }) => id)).toEqual([both.id, one.id])
    expect(inside[0]?.message).toStrictEqual(both)
    expect(inside[0]?.score).toBeGreaterThan(inside[1]?.score ?? 0)
    expect((await store.search('cat')).map(({ message: { id } }) => id).sort()).toEqual([both.id, elsewhere.id].sort())
    expect(await store.search('cat dog', { limit: 1 })).toHaveLength(1)
    expect(await store.search('cat', { sessionId: 'unknown' })).toEqual([])
  })

  it.each([
    '"',
    '" OR "',
    "'; DROP TABLE messages; --",
    'body:cat',
    'cat*',
    'NEAR(cat dog)',
    '-cat',
    '^cat',
    'cat AND',
    '(',
    '\u0000',
    '\ud800',
    '!!!',
    '',
  ])('takes %j as words, never as syntax', async (query) => {
    const store = await openStore()
    await store.createSession(session)
    await store.appendMessage(message('s', 'A cat'))
    const hits = await store.search(query, { sessionId: 's' })
    expect(hits).toHaveLength(query.includes('cat') ? 1 : 0)
  })

  it('finds text after a NUL, words in Chinese and Japanese, and words with accents', async () => {
    const store = await openStore()
    await store.createSession(session)
    const nul = await store.appendMessage(message('s', 'before\u0000afterwards'))
    const chinese = await store.appendMessage(message('s', '我想预订一家北京的酒店，价格便宜'))
    const accents = await store.appendMessage(message('s', 'Größe und Café'))
    const found = async (query: string) => (await store.search(query)).map(({ message: { id } }) => id)
    expect(await found('afterwards')).toEqual([nul.id])
    expect(await found('北京')).toEqual([chinese.id])
    expect(await found('酒店在哪里')).toEqual([chinese.id])
    expect(await found('京北')).toEqual([])
    expect(await found('grosse cafe')).toEqual([accents.id])
  })

  it('knows tools and their results, but neither images nor reasoning', async () => {
    const store = await openStore()
    await store.createSession(session)
    await store.appendMessage(
      message('s', '', {
        parts: [
          { type: 'image', mediaType: 'image/png', data: 'imagedata' },
          { type: 'reasoning', text: 'pondering' },
          { type: 'tool-call', callId: 'c', name: 'weather', arguments: '{"place":"Lisbon"}' },
          { type: 'tool-result', callId: 'c', text: 'sunny' },
        ],
      }),
    )
    for (const word of ['weather', 'Lisbon', 'sunny']) expect(await store.search(word)).toHaveLength(1)
    for (const word of ['imagedata', 'pondering']) expect(await store.search(word)).toHaveLength(0)
  })
})

describe('the log of the policy', () => {
  it('gives records back in order, exactly, and filtered', async () => {
    const store = await openStore()
    const score = { model: 'x/y', score: Number.NEGATIVE_INFINITY, excluded: 'window' }
    const one = await store.appendRecord({ run: 'r1', time: 10, type: 'run.started', payload: { pid: 1, foldedThrough: 0 } })
    const two = await store.appendRecord({ run: 'r2', time: 11, type: 'pin.changed', payload: { model: null } })
    // What is recorded need only hold numbers like these; the rest of a request does not matter here.
    const payload = { from: 'a', to: 'b', reason: 'r', rescue: true, scores: [score, { model: 'z', score: -0 }] }
    const three = await store.appendRecord({ run: 'r1', time: 12, type: 'model.switched', payload })
    expect([one, two, three]).toEqual([1, 2, 3])
    const all = await store.records()
    expect(all[2]).toStrictEqual({ seq: 3, run: 'r1', time: 12, type: 'model.switched', payload })
    const seqs = async (query: Parameters<typeof store.records>[0]) => (await store.records(query)).map(({ seq }) => seq)
    expect(await seqs({ after: 1 })).toEqual([2, 3])
    expect(await seqs({ through: 2 })).toEqual([1, 2])
    expect(await seqs({ run: 'r1', newest: true })).toEqual([3, 1])
    expect(await seqs({ type: 'pin.changed' })).toEqual([2])
    expect(await seqs({ limit: 1, newest: true })).toEqual([3])
    expect(await store.lastRecordSeq()).toBe(3)
  })

  it('gives the newest snapshot of a policy in one version', async () => {
    const store = await openStore()
    expect(await store.latestSnapshot('p', 1)).toBeUndefined()
    await store.saveSnapshot({ seq: 1000, policy: 'p', version: 1, state: { a: 1 } })
    await store.saveSnapshot({ seq: 2000, policy: 'p', version: 1, state: { best: Number.POSITIVE_INFINITY } })
    await store.saveSnapshot({ seq: 3000, policy: 'p', version: 2, state: null })
    expect(await store.latestSnapshot('p', 1)).toStrictEqual({
      seq: 2000,
      policy: 'p',
      version: 1,
      state: { best: Number.POSITIVE_INFINITY },
    })
  })

  const day = 24 * 60 * 60 * 1000
  const pin = (time: number) => ({ run: 'r', time, type: 'pin.changed', payload: { model: null } }) as const

  it('forgets what is older than thirty days, but never its count or the last snapshot of a policy', async () => {
    const file = await temporaryFile()
    let now = 50 * day
    const options = { file, now: () => now }
    const first = await openStore(options)
    for (let index = 0; index < 1200; index++) await first.appendRecord(pin(index < 1100 ? 69 * day : 73 * day))
    await first.saveSnapshot({ seq: 500, policy: 'p', version: 1, state: 'old' })
    await first.saveSnapshot({ seq: 900, policy: 'p', version: 1, state: 'newest' })
    await first.close()
    now = 100 * day
    const second = await openStore(options)
    expect(await second.records(), 'a new store has nothing to forget').toHaveLength(1200)
    await second.close()
    now = 102 * day - 1
    const third = await openStore({ ...options, upkeepAfterMs: 1 })
    await vi.waitFor(async () => expect(await third.records()).toHaveLength(100), { timeout: 10_000 })
    expect(await third.lastRecordSeq()).toBe(1200)
    expect(await third.latestSnapshot('p', 1)).toMatchObject({ state: 'newest' })
  })

  it('is pruned at most once a day, in the background of a long-lived process', async () => {
    const file = await temporaryFile()
    let now = 100 * day
    const options = { file, now: () => now }
    const first = await openStore(options)
    await first.appendRecord(pin(0))
    await first.close()
    now += day - 1
    const second = await openStore(options)
    expect(await second.records()).toHaveLength(1)
    await second.close()
    now += 1
    const third = await openStore({ ...options, upkeepAfterMs: 1 })
    await third.lastRecordSeq()
    await vi.waitFor(async () => expect(await third.records()).toEqual([]), { timeout: 10_000 })
  })
})

describe('settings', () => {
  it('are kept, changed and removed', async () => {
    const store = await openStore()
    expect(await store.getSetting('pin')).toBeUndefined()
    await store.setSetting('pin', 'lmstudio/a')
    await store.setSetting('pin', 'lmstudio/b')
    expect(await store.getSetting('pin')).toBe('lmstudio/b')
    await store.setSetting('pin', undefined)
    expect(await store.getSetting('pin')).toBeUndefined()
  })

  it('hold what was learned about each model, figure by figure', async () => {
    const store = await openStore()
    expect(await store.figures('lmstudio/a')).toEqual({})
    await store.learn('lmstudio/a', { writingPerSecond: 20 })
    await store.learn('lmstudio/a', { prefillPerSecond: 300, writingPerSecond: 21.5 })
    expect(await store.figures('lmstudio/a')).toEqual({ writingPerSecond: 21.5, prefillPerSecond: 300 })
    expect(await store.figures('lmstudio/b')).toEqual({})
  })
})

describe('the plugin', () => {
  it('fills the slot without touching the disk, and closes the store when it ends', async () => {
    const file = path.join(await temporaryFolder(), 'deep', 'mai.db')
    const kernel = createKernel({ plugins: [storePlugin({ file })], lists: CHAT_LISTS, hooks: CHAT_HOOKS })
    await kernel.start()
    const store = kernel.context.use('store')
    expect(store.location).toBe(file)
    expect(fs.existsSync(path.dirname(file))).toBe(false)
    await store.createSession(session)
    const unfinished = store.appendMessage(message('s', 'last words'))
    await kernel.close()
    await unfinished
    await expect(store.getSession('s')).rejects.toMatchObject({ code: 'MAI_STORE_FAILED', message: expect.stringContaining('closed') })
    const again = await openStore({ file })
    expect(await again.countMessages('s')).toBe(1)
  })

  it('lives in MAI_HOME, which it keeps to its owner', async () => {
    const home = path.join(await temporaryFolder(), 'home')
    fs.mkdirSync(home, { mode: 0o755 })
    vi.stubEnv('MAI_HOME', home)
    try {
      await using kernel = createKernel({ plugins: [storePlugin()], lists: CHAT_LISTS, hooks: CHAT_HOOKS })
      await kernel.start()
      await kernel.context.use('store').createSession(session)
      expect(kernel.context.use('store').location).toBe(path.join(home, 'mai.db'))
      expect(fs.statSync(home).mode & 0o777).toBe(0o700)
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('refuses options that it does not know', async () => {
    // @ts-expect-error there is no such option
    const kernel = createKernel({ plugins: [storePlugin({ path: 'x' })], lists: CHAT_LISTS, hooks: CHAT_HOOKS })
    await expect(kernel.start()).rejects.toMatchObject({ code: 'MAI_PLUGIN_OPTIONS' })
  })
})
