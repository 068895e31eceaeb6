import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Backend } from '../../src/chat/backend.ts'
import type { BackgroundModel } from '../../src/chat/background.ts'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import { definePlugin, type Plugin } from '../../src/core/plugin.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import { type ResourceTrace, resourceTrace } from '../../src/testing/resource-trace.ts'
import { type ScriptedBackend, type ScriptedModel, scriptedBackend } from '../../src/testing/scripted-backend.ts'

const GIB = 2 ** 30
const QUESTION = { messages: [{ role: 'user' as const, parts: [{ type: 'text' as const, text: 'aside' }] }] }

interface World {
  readonly mai: Mai
  readonly backend: ScriptedBackend
  readonly machine: ResourceTrace
  readonly background: BackgroundModel
}

async function world(models: ScriptedModel[], more: readonly Plugin[] = []): Promise<World> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-background-'))
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
  const backend = scriptedBackend(models)
  const machine = resourceTrace()
  const mai = await createMai({
    plugins: [store({ file: path.join(folder, 'mai.db') }), machine.plugin, switching(), compression(), backend.plugin, ...more],
  })
  onTestFinished(() => mai.shutdown())
  return { mai, backend, machine, background: mai.kernel.context.use('background') }
}

const one = (more: Partial<ScriptedModel> = {}): ScriptedModel[] => [{ id: 'a', answer: 'Here you are.', ...more }]

describe('a question in the background', () => {
  it('loads nothing: without a model in memory it is not asked', async () => {
    const { mai, backend, background } = await world(one())
    await mai.models.list()
    expect(background.ready()).toBeUndefined()
    expect(await background.complete(QUESTION)).toBeUndefined()
    expect(backend.calls).toMatchObject({ loads: [], requests: [] })
  })

  it('is answered by the model in use, and leaves no trace in the conversation', async () => {
    const { mai, backend, background } = await world([...one(), { id: 'b', answer: 'From b.' }])
    await mai.processMessage('x', { model: 'a' })
    await mai.models.preloadModel('b')
    expect(background.ready()).toEqual({ model: 'scripted/a', contextLength: 8192 })
    const schema = { type: 'object' }
    const answer = await background.complete({ ...QUESTION, sampling: { maxTokens: 9 }, responseSchema: schema })
    expect(answer).toMatchObject({ text: 'Here you are.', model: 'scripted/a', finish: 'stop' })
    expect(backend.calls.requests.at(-1)).toMatchObject({ ...QUESTION, sampling: { maxTokens: 9 }, responseSchema: schema })
    expect(await mai.getConversationHistory()).toHaveLength(2)
    expect(backend.calls).toMatchObject({ loads: ['a', 'b'], unloads: [] })
  })

  it('gives way within 100 ms when a turn begins, and the turn is answered', async () => {
    const { mai, backend, background } = await world(
      one({
        faults: [
          { kind: 'end', afterPieces: 3, finish: 'stop' },
          { kind: 'stall', afterPieces: 0 },
        ],
      }),
    )
    await mai.processMessage('x')
    const aside = background.complete(QUESTION)
    await sleep(20)
    const began = performance.now()
    const turn = mai.processMessage('and now?')
    expect(await aside).toBeUndefined()
    expect(performance.now() - began).toBeLessThan(100)
    expect(backend.calls.requests[1]?.signal.aborted).toBe(true)
    expect((await turn).text).toBe('Here you are.')
  })

  it('is not begun while a turn is in flight, in whatever session, nor beside another question', async () => {
    const { mai, background } = await world(
      one({
        faults: [
          { kind: 'end', afterPieces: 3, finish: 'stop' },
          { kind: 'stall', afterPieces: 1 },
          { kind: 'stall', afterPieces: 0 },
        ],
      }),
    )
    await mai.processMessage('x')
    const stream = mai.streamMessage('y')
    for await (const _ of stream) {
      expect(background.ready()).toBeUndefined()
      expect(await background.complete(QUESTION)).toBeUndefined()
      break
    }
    await stream.reply.catch(() => {})
    const stop = new AbortController()
    const first = background.complete({ ...QUESTION, signal: stop.signal })
    expect(await background.complete(QUESTION)).toBeUndefined()
    stop.abort()
    expect(await first).toBeUndefined()
    await vi.waitFor(() => expect(background.ready()).toBeDefined())
    expect(await background.complete(QUESTION)).toMatchObject({ text: 'Here you are.' })
  })

  it('is not asked of a machine under pressure', async () => {
    const { mai, machine, background } = await world(one())
    await mai.processMessage('x')
    machine.set(GIB, 'pressured')
    expect(await background.complete(QUESTION)).toBeUndefined()
    machine.set(12 * GIB)
    expect(await background.complete(QUESTION)).toBeDefined()
  })

  it('leaves the machine to no remote model, though it may answer the conversation', async () => {
    const instance = { instanceId: 'r', model: 'far/r', contextLength: 8192 }
    const info = {
      key: 'far/r',
      backend: 'far',
      id: 'r',
      name: 'r',
      remote: true,
      sizeBytes: 1,
      parameters: 1,
      quantisation: undefined,
      architecture: undefined,
    }
    const model = {
      ...info,
      maxContextLength: 8192,
      abilities: { vision: false, tools: false, reasoning: false },
      path: undefined,
      instances: [instance],
    }
    const far: Backend = {
      name: 'far',
      remote: true,
      allowRemote: true,
      abilities: { continuation: 'none', loads: false },
      list: async () => [model],
      load: async () => instance,
      unload: async () => {},
      generate: async (_, sink) => {
        sink({ type: 'text', text: 'From afar.', tokens: 3 })
        return { finish: 'stop', usage: { promptTokens: 1, completionTokens: 3 } }
      },
      countTokens: async () => undefined,
    }
    const plugin = definePlugin({
      name: 'far',
      apiVersion: 1,
      provides: ['backend'],
      setup: (ctx) => void ctx.contribute('backend', far),
    })()
    const { mai, background } = await world([], [plugin])
    expect((await mai.processMessage('x')).text).toBe('From afar.')
    expect(background.ready()).toBeUndefined()
    expect(await background.complete(QUESTION)).toBeUndefined()
  })

  it('ends at its limit, and an engine that fails is an error of its own', async () => {
    const { mai, background } = await world(
      one({
        faults: [
          { kind: 'end', afterPieces: 3, finish: 'stop' },
          { kind: 'stall', afterPieces: 0 },
          { kind: 'drop', afterPieces: 0 },
        ],
      }),
    )
    await mai.processMessage('x')
    await expect(background.complete({ ...QUESTION, limitMs: 50 })).rejects.toMatchObject({ code: 'MAI_BACKEND_TIMEOUT' })
    await vi.waitFor(() => expect(background.ready()).toBeDefined())
    await expect(background.complete(QUESTION)).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
  })

  it('ends when Mai ends', async () => {
    const { mai, background } = await world(
      one({
        faults: [
          { kind: 'end', afterPieces: 3, finish: 'stop' },
          { kind: 'stall', afterPieces: 0 },
        ],
      }),
    )
    await mai.processMessage('x')
    const aside = background.complete(QUESTION)
    await mai.shutdown()
    expect(await aside).toBeUndefined()
    expect(await background.complete(QUESTION)).toBeUndefined()
  })
})
