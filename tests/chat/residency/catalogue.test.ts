import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Backend } from '../../../src/chat/backend.ts'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from '../../../src/chat/events.ts'
import { backendError } from '../../../src/chat/failure.ts'
import type { ModelInfo } from '../../../src/chat/model.ts'
import { nearest } from '../../../src/chat/nearest.ts'
import { Catalogue } from '../../../src/chat/residency/catalogue.ts'
import { createKernel } from '../../../src/core/kernel.ts'
import { definePlugin } from '../../../src/core/plugin.ts'

function model(backend: string, id: string, path?: string): ModelInfo {
  return {
    key: `${backend}/${id}`,
    backend,
    id,
    name: `The ${id}`,
    remote: false,
    sizeBytes: 1,
    parameters: undefined,
    quantisation: undefined,
    architecture: undefined,
    maxContextLength: 4096,
    abilities: { vision: false, tools: false, reasoning: false },
    path,
    instances: [],
  }
}

/** A catalogue over backends that list what they are told to. */
async function catalogue(...lists: readonly (readonly [name: string, list: () => Promise<readonly ModelInfo[]>])[]): Promise<Catalogue> {
  const backends = lists.map(
    ([name, list]): Backend => ({
      name,
      remote: false,
      allowRemote: false,
      abilities: { continuation: 'raw', loads: true },
      list,
      load: () => Promise.reject(new Error('not here')),
      unload: () => Promise.resolve(),
      generate: () => Promise.reject(new Error('not here')),
      countTokens: () => Promise.resolve(undefined),
    }),
  )
  const plugin = definePlugin({
    name: 'backends',
    apiVersion: 1,
    setup: (ctx) => {
      for (const backend of backends) ctx.contribute('backend', backend)
    },
  })
  const kernel = createKernel({ plugins: [plugin()], lists: CHAT_LISTS, hooks: CHAT_HOOKS, mailboxes: CHAT_MAILBOXES })
  onTestFinished(() => kernel.close())
  await kernel.start()
  return new Catalogue(kernel.context)
}

describe('the catalogue', () => {
  it('lists what all backends have; a file that two of them see belongs to the first', async () => {
    const seen = await catalogue(
      ['one', async () => [model('one', 'a', '/models/a.gguf'), model('one', 'b')]],
      ['two', async () => [model('two', 'a', '/models/a.gguf'), model('two', 'c', '/models/c.gguf')]],
    )
    await seen.ensure()
    expect(seen.models.map(({ key }) => key)).toEqual(['one/a', 'one/b', 'two/c'])
  })

  it('goes on without a backend that fails or hangs up, and says what each said when there is nothing', async () => {
    const lost = async (): Promise<never> => {
      throw backendError('MAI_BACKEND_UNREACHABLE', 'Nobody answers.', { cure: 'Start it.' })
    }
    const half = await catalogue(['one', lost], ['two', async () => [model('two', 'a')]])
    await half.ensure()
    expect(half.backends().map(({ name, connected, models }) => [name, connected, models])).toEqual([
      ['one', false, 0],
      ['two', true, 1],
    ])
    const none = await catalogue(['one', lost], ['two', async () => []])
    await expect(none.ensure()).rejects.toMatchObject({
      code: 'MAI_NOTHING_SERVES',
      message: expect.stringMatching(/one: Nobody answers; two: it has no models/),
      cure: expect.stringMatching(/^Start it\. Or fetch a model/),
    })
  })

  it('is asked once at a time, and again when something changed while it was being asked', async () => {
    let asked = 0
    const answers: (() => void)[] = []
    const seen = await catalogue([
      'one',
      async () => {
        const turn = ++asked
        await new Promise<void>((resolve) => answers.push(resolve))
        return [model('one', `seen-in-${turn}`)]
      },
    ])
    const first = seen.refresh()
    const joined = seen.ensure()
    await Promise.resolve()
    expect(asked).toBe(1)
    seen.invalidate()
    const after = seen.ensure()
    answers.shift()?.()
    await first
    await joined.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 5))
    answers.shift()?.()
    await after
    expect(asked).toBe(2)
    expect(seen.models.map(({ id }) => id)).toEqual(['seen-in-2'])
    await seen.ensure()
    expect(asked, 'what is fresh is not asked again').toBe(2)
  })

  it('finds the model that a person means, or names the nearest', async () => {
    const seen = await catalogue(
      ['one', async () => [model('one', 'llama-3.2-1b'), model('one', 'qwen'), model('one', 'same')]],
      ['two', async () => [model('two', 'same')]],
    )
    await seen.ensure()
    for (const text of ['one/llama-3.2-1b', 'llama-3.2-1b', 'LLAMA-3.2-1B', 'The llama-3.2-1b'])
      expect(seen.resolve(text).id).toBe('llama-3.2-1b')
    expect(() => seen.resolve('same')).toThrowError(
      expect.objectContaining({ code: 'MAI_UNKNOWN_MODEL', message: expect.stringContaining('one/same or two/same') }),
    )
    expect(() => seen.resolve('qwem')).toThrowError(expect.objectContaining({ code: 'MAI_UNKNOWN_MODEL', cure: 'Did you mean one/qwen?' }))
  })

  it('notes loads and unloads without asking', async () => {
    const seen = await catalogue(['one', async () => [model('one', 'a')]])
    await seen.ensure()
    const instance = { instanceId: 'i', model: 'one/a', contextLength: 4096 }
    seen.note(instance, true)
    seen.note(instance, true)
    expect(seen.find('one/a')?.instances).toEqual([instance])
    seen.note(instance, false)
    expect(seen.find('one/a')?.instances).toEqual([])
    seen.note({ ...instance, model: 'one/gone' }, true)
  })
})

describe('the nearest names', () => {
  it('contain what was typed, or differ by little, and are never more than three', () => {
    expect(nearest('llama', ['a/llama-1', 'b/qwen', 'c/llama-2'])).toEqual(['a/llama-1', 'c/llama-2'])
    expect(nearest('stauts', ['status', 'sessions'])).toEqual(['status'])
    expect(nearest('zzzz', ['status'])).toEqual([])
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.array(fc.string({ maxLength: 12 }), { maxLength: 8 }), (text, names) => {
        const near = nearest(text, names)
        expect(near.length).toBeLessThanOrEqual(3)
        for (const name of near) expect(names).toContain(name)
      }),
    )
  })
})
