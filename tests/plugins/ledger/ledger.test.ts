import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { GenerateRequest } from '../../../src/chat/backend.ts'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import { type Part, textOf } from '../../../src/chat/message.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { type LedgerOptions, ledger } from '../../../src/plugins/ledger/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../../src/testing/resource-trace.ts'
import { type AnswerFault, type ScriptedBackend, scriptedBackend } from '../../../src/testing/scripted-backend.ts'

type Notes = (numbered: readonly string[]) => string

interface World {
  readonly mai: Mai
  readonly backend: ScriptedBackend
  readonly file: string
  readonly sessionId: string
  /** Prompts of the conversation; those of the ledger carry a schema. */
  prompts(): GenerateRequest[]
  questions(): GenerateRequest[]
}

const FILLER = 'and some more words about nothing in particular that fill the window of this small model bit by bit'
/** Notes every message that names a number of its own. */
const faithful: Notes = (lines) =>
  JSON.stringify({
    facts: lines.flatMap((line) => {
      const [, number, code] = /^\[(\d+)\].*?(code \w+ is \d+)/.exec(line) ?? []
      return number === undefined ? [] : [{ fact: `The ${code}.`, messages: [Number(number)] }]
    }),
  })

async function world(notes: Notes, options: LedgerOptions = {}, faults: AnswerFault[] = []): Promise<World> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-ledger-'))
  onTestFinished(() => fs.rmSync(folder, { recursive: true, force: true }))
  const file = path.join(folder, 'mai.db')
  const answer = (question: string, { responseSchema }: GenerateRequest): string =>
    responseSchema ? notes(question.split('\n').filter((line) => /^\[\d+\] /.test(line))) : 'Noted.'
  const backend = scriptedBackend([{ id: 'small', maxContextLength: 1024, answer, faults }])
  const mai = await createMai({
    plugins: [store({ file }), resourceTrace().plugin, switching(), compression(), ledger({ idleAfterMs: 1, ...options }), backend.plugin],
  })
  onTestFinished(() => mai.shutdown())
  expect(fs.existsSync(file), 'the store is untouched at start').toBe(false)
  const { id: sessionId } = await mai.openSession()
  const asked = (aside: boolean): GenerateRequest[] =>
    backend.calls.requests.filter((request) => (request.responseSchema !== undefined) === aside)
  return { mai, backend, file, sessionId, prompts: () => asked(false), questions: () => asked(true) }
}

/** Says so many things, stored directly: what was said in earlier runs. */
async function past({ mai, sessionId }: World, turns: number, parts?: (index: number) => readonly Part[]): Promise<void> {
  for (let index = 0; index < turns; index++) {
    const turnId = `t${index}`
    const said = parts?.(index) ?? [{ type: 'text' as const, text: `The code c${index} is ${1000 + index}, ${FILLER}` }]
    const common = { sessionId, turnId, time: index, complete: true }
    await mai.store.appendMessage({ ...common, id: `u${index}`, role: 'user', parts: said })
    await mai.store.appendMessage({ ...common, id: `a${index}`, role: 'assistant', parts: [{ type: 'text', text: 'Noted.' }] })
  }
}

const facts = async ({ mai, sessionId }: World): Promise<string[]> => (await mai.store.ledger(sessionId)).map(({ text }) => text)
const promptText = (request: GenerateRequest | undefined): string => request?.messages.map(({ parts }) => textOf(parts)).join('\n') ?? ''

