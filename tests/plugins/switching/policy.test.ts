import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Candidate, RecordedEvent, SelectionRequest, StruggleRequest } from '../../../src/chat/policy.ts'
import type { PressureLevel } from '../../../src/chat/resources.ts'
import { switchingPolicy } from '../../../src/plugins/switching/index.ts'
import type { SwitchingState } from '../../../src/plugins/switching/state.ts'

const GB = 1e9
const OPTIONS = { dwellMs: 30_000, upgradeAfterMs: 300_000, headroom: 0.2, cooldownMs: 30_000 }
const policy = switchingPolicy(OPTIONS)

interface Sketch {
  readonly model?: string
  readonly gb?: number
  readonly loaded?: boolean
  readonly window?: number
  readonly remote?: boolean
  readonly allowed?: boolean
  readonly vision?: boolean
}

function candidate({
  model = 'a',
  gb = 1,
  loaded = false,
  window = 8192,
  remote = false,
  allowed = true,
  vision = false,
}: Sketch = {}): Candidate {
  return {
    model,
    remote,
    allowed,
    sizeBytes: gb * GB,
    parameters: gb * 1.6e9,
    quantisationBits: 4,
    quality: undefined,
    maxContextLength: 131_072,
    abilities: { vision, tools: false, reasoning: false },
    loadedContextLength: loaded ? window : undefined,
    plannedContextLength: window,
    memory: { weightsBytes: gb * GB, kvBytes: 0, computeBytes: 0, totalBytes: gb * GB, source: 'size', confidence: 0.5 },
    reclaimableBytes: 0,
  }
}

function request(
  candidates: readonly Candidate[],
  changes: Partial<SelectionRequest> & { freeGb?: number; level?: PressureLevel } = {},
): SelectionRequest {
  const { freeGb = 16, level = 'normal', ...rest } = changes
  return {
    time: 1e12,
    purpose: 'turn',
    sessionId: undefined,
    turnId: undefined,
    current: undefined,
    requested: undefined,
    needs: { contextTokens: 1024, vision: false, tools: false },
    resources: {
      time: 1e12,
      memory: { totalBytes: 20 * GB, availableBytes: freeGb * GB, swapUsedBytes: 0 },
      cpu: { cores: 8, load: 0 },
      gpus: [],
      memoryStall: undefined,
      battery: undefined,
      level,
    },
    candidates,
    failed: [],
    ...rest,
  }
}

let seq = 0
function event<T extends RecordedEvent['type']>(
  type: T,
  payload: Extract<RecordedEvent, { type: T }>['payload'],
  time = 1e12,
): RecordedEvent {
  return { seq: ++seq, run: 'run', time, type, payload } as RecordedEvent
}

const fold = (...events: readonly RecordedEvent[]): SwitchingState =>
  events.reduce((state, each) => policy.reduce(state, each), policy.initial())
const choose = (state: SwitchingState, asked: SelectionRequest): [string | undefined, string] => {
  const { model, reason } = policy.select(state, asked)
  return [model, reason]
}

