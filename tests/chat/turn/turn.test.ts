import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import { textOf } from '../../../src/chat/message.ts'
import type { MaiSettings } from '../../../src/chat/settings.ts'
import type { AnswerStart } from '../../../src/chat/watcher.ts'
import { definePlugin, type Plugin } from '../../../src/core/plugin.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { storeErrors } from '../../../src/plugins/store/errors.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { struggle } from '../../../src/plugins/struggle/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { type ResourceTrace, resourceTrace } from '../../../src/testing/resource-trace.ts'
import { type ScriptedBackend, type ScriptedModel, type ScriptedOptions, scriptedBackend } from '../../../src/testing/scripted-backend.ts'

const STORY = 'Once upon a time there was a fox who could not sleep, and so it counted the stars.'
const GB = 1e9

interface World {
  readonly mai: Mai
  readonly backend: ScriptedBackend
  readonly machine: ResourceTrace
  readonly events: string[]
}

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function world(
  models: ScriptedModel[],
  settings: Partial<MaiSettings> & { readonly now?: () => number } = {},
  extra: Plugin[] = [],
  options: ScriptedOptions = {},
): Promise<World> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-turn-'))
  cleanups.push(() => fs.rm(folder, { recursive: true, force: true }))
  const machine = resourceTrace()
  const backend = scriptedBackend(models, { machine, ...options })
  const plugins = [store({ file: path.join(folder, 'mai.db') }), machine.plugin, switching(), compression(), backend.plugin, ...extra]
  const { now, ...others } = settings
  const mai = await createMai({ plugins, ...others }, now)
  cleanups.push(() => mai.shutdown())
  const events: string[] = []
  for (const type of ['message.completed', 'message.failed', 'model.switched', 'model.struggling', 'model.load.failed'] as const) {
    mai.on(type, () => void events.push(type))
  }
  return { mai, backend, machine, events }
}

/** Lets a test say when a person's message reaches the disk. */
function slowStore(durable: () => Promise<void>): Plugin {
  return definePlugin({
    name: 'slow-store',
    apiVersion: 1,
    needs: ['store'],
    setup(ctx) {
      const store = ctx.use('store')
      const commit = store.commitMessage?.bind(store)
      if (commit) store.commitMessage = async (message) => ({ ...(await commit(message)), durable: durable() })
    },
  })()
}

const whole = (id: string): ScriptedModel => ({ id, sizeBytes: GB, answer: STORY })
/** Says nothing, whatever it is asked. */
const silent = (id: string): ScriptedModel => ({ ...whole(id), faults: Array.from({ length: 9 }, () => ({ kind: 'empty' })) })

