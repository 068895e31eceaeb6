import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Candidate } from '../../../src/chat/policy.ts'
import { HEADROOM, planStep, type ResidentState, type Room, roomOf } from '../../../src/chat/residency/residency-plan.ts'
import type { GpuSample, ResourceSample } from '../../../src/chat/resources.ts'
import { memoryCure, minimalDecision, notSmaller, shorterContext } from '../../../src/chat/turn/degradation.ts'

const GB = 1e9

function sample(availableBytes: number, gpus: GpuSample[] = []): ResourceSample {
  return {
    time: 0,
    memory: { totalBytes: 16 * GB, availableBytes, swapUsedBytes: 0 },
    cpu: { cores: 1, load: 0 },
    gpus,
    memoryStall: undefined,
    battery: undefined,
    level: 'normal',
  }
}

const resident = (instanceId: string, gigabytes: number, more: Partial<ResidentState> = {}): ResidentState => ({
  instanceId,
  model: instanceId,
  bytes: gigabytes * GB,
  holds: 0,
  evictable: true,
  lastUsed: 0,
  ...more,
})
const room = (free: number): Room => ({ freeBytes: free * GB, spareBytes: (free - 3.2) * GB, capacityBytes: 16 * GB })
const nobody = { awaited: new Set<string>(), draining: new Set<string>() }
const demand = (gigabytes: number, background = false): Parameters<typeof planStep>[0] => ({
  model: 'new',
  needBytes: gigabytes * GB,
  background,
})

describe('the room for models', () => {
  it('is what is reported, or what remains of all beside our own: drivers and other programs lag', () => {
    expect(roomOf(sample(10 * GB), 0)).toEqual({ freeBytes: 10 * GB, spareBytes: 10 * GB - HEADROOM * 16 * GB, capacityBytes: 16 * GB })
    expect(roomOf(sample(10 * GB), 9 * GB).freeBytes).toBe(7 * GB)
    expect(roomOf(sample(0), 20 * GB)).toMatchObject({ freeBytes: 0 })
  })

  it('counts cards of their own, and unified memory once', () => {
    const card = { name: 'card', totalBytes: 24 * GB, freeBytes: 20 * GB, unified: false }
    expect(roomOf(sample(4 * GB, [card]), 0)).toMatchObject({ freeBytes: 20 * GB, capacityBytes: 40 * GB })
    expect(roomOf(sample(4 * GB, [{ ...card, unified: true }]), 0)).toMatchObject({ freeBytes: 4 * GB, capacityBytes: 16 * GB })
  })
})