describe('the choice', () => {
  const small = candidate({ model: 'small', gb: 1 })
  const middle = candidate({ model: 'middle', gb: 3 })
  const large = candidate({ model: 'large', gb: 40 })

  it('is the most capable of those that fit and answer in comfort', () => {
    expect(choose(fold(), request([small, middle, large]))).toEqual(['middle', 'most-efficient'])
    expect(choose(fold(), request([small, middle, large], { freeGb: 6 }))).toEqual(['small', 'most-efficient'])
  })

  it('falls to the smallest where none fits, and to none where none may serve', () => {
    expect(choose(fold(), request([small, middle, large], { freeGb: 1 }))).toEqual(['small', 'smallest'])
    expect(choose(fold(), request([]))).toEqual([undefined, 'none'])
    expect(choose(fold(), request([candidate({ window: 512 })]))).toEqual([undefined, 'none'])
  })

  it('leaves out what cannot serve: sight, window, what failed, what is remote and not allowed', () => {
    const needs = { contextTokens: 1024, vision: true, tools: false }
    expect(choose(fold(), request([middle, candidate({ model: 'seeing', vision: true })], { needs }))[0]).toBe('seeing')
    expect(
      choose(
        fold(),
        request([middle, candidate({ model: 'wide', window: 32_768 })], { needs: { ...needs, vision: false, contextTokens: 20_000 } }),
      )[0],
    ).toBe('wide')
    expect(choose(fold(), request([small, middle], { failed: ['middle'] }))[0]).toBe('small')
    const far = candidate({ model: 'far', gb: 5, remote: true, allowed: false })
    expect(choose(fold(), request([small, far]))[0]).toBe('small')
    expect(choose(fold(), request([far]))).toEqual([undefined, 'none'])
  })

  it('names what to try next, and the rule that excluded each other', () => {
    const { fallbacks, candidates } = policy.select(fold(), request([small, middle, large]))
    expect(fallbacks).toEqual(['small'])
    expect(candidates.map(({ model, excluded }) => [model, excluded])).toEqual([
      ['small', undefined],
      ['middle', undefined],
      ['large', 'memory'],
    ])
  })

  it('is the one that was asked for, then the pinned one, whatever their size; not when they failed', () => {
    const pinned = fold(event('pin.changed', { model: 'large' }))
    expect(choose(pinned, request([small, middle, large]))).toEqual(['large', 'pinned'])
    expect(choose(pinned, request([small, middle, large], { requested: 'small' }))).toEqual(['small', 'requested'])
    expect(choose(pinned, request([small, middle, large], { failed: ['large'] }))[0]).toBe('middle')
    expect(choose(policy.reduce(pinned, event('pin.changed', { model: null })), request([small, middle, large]))[0]).toBe('middle')
  })
})

describe('staying and moving', () => {
  const small = candidate({ model: 'small', gb: 1, loaded: true })
  const middle = candidate({ model: 'middle', gb: 3 })
  const asked = (time: number, changes: Parameters<typeof request>[1] = {}): SelectionRequest =>
    request([small, middle], { current: 'small', time, ...changes })

  it('a switch that nothing forces waits for the dwell time, and then for calm', () => {
    const switched = fold(event('model.switched', { from: 'middle', to: 'small', reason: 'asked', rescue: false }, 1e12))
    expect(choose(switched, asked(1e12 + 29_999))).toEqual(['small', 'dwell'])
    expect(choose(switched, asked(1e12 + 30_000))).toEqual(['small', 'not-calm-yet'])
    expect(choose(switched, asked(1e12 + 300_000))).toEqual(['middle', 'upgrade'])
  })

  it('a rescue starts no dwell time', () => {
    const rescued = fold(event('model.switched', { from: 'middle', to: 'small', reason: 'crashed', rescue: true }, 1e12))
    expect(choose(rescued, asked(1e12 + 1000))).toEqual(['middle', 'upgrade'])
  })

  it('moving up waits until pressure has been gone for five minutes', () => {
    const pressed = fold(event('resources.pressured', { level: 'pressured', availableBytes: 0, totalBytes: 1 }, 1e12))
    expect(choose(pressed, asked(1e12 + 1e9))).toEqual(['small', 'not-calm-yet'])
    const calm = policy.reduce(pressed, event('resources.recovered', { availableBytes: 1, totalBytes: 1 }, 1e12 + 1000))
    expect(choose(calm, asked(1e12 + 300_999))).toEqual(['small', 'not-calm-yet'])
    expect(choose(calm, asked(1e12 + 301_000))).toEqual(['middle', 'upgrade'])
  })

  it('moving down under pressure is at once', () => {
    const loaded = [candidate({ model: 'small', gb: 1 }), candidate({ model: 'middle', gb: 8, loaded: true })]
    const switched = fold(event('model.switched', { from: 'small', to: 'middle', reason: 'asked', rescue: false }, 1e12))
    expect(choose(switched, request(loaded, { current: 'middle', time: 1e12 + 1, freeGb: 5 }))[0]).toBe('middle')
    expect(choose(switched, request(loaded, { current: 'middle', time: 1e12 + 1, freeGb: 5.5, level: 'critical' }))[0]).toBe('small')
  })

  it('a model that failed twice within a minute rests, and may try again after its rest', () => {
    const failed = (time: number): RecordedEvent =>
      event('generation.failed', { model: 'middle', kind: 'failed', code: 'MAI_BACKEND_ERROR' }, time)
    const state = fold(failed(1e12), failed(1e12 + 1000))
    const both = [candidate({ model: 'small', gb: 1 }), middle]
    expect(choose(state, request(both, { time: 1e12 + 2000 }))[0]).toBe('small')
    expect(choose(state, request(both, { time: 1e12 + 31_000 }))[0]).toBe('middle')
    expect(choose(fold(failed(1e12), failed(1e12 + 61_000)), request(both, { time: 1e12 + 62_000 }))[0]).toBe('middle')
    const well = policy.reduce(state, event('generation.finished', { model: 'middle', ms: 1, firstTokenMs: 1, completionTokens: 1 }))
    expect(choose(well, request(both, { time: 1e12 + 2000 }))[0]).toBe('middle')
    expect(choose(state, request([middle], { time: 1e12 + 2000 })), 'a resting one before none').toEqual(['middle', 'smallest'])
  })
})

