import fs from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Part } from '../../src/chat/message.ts'
import type { Store } from '../../src/chat/store.ts'
import { jsonLine, jsonText } from '../../src/cli/json-text.ts'
import { exportLines, exportSession, importSession, linesOf } from '../../src/cli/session-file.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { message, openStore } from '../plugins/store/harness.ts'
import { type Desk, openDesk } from './support.ts'

const PARTS: readonly (readonly Part[])[] = [
  [
    { type: 'text', text: 'Look:\n\u0000 NUL, 😀, \ud83d alone, \u2028, \u001b[31m', origin: 'material' },
    { type: 'image', mediaType: 'image/png', data: 'AAAA' },
  ],
  [
    { type: 'reasoning', text: 'hmm' },
    { type: 'tool-call', callId: 'c', name: 'add', arguments: '{"a":1}' },
  ],
  [{ type: 'tool-result', callId: 'c', text: '2', isError: false }],
  [{ type: 'text', text: 'Done.' }],
]

/** A session with all that one can have. */
async function filled(messages = 4): Promise<Store> {
  const store = await openStore()
  await store.createSession({ id: 's', title: 'A talk \ud800', time: 5 })
  const seqs: number[] = []
  for (let index = 0; index < messages; index++) {
    const spans = index % 4 === 3 ? [{ start: 0, end: 5, model: 'x/y', reason: 'r' }] : []
    const { seq } = await store.appendMessage(
      message('s', '', {
        id: `id${index}`,
        parts: PARTS[index % 4] ?? [],
        role: index % 2 ? 'assistant' : 'user',
        complete: index % 3 > 0,
      }),
      spans,
    )
    seqs.push(seq)
  }
  const add = [{ text: 'They added.', sources: ['id2', 'id0'], model: 'x/y', time: 9 }]
  await store.changeLedger('s', { add, looked: { after: 0, through: seqs[2] ?? 0 } })
  return store
}

async function* from(...texts: string[]): AsyncGenerator<string> {
  yield* texts
}

async function exported(store: Store): Promise<string> {
  const session = await store.getSession('s')
  let text = ''
  if (session) for await (const line of exportLines(store, session)) text += jsonLine(line)
  return text
}

/** What of a session does not depend on the store it is in. */
async function contents(store: Store, id: string) {
  const messages = await store.messages(id)
  const number = new Map(messages.map((each, index) => [each.id, index]))
  const { through } = await store.ledgerState(id)
  return {
    title: (await store.getSession(id))?.title,
    messages: messages.map(({ id: _, seq: __, sessionId: ___, ...rest }) => rest),
    spans: await Promise.all(messages.map(async (each) => (await store.spans(each.id)).map(({ messageId: _, ...span }) => span))),
    facts: (await store.ledger(id)).map(({ text, sources, model, time }) => ({
      text,
      sources: sources.map((source) => number.get(source)),
      model,
      time,
    })),
    looked: messages.filter(({ seq }) => seq <= through).length,
  }
}