describe('a turn', () => {
  it('answers, and keeps both messages in order', async () => {
    const { mai, events } = await world([{ id: 'only', answer: STORY }])
    const reply = await mai.processMessage('Tell me a story.')
    expect(reply).toMatchObject({ text: STORY, model: 'scripted/only', finishReason: 'stop', switches: [] })
    const history = await mai.getConversationHistory()
    expect(history.map((m) => [m.role, m.complete])).toEqual([
      ['user', true],
      ['assistant', true],
    ])
    expect(events).toEqual(['message.completed'])
  })

  it('streams the text that it then reports', async () => {
    const { mai } = await world([{ id: 'only', answer: STORY }])
    const stream = mai.streamMessage('Tell me a story.')
    let seen = ''
    for await (const piece of stream) seen += piece.text
    expect(seen).toBe(STORY)
    expect((await stream.reply).text).toBe(STORY)
  })

  it('shows nothing before the message is on the disk, and then all of it', async () => {
    let written = (): void => {}
    const disk = slowStore(() => new Promise((resolve) => void (written = resolve)))
    const { mai, backend } = await world([{ id: 'only', answer: STORY }], {}, [disk])
    const chunks: string[] = []
    mai.on('generation.chunk', ({ text }) => void chunks.push(text))
    const stream = mai.streamMessage('Tell me a story.')
    let seen = ''
    const reading = (async () => {
      for await (const piece of stream) seen += piece.text
    })()
    await expect.poll(() => backend.calls.requests.length).toBe(1)
    await expect.poll(() => stream.report().text).toBe(STORY)
    expect([seen, chunks, (await mai.getConversationHistory()).length]).toEqual(['', [], 1])
    written()
    await reading
    expect([seen, chunks.join(''), (await stream.reply).text]).toEqual([STORY, STORY, STORY])
  })

  it('fails when the disk does not take the message, and shows nothing', async () => {
    let refuse = (): void => {}
    const disk = slowStore(() => new Promise((_, reject) => void (refuse = () => reject(storeErrors.full('mai.db', 'disk')))))
    const { mai, events } = await world([{ id: 'only', answer: STORY }], {}, [disk])
    const chunks: string[] = []
    mai.on('generation.chunk', ({ text }) => void chunks.push(text))
    const stream = mai.streamMessage('Tell me a story.')
    await expect.poll(() => stream.report().text).toBe(STORY)
    refuse()
    await expect(stream.reply).rejects.toMatchObject({ code: 'MAI_STORE_FULL' })
    let seen = ''
    const read = async (): Promise<void> => {
      for await (const piece of stream) seen += piece.text
    }
    await expect(read()).rejects.toMatchObject({ code: 'MAI_STORE_FULL' })
    expect([seen, chunks, events]).toEqual(['', [], ['message.failed']])
  })

  it('answers with a store that cannot part committing from writing to the disk', async () => {
    const plain = definePlugin({
      name: 'plain-store',
      apiVersion: 1,
      needs: ['store'],
      setup: (ctx) => void delete ctx.use('store').commitMessage,
    })
    const { mai } = await world([{ id: 'only', answer: STORY }], {}, [plain()])
    expect((await mai.processMessage('Tell me a story.')).text).toBe(STORY)
    expect(await mai.getConversationHistory()).toHaveLength(2)
  })

  it('has on record why before it loads anything', async () => {
    const { mai } = await world([whole('only')])
    const known: Promise<readonly string[]>[] = []
    mai.on(
      'model.loading',
      () => void known.push(mai.store.records({ newest: true, limit: 1 }).then((records) => records.map(({ type }) => type))),
    )
    await mai.processMessage('Tell me a story.')
    expect(await known[0]).toEqual(['model.selected'])
  })

  it('goes on with another model in the middle of an answer, without losing or repeating a character', async () => {
    const { mai, backend, events } = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: STORY, faults: [{ kind: 'drop', afterPieces: 5 }] },
      { id: 'small', sizeBytes: GB, answer: STORY },
    ])
    const reply = await mai.processMessage('Tell me a story.')
    expect(reply.text).toBe(STORY)
    expect(reply.model).toBe('scripted/small')
    expect(reply.switches).toEqual([
      { from: 'scripted/big', to: 'scripted/small', kind: 'backend-lost', atChar: 'Once upon a time there'.length },
    ])
    expect(backend.calls.requests[1]?.continueFrom).toBe('Once upon a time there')
    expect(events).toEqual(['model.struggling', 'model.switched', 'message.completed'])
    const [, answer] = await mai.getConversationHistory()
    const spans = await mai.store.spans(answer?.id ?? '')
    expect(spans.map((span) => span.model)).toEqual(['scripted/big', 'scripted/small'])
  })

  it('goes on through several switches in one answer, and says who wrote what', async () => {
    const drop = (id: string, size: number, afterPieces: number): ScriptedModel => ({
      id,
      sizeBytes: size * GB,
      answer: STORY,
      faults: [{ kind: 'drop', afterPieces }],
    })
    const { mai } = await world([drop('a', 2, 3), drop('b', 1.6, 4), drop('c', 1.3, 0), { id: 'd', sizeBytes: GB, answer: STORY }])
    const reply = await mai.processMessage('Tell me a story.')
    expect([reply.text, reply.model, reply.switches.map(({ to }) => to)]).toEqual([
      STORY,
      'scripted/d',
      ['scripted/b', 'scripted/c', 'scripted/d'],
    ])
    const [, answer] = await mai.getConversationHistory()
    const spans = await mai.store.spans(answer?.id ?? '')
    expect(spans.map(({ model, start, end }) => [model, STORY.slice(start, end)])).toEqual([
      ['scripted/a', 'Once upon a'],
      ['scripted/b', ' time there was a'],
      ['scripted/d', STORY.slice('Once upon a time there was a'.length)],
    ])
    expect(reply.usage.completionTokens).toBe(STORY.split(' ').length - 7)
  })

  const words = STORY.split(' ').length
  it.each<[string, number, ScriptedModel[], string | undefined, string?]>([
    ['asks another where a model has nothing to add to a part', 9, [silent('b'), whole('c')], 'scripted/c', 'scripted/c'],
    ['believes two that have nothing to add', words, [silent('b'), silent('c')], 'scripted/c', 'scripted/a'],
    ['believes the last one left where the text ends as a whole one does', words, [silent('b')], 'scripted/b', 'scripted/a'],
    ['does not believe the last one left in the middle of a sentence', 9, [silent('b')], undefined],
  ])('%s', async (_, afterPieces, others, by, writer) => {
    const breaks = { ...whole('a'), answer: `${STORY} And so on.`, sizeBytes: 4 * GB, faults: [{ kind: 'drop' as const, afterPieces }] }
    const { mai, backend } = await world([breaks, ...others])
    const reply = await mai.processMessage('Tell me a story.').catch((error: unknown) => error)
    expect(backend.calls.requests.length).toBe(1 + others.length)
    if (by === undefined) {
      expect(reply).toMatchObject({ code: 'MAI_ALL_FAILED' })
      expect((await mai.getConversationHistory()).at(-1)).toMatchObject({ role: 'assistant', complete: false })
    } else
      expect(reply).toMatchObject({
        text: STORY,
        model: writer,
        usage: { completionTokens: writer === 'scripted/a' ? words : words - 9 },
        finishReason: 'stop',
        attempts: [{}, ...others.slice(1).map(() => ({})), { model: by, outcome: 'completed' }],
      })
  })

  it.each([[['only']], [['one', 'other']]])('takes white space for no answer, and asks nobody for more of it: %j', async (ids) => {
    const { mai, backend } = await world(
      ids.map((id) => ({ id, sizeBytes: GB, answer: '\n' })),
      {},
      [struggle()],
    )
    await expect(mai.processMessage('Tell me a story.')).rejects.toMatchObject({ code: 'MAI_ALL_FAILED' })
    expect(backend.calls.requests.length).toBeLessThanOrEqual(2)
  })

  it.each([
    ['the last words', 4],
    ['all of it', 99],
    ['nothing', 0],
  ])('asks a model that cannot be handed a beginning to go on; it repeats %s', async (_, words) => {
    const answer: ScriptedModel['answer'] = (__, { messages }) => {
      const partial = textOf(messages.at(-2)?.parts ?? [])
      if (!STORY.startsWith(partial) || partial === '') return STORY
      const repeated = words === 0 ? '' : partial.split(' ').slice(-words).join(' ')
      return repeated + STORY.slice(partial.length)
    }
    const { mai, backend } = await world(
      [
        { id: 'big', sizeBytes: 4 * GB, answer: STORY, faults: [{ kind: 'drop', afterPieces: 6 }] },
        { id: 'small', sizeBytes: GB, answer },
      ],
      {},
      [],
      { continuation: 'none' },
    )
    const reply = await mai.processMessage('Tell me a story.')
    expect(reply.text).toBe(STORY)
    expect(backend.calls.requests[1]?.continueFrom).toBeUndefined()
  })

  it('keeps what the model asks to be done, in the reply and in the store', async () => {
    const call = { type: 'tool-call', callId: 'c1', name: 'look', arguments: '{"at":"sky"}' } as const
    const { mai } = await world([{ id: 'only', answer: 'I look.', toolCalls: [call] }])
    const tools = [{ name: 'look', description: 'Looks.', parameters: { type: 'object' } }]
    const reply = await mai.processMessage('Look.', { tools })
    expect([reply.text, reply.toolCalls, reply.finishReason]).toEqual(['I look.', [call], 'tool-calls'])
    expect((await mai.getConversationHistory()).at(-1)?.parts).toEqual([{ type: 'text', text: 'I look.' }, call])
  })

  it('asks another model where one only calls tools that nobody offered', async () => {
    const call = { type: 'tool-call' as const, callId: '1', name: 'get', arguments: '{}' }
    const { mai } = await world([{ id: 'a', sizeBytes: 4 * GB, answer: '', toolCalls: [call] }, whole('b')])
    expect(await mai.processMessage('Tell me a story.')).toMatchObject({ text: STORY, model: 'scripted/b', toolCalls: [] })
  })

  it('learns how fast a model is, keeps it, and tells those who watch', async () => {
    const starts: AnswerStart[] = []
    const watching = definePlugin({
      name: 'watching',
      apiVersion: 1,
      setup: (ctx) =>
        void ctx.contribute('watcher', {
          name: 'watching',
          start: (start) => {
            starts.push(start)
            const clear = { state: 'clear' } as const
            return { push: () => clear, tick: () => clear, end: () => clear }
          },
        }),
    })
    let time = 0
    const question = 'x'.repeat(200)
    const { mai } = await world([{ id: 'only', answer: STORY.repeat(3) }], { now: () => (time += 10) }, [watching()])
    await mai.processMessage(question)
    await mai.processMessage(question)
    expect(starts[0]?.shown).toEqual({ prefillPerSecond: undefined, writingPerSecond: undefined })
    expect(starts[1]?.shown.prefillPerSecond).toBeGreaterThan(0)
    expect(starts[1]?.shown.writingPerSecond).toBeGreaterThan(0)
    await vi.waitFor(async () =>
      expect(await mai.store.figures('scripted/only')).toMatchObject({
        prefillPerSecond: expect.any(Number),
        writingPerSecond: expect.any(Number),
      }),
    )
  })

  it('shortens the context of a model that is refused for memory, down to what the conversation needs', async () => {
    const { mai, backend } = await world([{ id: 'only', sizeBytes: 4 * GB, answer: STORY, loads: ['refuse', 'refuse'] }])
    const reply = await mai.processMessage('Tell me a story.')
    expect([reply.text, reply.attempts.length]).toEqual([STORY, 1])
    expect(backend.calls.requests[0]?.instance.contextLength).toBe(2048)
  })

  it('does not walk through every larger model after memory ran out', async () => {
    const refuse = (id: string, size: number): ScriptedModel => ({
      id,
      sizeBytes: size * GB,
      answer: STORY,
      loads: new Array(9).fill('refuse'),
    })
    const { mai, backend } = await world([refuse('a', 1), refuse('b', 1.1), refuse('c', 1.2), refuse('d', 1.3)])
    await expect(mai.processMessage('Tell me a story.', { model: 'a' })).rejects.toMatchObject({
      code: 'MAI_ALL_FAILED',
      cure: expect.stringMatching(/^Free (about [\d.]+ GB of )?memory: close other programs/),
    })
    expect(new Set(backend.calls.loads)).toEqual(new Set(['a']))
  })

  it('takes the next best model when a load is refused however short the context', async () => {
    const { mai, events } = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: STORY, loads: ['refuse', 'refuse', 'refuse', 'refuse'] },
      { id: 'small', sizeBytes: GB, answer: STORY },
    ])
    const reply = await mai.processMessage('Tell me a story.')
    expect(reply.attempts.map((a) => [a.model, a.outcome, a.code])).toEqual([
      ['scripted/big', 'failed', 'MAI_LOAD_REFUSED'],
      ['scripted/small', 'completed', undefined],
    ])
    expect(events).toEqual(['model.load.failed', 'model.switched', 'message.completed'])
  })

  it.each(['empty', 'context-full', 'failed'] as const)('takes an answer that ends as %s for a struggle', async (kind) => {
    const fault = kind === 'empty' ? ({ kind: 'empty' } as const) : ({ kind: 'end', afterPieces: 3, finish: kind } as const)
    const { mai } = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: STORY, faults: [fault] },
      { id: 'small', sizeBytes: GB, answer: STORY },
    ])
    const reply = await mai.processMessage('Tell me a story.')
    expect([reply.text, reply.finishReason]).toEqual([STORY, 'stop'])
  })

  it('leaves a model that goes silent', async () => {
    const { mai } = await world(
      [
        { id: 'big', sizeBytes: 4 * GB, answer: STORY, faults: [{ kind: 'stall', afterPieces: 2 }] },
        { id: 'small', sizeBytes: GB, answer: STORY },
      ],
      { turn: { gapMs: 300 } },
    )
    const reply = await mai.processMessage('Tell me a story.')
    expect([reply.text, reply.switches[0]?.kind]).toEqual([STORY, 'stall'])
  })

  it('ends in one clear error when every model fails, and keeps what was said', async () => {
    const { mai, events } = await world([
      {
        id: 'only',
        answer: STORY,
        faults: [
          { kind: 'drop', afterPieces: 2 },
          { kind: 'drop', afterPieces: 1 },
        ],
      },
    ])
    await expect(mai.processMessage('Tell me a story.')).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    expect(events.filter((type) => type.startsWith('message.'))).toEqual(['message.failed'])
    const history = await mai.getConversationHistory()
    expect(history.map((m) => [m.role, m.complete])).toEqual([
      ['user', true],
      ['assistant', false],
    ])
    expect((await mai.processMessage('Again.')).text).toBe(STORY)
  })

  it('stops when asked, and keeps what was written', async () => {
    const { mai } = await world([{ id: 'only', answer: STORY, faults: [{ kind: 'stall', afterPieces: 3 }] }])
    const stream = mai.streamMessage('Tell me a story.')
    let seen = ''
    for await (const piece of stream) {
      seen += piece.text
      if (seen === 'Once upon a') stream.cancel()
    }
    expect((await stream.reply).finishReason).toBe('cancelled')
    expect((await mai.getConversationHistory()).at(-1)).toMatchObject({ role: 'assistant', complete: false })
  })

  it('ends in one failure, stream included, when it is stopped and the store cannot keep what was written', async () => {
    const { mai, events } = await world([{ id: 'only', answer: STORY, faults: [{ kind: 'stall', afterPieces: 3 }] }])
    const append = mai.store.appendMessage.bind(mai.store)
    Object.assign(mai.store, {
      appendMessage: (message: Parameters<typeof append>[0]) =>
        message.role === 'assistant' ? Promise.reject(new Error('disk full')) : append(message),
    })
    const stream = mai.streamMessage('Tell me a story.')
    const reading = (async () => {
      for await (const piece of stream) if (piece.text.endsWith('a')) stream.cancel()
    })()
    await expect(reading).rejects.toThrow('disk full')
    await expect(stream.reply).rejects.toThrow('disk full')
    expect(events.filter((event) => event.startsWith('message.'))).toEqual(['message.failed'])
  })

  it('names an older picture in words for a model that cannot see it', async () => {
    const { mai, backend } = await world([{ id: 'reading', answer: 'Paws on silent snow.' }])
    const { id: sessionId } = await mai.openSession()
    const said = { sessionId, turnId: 'seen', time: 1, complete: true } as const
    const image = { type: 'image', mediaType: 'image/png', data: 'iVBORw0KGgo=' } as const
    await mai.store.appendMessage({ ...said, id: 'asked', role: 'user', parts: [{ type: 'text', text: 'What is this?' }, image] })
    await mai.store.appendMessage({ ...said, id: 'answered', role: 'assistant', parts: [{ type: 'text', text: 'A cat.' }] })
    expect((await mai.processMessage('Write a haiku about it.', { sessionId })).text).toBe('Paws on silent snow.')
    const parts = backend.calls.requests.at(-1)?.messages.flatMap((message) => message.parts) ?? []
    expect(parts.filter(({ type }) => type === 'image')).toEqual([])
    expect(parts).toContainEqual({ type: 'text', text: '[image image/png]' })
  })

  it('moves to a smaller model when memory comes under pressure, and says nothing of it', async () => {
    const { mai, machine, events } = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: STORY },
      { id: 'small', sizeBytes: GB, answer: STORY },
    ])
    expect((await mai.processMessage('One.')).model).toBe('scripted/big')
    machine.set(2 ** 30, 'critical')
    const reply = await mai.processMessage('Two.')
    expect([reply.model, reply.text]).toEqual(['scripted/small', STORY])
    expect(events).toContain('model.switched')
  })

  it('obeys a pin, and another model asked for with one message', async () => {
    const { mai } = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: STORY },
      { id: 'small', sizeBytes: GB, answer: STORY },
    ])
    await mai.models.pin('small')
    expect((await mai.processMessage('One.')).model).toBe('scripted/small')
    expect((await mai.processMessage('Two.', { model: 'big' })).model).toBe('scripted/big')
    await expect(mai.models.pin('smal')).rejects.toMatchObject({ code: 'MAI_UNKNOWN_MODEL', details: { nearest: ['scripted/small'] } })
  })

  it('refuses an empty message, one that is too large, and a second one while it answers', async () => {
    const { mai } = await world([{ id: 'only', answer: STORY }], { turn: { maxMessageBytes: 1000 } })
    await expect(mai.processMessage(' \n ')).rejects.toMatchObject({ code: 'MAI_EMPTY_MESSAGE' })
    await expect(mai.processMessage('x'.repeat(1001))).rejects.toMatchObject({ code: 'MAI_MESSAGE_TOO_LARGE' })
    const session = await mai.openSession()
    const first = mai.processMessage('One.', { sessionId: session.id })
    await expect(mai.processMessage('Two.', { sessionId: session.id })).rejects.toMatchObject({ code: 'MAI_SESSION_BUSY' })
    await first
  })

  it('says what was tried when there is no model at all', async () => {
    const { mai } = await world([])
    await expect(mai.processMessage('Hello?')).rejects.toMatchObject({ code: 'MAI_NOTHING_SERVES' })
    expect((await mai.getConversationHistory()).length).toBe(1)
  })

  it('keeps ten turns of history while models come and go', async () => {
    const { mai, machine } = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: (q) => `${q} ${STORY}`, loads: ['refuse'] },
      { id: 'middle', sizeBytes: 2 * GB, answer: (q) => `${q} ${STORY}`, faults: [{ kind: 'drop', afterPieces: 4 }] },
      { id: 'small', sizeBytes: GB, answer: (q) => `${q} ${STORY}` },
    ])
    for (let turn = 0; turn < 10; turn++) {
      if (turn === 6) machine.set(2 ** 30, 'critical')
      expect((await mai.processMessage(`Turn ${turn}.`)).text).toBe(`Turn ${turn}. ${STORY}`)
    }
    expect((await mai.getConversationHistory({ limit: 50 })).length).toBe(20)
  })
})