describe('a struggle', () => {
  const struggle = (changes: Partial<StruggleRequest>): StruggleRequest => ({
    time: 1e12,
    turnId: 't',
    model: 'a',
    kind: 'failed',
    error: undefined,
    transient: true,
    retryAfterMs: undefined,
    attempts: 1,
    attemptsOnModel: 1,
    releasedChars: 0,
    alternatives: 0,
    random: 0.5,
    ...changes,
  })
  it.each([
    [{ alternatives: 2 }, 'switch', 0],
    [{}, 'retry', 300],
    [{ retryAfterMs: 5000 }, 'retry', 5000],
    [{ attemptsOnModel: 2 }, 'fail', 0],
    [{ transient: false }, 'fail', 0],
    [{ alternatives: 2, error: { code: 'MAI_CONTENT_FILTERED', message: '' } }, 'fail', 0],
  ] as const)('%j leads to %s after %i ms', (changes, action, delayMs) => {
    expect(policy.onStruggle(policy.initial(), struggle(changes))).toMatchObject({ action, delayMs })
  })
})

describe('whatever the machine, the models and the past', () => {
  const sketches = fc.uniqueArray(
    fc.record({
      model: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      gb: fc.double({ min: 0.1, max: 60, noNaN: true }),
      loaded: fc.boolean(),
      window: fc.constantFrom(512, 2048, 8192, 32_768),
      remote: fc.boolean(),
      allowed: fc.boolean(),
      vision: fc.boolean(),
    }),
    { selector: ({ model }) => model, maxLength: 6 },
  )
  const pasts = fc.array(
    fc.oneof(
      fc.constantFrom('a', 'b', 'c').map((model) => ['pin.changed', { model }] as const),
      fc.constant(['pin.changed', { model: null }] as const),
      fc.constant(['resources.pressured', { level: 'pressured', availableBytes: 0, totalBytes: 1 }] as const),
      fc.constant(['resources.recovered', { availableBytes: 1, totalBytes: 1 }] as const),
      fc.constantFrom('a', 'b', 'c').map((model) => ['generation.failed', { model, kind: 'failed', code: 'X' }] as const),
      fc.boolean().map((rescue) => ['model.switched', { from: 'a', to: 'b', reason: 'x', rescue }] as const),
    ),
    { maxLength: 20 },
  )
  const requests = fc
    .record({
      sketches,
      freeGb: fc.double({ min: 0, max: 20, noNaN: true }),
      level: fc.constantFrom<PressureLevel>('normal', 'pressured', 'critical'),
      current: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
      failed: fc.subarray(['a', 'b', 'c', 'd']),
      contextTokens: fc.constantFrom(1024, 4096, 20_000),
    })
    .map(({ sketches: models, freeGb, level, current, failed, contextTokens }) =>
      request(models.map(candidate), { freeGb, level, current, failed, needs: { contextTokens, vision: false, tools: false } }),
    )
  const events = (past: readonly (readonly [RecordedEvent['type'], unknown])[]): RecordedEvent[] =>
    past.map(([type, payload], index) => ({ seq: index + 1, run: 'r', time: 1e12 - 60_000 + index * 1000, type, payload }) as RecordedEvent)

  it('the same log gives the same decision, also from a state that went through JSON', () => {
    fc.assert(
      fc.property(pasts, requests, (past, asked) => {
        const state = fold(...events(past))
        const once = policy.select(state, asked)
        expect(policy.select(fold(...events(past)), structuredClone(asked))).toEqual(once)
        expect(policy.select(JSON.parse(JSON.stringify(state)) as SwitchingState, asked)).toEqual(once)
      }),
    )
  })

  it('what cannot serve is never chosen; what does not fit only where nothing that serves fits', () => {
    fc.assert(
      fc.property(pasts, requests, (past, asked) => {
        const state = fold(...events(past))
        const { model, candidates, fallbacks } = policy.select(state, asked)
        const rule = (key: string): string | undefined => candidates.find((row) => row.model === key)?.excluded
        expect(fallbacks).not.toContain(model)
        if (model === undefined) {
          expect(candidates.every(({ excluded }) => excluded !== undefined)).toBe(true)
          return
        }
        expect(['failed', 'vision', 'tools', 'window']).not.toContain(rule(model))
        if (state.pin === model) return
        expect(rule(model)).not.toBe('remote')
        const someFits = candidates.some(({ excluded }) => excluded === undefined)
        if (someFits) expect(rule(model)).toBeUndefined()
      }),
    )
  })

  it('more free memory never excludes a model for memory that fitted with less', () => {
    fc.assert(
      fc.property(pasts, requests, fc.double({ min: 0, max: 10, noNaN: true }), (past, asked, moreGb) => {
        const state = fold(...events(past))
        const roomier = {
          ...asked,
          resources: {
            ...asked.resources,
            memory: { ...asked.resources.memory, availableBytes: asked.resources.memory.availableBytes + moreGb * GB },
          },
        }
        const before = policy.select(state, asked).candidates.filter(({ excluded }) => excluded === undefined)
        const after = policy.select(state, roomier).candidates
        for (const { model } of before) expect(after.find((row) => row.model === model)?.excluded).toBeUndefined()
      }),
    )
  })

  it('under memory that comes and goes, at most two unforced switches fall into any five and a half minutes', () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 7, 30, 61, 299, 600, 3600), fc.double({ min: 2, max: 8, noNaN: true }), (periodS, dip) => {
        let state = fold()
        let current: string | undefined
        let pressed = false
        const switches: number[] = []
        for (let second = 0; second < 4 * 3600; second += 5) {
          const low = Math.floor(second / periodS) % 2 === 1
          const time = 1e12 + second * 1000
          if (low !== pressed) {
            pressed = low
            const sample = { availableBytes: 0, totalBytes: 1 }
            state = policy.reduce(
              state,
              low ? event('resources.pressured', { level: 'pressured', ...sample }, time) : event('resources.recovered', sample, time),
            )
          }
          const models = [
            candidate({ model: 'small', gb: 1, loaded: current === 'small' }),
            candidate({ model: 'big', gb: 6, loaded: current === 'big' }),
          ]
          const { model } = policy.select(
            state,
            request(models, { time, current, freeGb: low ? dip : 16, level: low ? 'pressured' : 'normal' }),
          )
          if (current !== undefined && model !== undefined && model !== current) {
            switches.push(second)
            state = policy.reduce(state, event('model.switched', { from: current, to: model, reason: 'x', rescue: false }, time))
          }
          current = model
        }
        for (const at of switches) expect(switches.filter((other) => other >= at && other < at + 330).length).toBeLessThanOrEqual(2)
      }),
      { numRuns: 30 },
    )
  })
})