describe('an exported session', () => {
  it('comes back whole: parts, spans, facts with their sources, and how far the ledger has been kept', async () => {
    const store = await filled(240)
    const text = await exported(store)
    const other = await openStore()
    const taken = await importSession(other, linesOf(from(text), 'f'), 'f')
    expect(taken.id).toBe('s')
    expect(await contents(other, 's')).toEqual(await contents(store, 's'))
    expect(await other.search('done', { limit: 200 })).toHaveLength(60)
  })

  it('comes back whole from one JSON value too, and from one of the first version', async () => {
    const store = await filled()
    const session = await store.getSession('s')
    if (!session) throw new Error('no session')
    const file = await exportSession(store, session)
    for (const text of [jsonText(file), JSON.stringify(file)]) {
      const other = await openStore()
      await importSession(other, linesOf(from(text), 'f'), 'f')
      const { title: _, messages, ...rest } = await contents(other, 's')
      expect(rest).toMatchObject({ facts: [{ sources: [2, 0] }], looked: 3 })
      expect(messages).toHaveLength(4)
    }
    const { facts: _, looked: __, ...first } = file
    const other = await openStore()
    await importSession(other, linesOf(from(JSON.stringify({ ...first, version: 1 })), 'f'), 'f')
    expect(await other.countMessages('s')).toBe(4)
  })

  it('gets an id of its own where its own is taken, and mixes nothing', async () => {
    const store = await filled()
    const taken = await importSession(store, linesOf(from(await exported(store)), 'f'), 'f')
    expect(taken.id).not.toBe('s')
    expect(await contents(store, taken.id)).toEqual(await contents(store, 's'))
    expect(await store.listSessions()).toHaveLength(2)
  })

  it('is read alike in whatever pieces it comes', async () => {
    const bytes = Buffer.from(await exported(await filled()))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: bytes.length - 1 }), { maxLength: 8 }), async (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), bytes.length]
        async function* pieces(): AsyncGenerator<Buffer> {
          for (const [index, end] of ends.entries()) yield bytes.subarray(ends[index - 1] ?? 0, end)
        }
        const lines: string[] = []
        for await (const line of linesOf(pieces(), 'f')) lines.push(line)
        expect(lines).toEqual(bytes.toString().trimEnd().split('\n'))
      }),
      { numRuns: 30 },
    )
  })

  it.each<[string, (text: string) => string, RegExp]>([
    ['cut off between two lines', (text) => text.split('\n').slice(0, 3).join('\n'), /cut off: 2 of 4 messages/],
    ['cut off inside a line', (text) => text.slice(0, text.length / 2), /line \d+ is not JSON/],
    ['without its first line', (text) => text.slice(text.indexOf('\n') + 1), /first line does not say/],
    ['with a strange line', (text) => text.replace('"role":"user"', '"role":"god"'), /line 2 is no message/],
    ['twice in one file', (text) => text + text, /holds more than one/],
    ['something else', () => 'Hello\nthere', /not JSON/],
    ['empty', () => '\n\n', /empty/],
    ['another value', () => '{"format":"mai-session","version":1,"session":{},"messages":[]}', /session\.id/],
  ])('that is %s is refused, and leaves nothing', async (_, damage, why) => {
    const text = damage(await exported(await filled()))
    const store = await openStore()
    await expect(importSession(store, linesOf(from(text), 'talk.jsonl'), 'talk.jsonl')).rejects.toMatchObject({
      code: 'MAI_USAGE',
      message: expect.stringMatching(why),
    })
    expect(await store.listSessions()).toEqual([])
  })
})

describe('the program', () => {
  let desk: Desk
  beforeAll(async () => {
    desk = await openDesk([scriptedEngine({ key: 'one', answer: 'Noted.' })])
  })
  afterAll(() => desk.close())

  it('exports a session as lines, takes them in again, and finds its words', async () => {
    const { sessionId } = JSON.parse((await desk.mai(['ask', '--json', 'The sourdough needs a name.'])).out) as { sessionId: string }
    const { out } = await desk.again(['sessions', 'export', sessionId.slice(0, 8)])
    const lines = out.trimEnd().split('\n')
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object)[0])).toEqual(['format', 'message', 'message', 'looked'])
    await fs.writeFile(path.join(desk.folder, 'talk.jsonl'), out)
    expect((await desk.again(['sessions', 'import', 'talk.jsonl'])).out).toMatch(/^imported [0-9a-f-]{36}, 2 messages\n$/)
    const [found, missing] = await desk.many([
      ['sessions', 'search', 'sourdough'],
      ['sessions', 'import', 'nothing.jsonl'],
    ])
    expect(found?.out.trimEnd().split('\n')).toHaveLength(2)
    expect(missing).toMatchObject({ code: 2, err: expect.stringContaining('cannot be read') })
  })
})