describe('the next step', () => {
  it.each([
    ['loads what fits, and evicts nothing', demand(4), [resident('a', 4)], room(10), { do: 'load', evict: [] }],
    ['refuses what can never fit, and evicts nothing', demand(40), [resident('a', 4)], room(10), { do: 'refuse', missingBytes: 24 * GB }],
    [
      'evicts the least recently used',
      demand(6),
      [resident('a', 4, { lastUsed: 2 }), resident('b', 4, { lastUsed: 1 })],
      room(7),
      { do: 'load', evict: ['b'] },
    ],
    [
      'evicts one that is enough rather than two',
      demand(8),
      [resident('a', 1, { lastUsed: 1 }), resident('b', 6, { lastUsed: 2 })],
      room(7),
      { do: 'load', evict: ['b'] },
    ],
    [
      'waits for a busy one where idle ones are not enough',
      demand(8),
      [resident('a', 6, { holds: 1 })],
      room(3),
      { do: 'wait', drain: ['a'] },
    ],
    ['takes the headroom before it waits', demand(6), [resident('a', 6, { holds: 1 })], room(7), { do: 'load', evict: [] }],
    ['leaves alone what is not its own', demand(8), [resident('a', 6, { evictable: false })], room(3), { do: 'load', evict: [] }],
    ['tries in spite of the figures, with all that is idle gone', demand(15), [resident('a', 2)], room(3), { do: 'load', evict: ['a'] }],
    [
      'replaces a window of the same model that is too small',
      demand(2),
      [resident('old', 2, { model: 'new' })],
      room(10),
      { do: 'load', evict: ['old'] },
    ],
    ['evicts nothing in the background', demand(6, true), [resident('a', 6)], room(7), { do: 'refuse', missingBytes: expect.any(Number) }],
    ['leaves the headroom free in the background', demand(3, true), [], room(7), { do: 'load', evict: [] }],
  ] as const)('%s', (_, want, residents, space, step) => {
    expect(planStep(want, residents, space, nobody)).toEqual(step)
  })

  it('spares what others wait for, and sticks to whom it waits for already', () => {
    const two = [resident('a', 4, { lastUsed: 1 }), resident('b', 4, { lastUsed: 2 })]
    expect(planStep(demand(6), two, room(7), { ...nobody, awaited: new Set(['a']) })).toEqual({ do: 'load', evict: ['b'] })
    const busy = two.map((each) => ({ ...each, holds: 1 }))
    expect(planStep(demand(6), busy, room(3), { ...nobody, draining: new Set(['b']) })).toEqual({ do: 'wait', drain: ['b'] })
  })

  it('never evicts what is held or protected, nor more than it needs', () => {
    const residents = fc.array(
      fc.record({ gigabytes: fc.integer({ min: 1, max: 8 }), holds: fc.nat(1), evictable: fc.boolean(), lastUsed: fc.nat(9) }),
      { maxLength: 6 },
    )
    fc.assert(
      fc.property(residents, fc.integer({ min: 1, max: 20 }), fc.nat(16), fc.boolean(), (many, need, free, background) => {
        const states = many.map(({ gigabytes, ...more }, n) => resident(`r${n}`, gigabytes, more))
        const step = planStep(demand(need, background), states, room(free), nobody)
        if (step.do === 'refuse') return
        const ids = step.do === 'load' ? step.evict : step.drain
        const chosen = states.filter(({ instanceId }) => ids.includes(instanceId))
        expect(chosen.every(({ evictable, holds }) => evictable && (step.do === 'wait' ? holds > 0 : holds === 0))).toBe(true)
        if (background) expect(ids).toEqual([])
        if (step.do !== 'load') return
        const sum = chosen.reduce((all, { bytes }) => all + bytes, 0)
        const short = (need - (free - 3.2)) * GB
        // Each that goes is needed, unless not even all of them are enough.
        for (const { bytes } of chosen) if (sum >= short) expect(sum - bytes).toBeLessThan(short)
      }),
    )
  })
})

describe('when memory runs out', () => {
  const candidate = (model: string, gigabytes: number, more: Partial<Candidate> = {}): Candidate => ({
    model,
    remote: false,
    allowed: true,
    sizeBytes: gigabytes * GB,
    parameters: undefined,
    quantisationBits: undefined,
    quality: undefined,
    maxContextLength: 8192,
    abilities: { vision: false, tools: false, reasoning: false },
    loadedContextLength: undefined,
    plannedContextLength: 8192,
    memory: { weightsBytes: gigabytes * GB, kvBytes: 0, computeBytes: 0, totalBytes: gigabytes * GB, source: 'size', confidence: 1 },
    reclaimableBytes: 0,
    ...more,
  })
  const needs = { contextTokens: 1024, vision: false, tools: false }

  it('the window is halved, down to what the conversation needs', () => {
    expect([8192, 4096, 2048, 1024].map((window) => shorterContext(window, 1024))).toEqual([4096, 2048, 1024, undefined])
    expect([shorterContext(8192, 6000), shorterContext(6000, 6000)]).toEqual([6000, undefined])
  })

  it('what is as large is not tried; what is loaded or elsewhere needs no memory here', () => {
    const all = [
      candidate('a', 4),
      candidate('b', 5),
      candidate('c', 3),
      candidate('d', 6, { loadedContextLength: 4096 }),
      candidate('e', 7, { remote: true }),
    ]
    expect(notSmaller(all, 'a')).toEqual(['b'])
    expect(notSmaller(all, 'unknown')).toEqual([])
  })

  it('the last resort is the smallest that can serve, with the shortest context', () => {
    const all = [candidate('a', 4), candidate('b', 2), candidate('c', 1, { allowed: false }), candidate('d', 1, { remote: true })]
    expect(minimalDecision(all, needs)).toMatchObject({ model: 'b', contextLength: 1024, reason: 'minimal' })
    expect(minimalDecision(all, { ...needs, vision: true }).model).toBeUndefined()
  })

  it('the error says what to free', () => {
    expect(memoryCure(4 * GB, GB, ['lmstudio/a'])).toBe(
      'Free about 3.0 GB of memory: close other programs, unload lmstudio/a (mai models unload), or fetch a smaller model.',
    )
    expect(memoryCure(GB, 4 * GB, [])).toBe('Free memory: close other programs, or fetch a smaller model.')
  })
})