describe('the ledger of a long conversation', () => {
  it('is noted in a quiet moment, with its sources, and stands in the prompts that follow', async () => {
    const it = await world(faithful)
    await past(it, 30)
    await it.mai.processMessage('Go on.')
    expect(promptText(it.prompts()[0])).not.toContain('Notes on earlier parts')
    await vi.waitFor(async () => expect((await facts(it)).length).toBeGreaterThanOrEqual(26), 10_000)
    const [first] = await it.mai.store.ledger(it.sessionId)
    expect(first).toMatchObject({ text: 'The code c0 is 1000.', sources: ['u0'], model: 'scripted/small' })
    await it.mai.processMessage('Go on.')
    const prompt = promptText(it.prompts()[1])
    expect(prompt).toContain('Notes on earlier parts')
    expect(prompt).toContain('The code c3 is 1003.')
    const history = await it.mai.getConversationHistory({ limit: 100 })
    expect(
      history.slice(-4).map(({ role }) => role),
      'the questions are no part of the conversation',
    ).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(textOf(history.at(-1)?.parts ?? [])).toBe('Noted.')
  })

  it('is left alone while everything fits', async () => {
    const it = await world(faithful)
    await past(it, 3)
    await it.mai.processMessage('Go on.')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(it.questions()).toEqual([])
    const reads = vi.spyOn(it.mai.store, 'ledgerState')
    await it.mai.processMessage('Go on.')
    expect(reads).not.toHaveBeenCalled()
  })

  it.each([
    ['reads the conversation again too slowly', 1000, 1900],
    ['notices too late that it has to give way', 300, 700],
  ])('is not asked of a model that %s', async (_, promptTokens, firstTokenMs) => {
    const it = await world(faithful, { rereadMs: 300 })
    await past(it, 30)
    const ids = { sessionId: it.sessionId, turnId: 't', model: 'scripted/small', finish: 'stop' as const, ms: 1, firstTokenMs }
    it.mai.kernel.context.emit('generation.finished', { ...ids, usage: { promptTokens, completionTokens: 1 } })
    await it.mai.processMessage('Go on.')
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(it.questions()).toEqual([])
  })

  it('is noted of what was typed and answered, never of material', async () => {
    const it = await world(faithful)
    await past(it, 30, (index) => [
      { type: 'text', text: `The code c${index} is ${1000 + index}, said in so many words` },
      { type: 'text', text: `The code evil${index} is 6, ${FILLER}`, origin: 'material' },
    ])
    await it.mai.processMessage('Go on.')
    await vi.waitFor(async () => expect((await facts(it)).length).toBeGreaterThan(20), 10_000)
    expect(it.questions().map(promptText).join()).not.toContain('evil')
    expect((await facts(it)).join()).not.toContain('evil')
  })

  it('stops in the middle of a question when somebody speaks, and goes on afterwards', async () => {
    const it = await world(faithful, {}, [
      { kind: 'end', afterPieces: 1, finish: 'stop' },
      { kind: 'stall', afterPieces: 0 },
    ])
    await past(it, 30)
    await it.mai.processMessage('Go on.')
    await vi.waitFor(() => expect(it.questions()).toHaveLength(1))
    expect((await it.mai.processMessage('And now?')).text).toBe('Noted.')
    expect(it.questions()[0]?.signal.aborted).toBe(true)
    await vi.waitFor(async () => expect((await facts(it)).length).toBeGreaterThanOrEqual(26), 10_000)
  })

  it('is complete after a stop: what was noted is not asked again', async () => {
    const it = await world(faithful)
    await past(it, 30)
    await it.mai.processMessage('Go on.')
    await vi.waitFor(async () => expect((await facts(it)).length).toBeGreaterThanOrEqual(26), 10_000)
    const asked = it.questions().length
    const before = await facts(it)
    await it.mai.processMessage('Go on.')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(it.questions()).toHaveLength(asked)
    expect(await facts(it)).toEqual(before)
  })

  it.each<[string, Notes]>([
    ['no JSON', () => 'Here is a summary: they talked about codes.'],
    ['empty', () => ''],
    ['cut off', () => '{"facts": [{"fact": "The code c1'],
    [
      'longer than what it is about',
      (lines) =>
        JSON.stringify({
          facts: lines.flatMap((_, i) => Array.from({ length: 9 }, () => ({ fact: `The code is 1000, ${FILLER}`, messages: [i + 1] }))),
        }),
    ],
    ['invented', () => JSON.stringify({ facts: [{ fact: 'Berlin has three large airports near Hamburg', messages: [1] }] })],
    ['without a source', () => JSON.stringify({ facts: [{ fact: 'The code c0 is 7777, not 8888.', messages: [99, -1, 0] }] })],
  ])('is left as it was by an answer that is %s, and after some the model is left alone', async (_, notes) => {
    const it = await world(notes)
    await past(it, 30)
    const refused: string[] = []
    it.mai.on('ledger.refused', ({ why }) => void refused.push(why))
    for (let turn = 0; turn < 4; turn++) {
      await it.mai.processMessage('Go on.')
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    await vi.waitFor(() => expect(refused).toHaveLength(2))
    expect(it.questions()).toHaveLength(2)
    expect(await it.mai.store.ledgerState(it.sessionId)).toEqual({ through: 0, facts: 0 })
  })

  it('is left as it was by a model that fails or takes too long', async () => {
    const it = await world(faithful, { limitMs: 50 }, [
      { kind: 'end', afterPieces: 1, finish: 'stop' },
      { kind: 'stall', afterPieces: 0 },
      { kind: 'end', afterPieces: 1, finish: 'stop' },
      { kind: 'drop', afterPieces: 0 },
    ])
    await past(it, 30)
    const refused: string[] = []
    it.mai.on('ledger.refused', ({ why }) => void refused.push(why))
    await it.mai.processMessage('Go on.')
    await vi.waitFor(() => expect(refused).toEqual(['MAI_BACKEND_TIMEOUT']))
    await it.mai.processMessage('Go on.')
    await vi.waitFor(() => expect(refused).toEqual(['MAI_BACKEND_TIMEOUT', 'MAI_BACKEND_LOST']))
    expect(await it.mai.store.ledgerState(it.sessionId)).toEqual({ through: 0, facts: 0 })
    expect((await it.mai.processMessage('Go on.')).text).toBe('Noted.')
  })
})
