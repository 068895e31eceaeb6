import { once } from 'node:events'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../../src/testing/resource-trace.ts'
import { type ScriptedBackend, type ScriptedModel, scriptedBackend } from '../../../src/testing/scripted-backend.ts'
import { startChild } from '../../plugins/store/harness.ts'
import { GB, World } from './residency-world.ts'

/** Who is in memory, seen through a whole Mai. */
async function world(models: ScriptedModel[], file?: string): Promise<{ mai: Mai; backend: ScriptedBackend; file: string }> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-residency-'))
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
  const database = file ?? path.join(folder, 'mai.db')
  const machine = resourceTrace()
  const backend = scriptedBackend(models, { machine })
  const mai = await createMai({ plugins: [store({ file: database }), machine.plugin, switching(), compression(), backend.plugin] })
  onTestFinished(() => mai.shutdown())
  return { mai, backend, file: database }
}

const two = (): ScriptedModel[] => [
  { id: 'a', answer: 'From a.' },
  { id: 'b', answer: 'From b.' },
]

describe('models in memory', () => {
  it('are loaded once, however many ask for them at the same time', async () => {
    const { mai, backend } = await world(two())
    const instances = await Promise.all([mai.models.loadModel('a'), mai.models.loadModel('a'), mai.models.preloadModel('a')])
    expect(new Set(instances.map(({ instanceId }) => instanceId)).size).toBe(1)
    expect(backend.calls.loads).toEqual(['a'])
  })

  it('are unloaded after a switch, unless they are kept', async () => {
    const { mai, backend } = await world(two())
    await mai.processMessage('x', { model: 'a' })
    await mai.processMessage('x', { model: 'b' })
    await mai.models.switchModel('b')
    expect(backend.calls.unloads).toEqual(['a'])
    const kept = await world(two())
    await kept.mai.models.preloadModel('a')
    await kept.mai.models.switchModel('b')
    expect(kept.backend.calls.unloads).toEqual([])
    expect(await kept.mai.models.unloadModel('a')).toBe(1)
  })

  it('are not unloaded under an answer', async () => {
    const { mai, backend } = await world([
      { id: 'a', answer: 'one two three four five six seven eight nine ten' },
      { id: 'b', answer: 'From b.' },
    ])
    const stream = mai.streamMessage('x', { model: 'a' })
    let switched: Promise<unknown> | undefined
    let text = ''
    for await (const piece of stream) {
      text += piece.text
      switched ??= mai.models.switchModel('b')
    }
    await switched
    expect(text).toBe('one two three four five six seven eight nine ten')
    expect((await stream.reply).model).toBe('scripted/a')
    expect(backend.calls.loads).toEqual(['a', 'b'])
  })

  it('that another process uses are left alone', async () => {
    const first = await world(two())
    await first.mai.models.loadModel('a')
    const other = startChild('lease', first.file, 'a')
    await once(other.stdout ?? other, 'data')
    expect((await first.mai.store.leases()).map(({ instanceId, pid }) => [instanceId, pid === process.pid])).toEqual([
      ['a', true],
      ['a', false],
    ])
    await first.mai.models.switchModel('b')
    expect(first.backend.calls.unloads).toEqual([])
  })

  it('leave no lease behind when Mai ends', async () => {
    const { mai, file } = await world(two())
    await mai.models.loadModel('a')
    await mai.shutdown()
    const next = await world(two(), file)
    expect(await next.mai.store.leases()).toEqual([])
  })

  it('that refuse to load leave nothing, and the next is loaded', async () => {
    const { mai, backend } = await world([
      { id: 'a', sizeBytes: 2e9, answer: 'From a.', loads: ['refuse', 'refuse', 'refuse', 'refuse'] },
      { id: 'b', answer: 'From b.' },
    ])
    const reply = await mai.processMessage('x')
    expect(reply.text).toBe('From b.')
    expect(reply.attempts.map(({ model, code }) => [model, code])).toEqual([
      ['scripted/a', 'MAI_LOAD_REFUSED'],
      ['scripted/b', undefined],
    ])
    expect(backend.calls.loads).toEqual(['a', 'a', 'a', 'a', 'b'])
  })

  it('are seen to whenever somebody asks, also in the very moment in which the work before ends', async () => {
    const served: number[] = []
    const delays = Array.from({ length: 15 }, (_, steps) => steps)
    for (const steps of delays) {
      const { residency } = new World({ totalBytes: 10 * GB, sizes: { a: GB } })
      void residency.tidy(undefined, 'first').then(async () => {
        for (let step = 0; step < steps; step++) await undefined
        await residency.tidy(undefined, 'second')
        served.push(steps)
      })
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(served).toEqual(delays)
  })

  it('stay ours where an unload fails, and no lease keeps other processes from them', async () => {
    let broken = true
    const world = new World({ totalBytes: 10 * GB, sizes: { a: GB }, unloadFails: () => broken })
    const answer = async (): Promise<void> => {
      const answering = world.answer('a', 0)
      await world.clock.run(60_000)
      await answering
    }
    await answer()
    const instance = world.instanceOf('a')!
    await expect(world.residency.unload(instance, 'asked')).rejects.toMatchObject({ code: 'MAI_BACKEND_LOST' })
    expect([...world.leases.keys()]).toEqual([])
    // The engine lists it still.
    await answer()
    expect(world.loads).toEqual(['a'])
    expect([...world.residency.unloadable()]).toEqual([instance.instanceId])
    broken = false
    await world.residency.tidy(undefined, 'not needed')
    expect([world.loaded, [...world.leases.keys()]]).toEqual([[], []])
  })
})
