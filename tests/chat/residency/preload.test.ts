import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import { mayPrepare, mustGiveWay } from '../../../src/chat/residency/preload-plan.ts'
import { HEADROOM, roomOf } from '../../../src/chat/residency/residency-plan.ts'
import type { ResourceSample } from '../../../src/chat/resources.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { type ResourceTrace, resourceTrace } from '../../../src/testing/resource-trace.ts'
import { type ScriptedBackend, type ScriptedModel, scriptedBackend } from '../../../src/testing/scripted-backend.ts'
import { seeded } from '../virtual-clock.ts'

const GB = 1e9
const SEED = Number(process.env.MAI_TEST_SEED ?? 20_261_124)
const DAYS = Number(process.env.MAI_TEST_DAYS ?? 1_000)
const STEP_S = 10

function machine(totalBytes: number, availableBytes: number): ResourceSample {
  return {
    time: 0,
    memory: { totalBytes, availableBytes, swapUsedBytes: 0 },
    cpu: { cores: 2, load: 0 },
    gpus: [],
    memoryStall: undefined,
    battery: undefined,
    level: 'normal',
  }
}

describe('preparing a model in the background', () => {
  it(`in ${DAYS} days beside a program that takes memory at random never starts above the headroom, and gives way at the next sample`, () => {
    const random = seeded(SEED)
    const total = 16 * GB
    const headroom = HEADROOM * total
    let other = 4 * GB
    let inUse = 2 * GB
    let work: { needBytes: number; fraction: number; step: number } | undefined
    let [started, finished, gaveWay] = [0, 0, 0]
    const bad: string[] = []
    for (let step = 0; step < (DAYS * 86_400) / STEP_S; step++) {
      // The other program: drifts, and now and then takes or gives back a lot at once.
      other += (random() - 0.5) * 0.1 * GB
      if (random() < 0.002) other = random() * total
      other = Math.min(Math.max(0, other), total - inUse)
      const held = work ? work.needBytes * work.fraction : 0
      const available = Math.max(0, total - other - inUse - held)
      const room = roomOf(machine(total, available), inUse)
      if (work) {
        const rest = work.needBytes * (1 - work.fraction)
        const needed = available - rest < headroom
        if (mustGiveWay(work, room)) {
          gaveWay++
          if (!needed) bad.push(`step ${step}: gave way to nobody`)
          work = undefined
        } else {
          if (needed) bad.push(`step ${step}: stayed where its memory was needed`)
          if (work.fraction < 1) work.fraction = Math.min(1, work.fraction + work.step)
          else if (random() < 0.01) {
            // It is used: the former model goes.
            inUse = work.needBytes
            work = undefined
            finished++
          }
        }
      } else if (random() < 0.02) {
        const needBytes = (0.2 + random() * 10) * GB
        if (!mayPrepare(needBytes, room)) continue
        if (needBytes > available - headroom) bad.push(`step ${step}: started above the headroom`)
        work = { needBytes, fraction: 0, step: 0.02 + random() * 0.5 }
        started++
      }
    }
    expect(bad).toEqual([])
    expect(Math.min(started, finished, gaveWay)).toBeGreaterThan(DAYS)
  })

  const STORY = 'Once upon a time there was a fox.'

  async function world(
    models: ScriptedModel[],
    availableBytes = 12 * GB,
  ): Promise<{ mai: Mai; backend: ScriptedBackend; machine: ResourceTrace }> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-preload-'))
    onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
    const trace = resourceTrace(availableBytes)
    const backend = scriptedBackend(models, { machine: trace })
    const mai = await createMai({
      plugins: [
        store({ file: path.join(folder, 'mai.db') }),
        trace.plugin,
        switching({ dwellMs: 0, upgradeAfterMs: 0 }),
        compression(),
        backend.plugin,
      ],
    })
    onTestFinished(() => mai.shutdown())
    return { mai, backend, machine: trace }
  }

  const two = (): ScriptedModel[] => [
    { id: 'big', sizeBytes: 4 * GB, answer: STORY },
    { id: 'small', sizeBytes: GB, answer: STORY },
  ]

  it('keeps the present model for this message and uses the better one for the next', async () => {
    const { mai, backend } = await world(two())
    await mai.processMessage('One.', { model: 'small' })
    const ready = new Promise((resolve) => mai.on('model.preloaded', resolve))
    expect((await mai.processMessage('Two.')).model).toBe('scripted/small')
    await ready
    expect((await mai.processMessage('Three.')).model).toBe('scripted/big')
    expect(backend.calls.loads).toEqual(['small', 'big'])
  })

  it('swaps at once where there is no room for both, and where the present one cannot finish', async () => {
    const tight = await world(two(), 9 * GB)
    await tight.mai.processMessage('One.', { model: 'small' })
    expect((await tight.mai.processMessage('Two.')).model).toBe('scripted/big')
    expect(tight.backend.calls.unloads).toEqual(['small'])
    const failing = await world([
      { id: 'big', sizeBytes: 4 * GB, answer: STORY },
      { id: 'small', sizeBytes: GB, answer: (question) => (question === 'Two.' ? '' : STORY) },
    ])
    await failing.mai.processMessage('One.', { model: 'small' })
    const reply = await failing.mai.processMessage('Two.')
    expect([reply.text, reply.model]).toEqual([STORY, 'scripted/big'])
  })

  it('refuses by name what does not fit into the memory left over', async () => {
    const { mai, backend } = await world([{ id: 'big', sizeBytes: 8 * GB, answer: STORY }], 9 * GB)
    await expect(mai.models.preloadModel('big')).rejects.toMatchObject({ code: 'MAI_LOAD_REFUSED' })
    expect(backend.calls.loads).toEqual([])
  })

  it('lets go of what it prepared when the memory is needed, before it was used', async () => {
    const { mai, backend, machine: trace } = await world(two())
    await mai.processMessage('One.', { model: 'small' })
    const ready = new Promise((resolve) => mai.on('model.preloaded', resolve))
    await mai.processMessage('Two.')
    await ready
    trace.set(2 * GB)
    mai.kernel.context.emit('resources.sampled', machine(16 * GB, 2 * GB))
    await vi.waitFor(() => expect(backend.calls.unloads).toEqual(['big']))
  })
})
