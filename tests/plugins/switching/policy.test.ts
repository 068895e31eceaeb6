import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RecordedEvent, SelectionRequest, StruggleRequest } from '../../../src/chat/policy.ts'
import type { PressureLevel } from '../../../src/chat/resources.ts'
import { switchingPolicy } from '../../../src/plugins/switching/index.ts'
import { experienceOf } from '../../../src/plugins/switching/learned.ts'
import type { SwitchingState } from '../../../src/plugins/switching/state.ts'
import { candidate, event, GB, OPTIONS, request } from './support.ts'

const policy = switchingPolicy(OPTIONS)

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
    const blind = request([small], { needs: { contextTokens: 1024, vision: true, tools: false } })
    expect(choose(fold(), blind)).toEqual([undefined, 'none'])
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
    expect(choose(switched, asked(1e12 + 329_999))).toEqual(['small', 'not-calm-yet'])
    expect(choose(switched, asked(1e12 + 330_000))).toEqual(['middle', 'upgrade'])
  })

  it('a rescue ignores the dwell time; going back to what failed waits for it, and for no more', () => {
    const switched = fold(event('model.switched', { from: 'large', to: 'small', reason: 'asked', rescue: false }, 1e12))
    expect(choose(switched, asked(1e12 + 1000, { purpose: 'rescue', failed: ['small'] }))).toEqual(['middle', 'rescue'])
    const rescued = fold(event('model.switched', { from: 'middle', to: 'small', reason: 'crashed', rescue: true }, 1e12))
    expect(choose(rescued, asked(1e12 + 29_999))).toEqual(['small', 'dwell'])
    expect(choose(rescued, asked(1e12 + 30_000))).toEqual(['middle', 'upgrade'])
  })

  it('stays where another is hardly better', () => {
    const twins = [candidate({ model: 'a', gb: 2, loaded: true }), candidate({ model: 'b', gb: 2.02, loaded: true })]
    expect(choose(fold(), request(twins, { current: 'a' }))).toEqual(['a', 'close-enough'])
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
    const at = (freeGb: number, level: PressureLevel): SelectionRequest =>
      request(loaded, { current: 'middle', time: 1e12 + 1, freeGb, level })
    expect(choose(switched, at(3, 'normal'))[0]).toBe('middle')
    expect(choose(switched, at(3, 'pressured'))).toEqual(['small', 'downgrade'])
    expect(choose(switched, at(4.1, 'pressured'))[0], 'what it holds already is no loss').toBe('middle')
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
    expect(choose(state, request([middle], { time: 1e12 + 2000 })), 'a resting one before none').toEqual(['middle', 'last-resort'])
  })

  it('what somebody else loaded is not left for memory that leaving would not free', () => {
    const foreign = [candidate({ model: 'small', gb: 1 }), candidate({ model: 'middle', gb: 8, loaded: true, owned: false })]
    expect(choose(fold(), request(foreign, { current: 'middle', freeGb: 3, level: 'pressured' }))[0]).toBe('middle')
  })
})

describe('when memory is short', () => {
  const press = event('resources.pressured', { level: 'critical', availableBytes: 0, totalBytes: 1 }, 1e12 - 1000)

  it('a shorter context of the same model comes before a smaller model', () => {
    const roomy = candidate({ model: 'roomy', gb: 6, kvGb: 2 })
    const small = candidate({ model: 'small', gb: 1 })
    const { model, contextLength } = policy.select(fold(), request([roomy, small], { freeGb: 9.1 }))
    expect([model, contextLength]).toEqual(['roomy', 4096])
    expect(policy.select(fold(), request([roomy, small], { freeGb: 8.1 })).model).toBe('small')
  })

  it('a smaller quantisation of the same family comes before a smaller model', () => {
    const models = [
      candidate({ model: 'qwen2.5-7b-q8', gb: 8, parameters: 7.6e9, bits: 8 }),
      candidate({ model: 'qwen2.5-7b-q4', gb: 4.5, parameters: 7.6e9, bits: 4 }),
      candidate({ model: 'qwen2.5-3b-q8', gb: 3.3, parameters: 3.1e9, bits: 8 }),
    ]
    expect(choose(fold(), request(models, { freeGb: 9 }))[0]).toBe('qwen2.5-7b-q4')
    expect(choose(fold(), request(models, { freeGb: 8 }))[0]).toBe('qwen2.5-3b-q8')
  })

  it('an exhausted machine gets the smallest with the smallest window, and more only after five calm minutes', () => {
    const small = candidate({ model: 'small', gb: 1, kvGb: 0.5 })
    const big = candidate({ model: 'big', gb: 6 })
    const first = request([small, big], { freeGb: 1, level: 'critical' })
    const decision = policy.select(fold(press), first)
    expect(decision).toMatchObject({ model: 'small', reason: 'minimal', contextLength: 2048 })
    const calm = event('resources.recovered', { availableBytes: 1, totalBytes: 1 }, 1e12 + 10_000)
    const state = fold(press, event('model.selected', { request: first, decision }), calm)
    const later = (ms: number): SelectionRequest =>
      request([candidate({ model: 'small', gb: 1, loaded: true }), big], { current: 'small', time: 1e12 + ms })
    expect(choose(state, later(30_000))).toEqual(['small', 'minimal'])
    expect(choose(state, later(310_000))).toEqual(['big', 'upgrade'])
  })

  it('where nothing leaves the headroom, the best that fits into a part of what is free is used, and stays while it can', () => {
    const models = (loaded: string): ReturnType<typeof candidate>[] =>
      [
        { model: 'small', gb: 1 },
        { model: 'middle', gb: 2.4 },
        { model: 'big', gb: 3.4 },
      ].map((sketch) => candidate({ ...sketch, loaded: sketch.model === loaded }))
    const first = request(models(''), { freeGb: 4.4, level: 'pressured' })
    const decision = policy.select(fold(press), first)
    expect(decision).toMatchObject({ model: 'middle', reason: 'tight' })
    const state = fold(press, event('model.selected', { request: first, decision }))
    const at = (freeGb: number): SelectionRequest =>
      request(models('middle'), { current: 'middle', time: 1e12 + 1000, freeGb, level: 'pressured' })
    expect(choose(state, at(2)), 'it holds 2.4 itself').toEqual(['middle', 'tight'])
    expect(choose(state, at(3.5)), 'more, but no calm').toEqual(['middle', 'tight'])
    expect(choose(state, at(0.8))[0]).toBe('small')
  })

  it('after a load that memory did not allow, nothing as large is tried for a minute', () => {
    const models = [candidate({ model: 'a', gb: 2 }), candidate({ model: 'b', gb: 2.1 }), candidate({ model: 'c', gb: 0.7 })]
    const first = request(models)
    const decision = policy.select(fold(), first)
    expect(decision.model).not.toBe('c')
    const failed = event('model.load.failed', { model: decision.model ?? '', code: 'MAI_LOAD_REFUSED', memory: true })
    const state = fold(event('model.selected', { request: first, decision }), failed)
    const again = { purpose: 'rescue', failed: [decision.model ?? ''] } as const
    expect(
      choose(
        state,
        request(
          models.filter(({ memory }) => memory.totalBytes !== 2e9),
          again,
        ),
      ),
    ).toEqual(['c', 'rescue'])
    expect(choose(state, request(models, { time: 1e12 + 60_000 }))[0]).not.toBe('c')
  })

  it('free memory is what the system says, and never more than what own loads must have left', () => {
    const loaded = candidate({ model: 'loaded', gb: 14, loaded: true, owned: false })
    const next = candidate({ model: 'next', gb: 3 })
    const rows = policy.select(fold(), request([loaded, next], { freeGb: 18 })).candidates
    expect(rows.find(({ model }) => model === 'next')?.excluded).toBe('memory')
  })

  it('graphics memory counts beside the other, unless it is the same', () => {
    const big = [candidate({ model: 'big', gb: 12 }), candidate({ model: 'small', gb: 1 })]
    const gpu = (unified: boolean): SelectionRequest => {
      const asked = request(big, { freeGb: 10 })
      return { ...asked, resources: { ...asked.resources, gpus: [{ name: 'g', totalBytes: 8 * GB, freeBytes: 8 * GB, unified }] } }
    }
    const rule = (asked: SelectionRequest): string | undefined => policy.select(fold(), asked).candidates[0]?.excluded
    expect(rule(gpu(false))).toBeUndefined()
    expect(rule(gpu(true))).toBe('memory')
  })
})

describe('the task', () => {
  const needs = (changes: Partial<SelectionRequest['needs']>): SelectionRequest['needs'] => ({
    contextTokens: 1024,
    vision: false,
    tools: false,
    ...changes,
  })
  const same = { gb: 4.5, parameters: 7.6e9 }
  const models = [
    candidate({ model: 'x/qwen2.5-7b-instruct', ...same }),
    candidate({ model: 'x/qwen2.5-coder-7b-instruct', ...same }),
    candidate({ model: 'x/qwen2.5-math-7b-instruct', ...same }),
    candidate({ model: 'x/qwen2.5-vl-7b-instruct', ...same, vision: true }),
    candidate({ model: 'x/nomic-embed-text-7b', ...same }),
  ]
  it.each([
    ['chat', 'x/qwen2.5-7b-instruct'],
    ['analysis', 'x/qwen2.5-7b-instruct'],
    ['code', 'x/qwen2.5-coder-7b-instruct'],
    ['mathematics', 'x/qwen2.5-math-7b-instruct'],
    ['image', 'x/qwen2.5-vl-7b-instruct'],
  ] as const)('%s goes to %s', (task, expected) => {
    expect(policy.select(fold(), request(models, { needs: needs({ task }) })).model).toBe(expected)
  })

  it('what was trained on English alone answers in another script only where nothing else fits', () => {
    const english = candidate({ model: 'x/smollm2-1.7b-instruct', gb: 1 })
    const wide = candidate({ model: 'x/qwen2.5-0.5b-instruct', gb: 0.5 })
    const thai = { needs: needs({ script: 'thai' }) }
    expect(choose(fold(), request([english, wide], thai))).toEqual(['x/qwen2.5-0.5b-instruct', 'most-efficient'])
    expect(choose(fold(), request([english], thai))).toEqual(['x/smollm2-1.7b-instruct', 'last-resort'])
  })

  it('a configured quality stands above every prior', () => {
    const plain = request(models, { needs: needs({ task: 'code' }) })
    const praised = plain.candidates.map((c) => (c.model.includes('math') ? { ...c, quality: 70 } : c))
    expect(policy.select(fold(), { ...plain, candidates: praised }).model).toBe('x/qwen2.5-math-7b-instruct')
  })

  it('the widest may try once where no window seems wide enough', () => {
    const long = { needs: needs({ contextTokens: 50_000 }) }
    const windows = [candidate({ model: 'narrow', window: 8192 }), candidate({ model: 'wide', window: 32_768 })]
    expect(choose(fold(), request(windows, long))).toEqual(['wide', 'widest'])
    expect(choose(fold(), request(windows, { ...long, purpose: 'rescue', failed: ['wide'] }))).toEqual([undefined, 'none'])
  })
})

describe('what happened here', () => {
  const a = candidate({ model: 'a', gb: 2 })
  const b = candidate({ model: 'b', gb: 1.9 })
  const score = (state: SwitchingState, model: string): number =>
    policy.select(state, request([a, b])).candidates.find((row) => row.model === model)?.score ?? Number.NaN

  it('loops and empty answers lower a model, good answers bring it back', () => {
    const poor = fold(event('generation.failed', { model: 'a', kind: 'loop', code: 'loop' }))
    expect(choose(fold(), request([a, b]))[0]).toBe('a')
    expect(choose(poor, request([a, b]))[0]).toBe('b')
    const good = Array.from({ length: 60 }, () => event('generation.finished', { model: 'a', ms: 1, firstTokenMs: 1, completionTokens: 1 }))
    expect(
      choose(
        good.reduce((state, each) => policy.reduce(state, each), poor),
        request([a, b]),
      )[0],
    ).toBe('a')
  })

  it('a server that goes away, or a window that is full, is not held against a model', () => {
    for (const kind of ['backend-lost', 'model-unloaded', 'context-full'] as const)
      expect(score(fold(event('generation.failed', { model: 'a', kind, code: kind })), 'a')).toBe(score(fold(), 'a'))
  })

  it('speeds seen here replace those guessed, also for models that were not tried', () => {
    const first = request([a, b])
    const decision = policy.select(fold(), first)
    const slow = event('generation.finished', { model: 'a', ms: 301_000, firstTokenMs: 1000, completionTokens: 300 })
    const state = fold(event('model.selected', { request: first, decision }), slow)
    expect(experienceOf(state.learned, 'a')).toMatchObject({ tokensPerSecond: 1 })
    expect(state.learned.bandwidth).toBeCloseTo(2e9)
    expect(score(state, 'a')).toBeLessThan(score(fold(), 'a'))
    expect(score(state, 'b')).toBeLessThan(score(fold(), 'b'))
  })

  it('a person who asks for a model, or pins it, raises it', () => {
    const asked = request([a, b], { requested: 'b' })
    const state = fold(event('model.selected', { request: asked, decision: policy.select(fold(), asked) }))
    expect(score(state, 'b')).toBeGreaterThan(score(fold(), 'b'))
    const pinned = fold(event('pin.changed', { model: 'b' }), event('pin.changed', { model: null }))
    expect(score(pinned, 'b')).toBeGreaterThan(score(fold(), 'b'))
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
        expect(['failed', 'vision', 'tools']).not.toContain(rule(model))
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

  it('more free memory never leads to a model that fits worse', () => {
    fc.assert(
      fc.property(pasts, requests, fc.double({ min: 0, max: 10, noNaN: true }), (past, asked, moreGb) => {
        const state = fold(...events(past))
        const { memory } = asked.resources
        const roomier = {
          ...asked,
          resources: { ...asked.resources, memory: { ...memory, availableBytes: memory.availableBytes + moreGb * GB } },
        }
        const fits = (one: SelectionRequest): boolean => {
          const { model, candidates } = policy.select(state, one)
          return model !== undefined && candidates.find((row) => row.model === model)?.excluded === undefined
        }
        if (fits(asked)) expect(fits(roomier)).toBe(true)
      }),
    )
  })

  // A machine of 20 GB: what others take swings between two levels; Mai's own models stand beside it.
  const waves = fc.record({
    periodS: fc.oneof(fc.constantFrom(1, 7, 59, 60, 299, 301, 330, 599, 600, 601, 605, 660, 661, 3600), fc.integer({ min: 1, max: 3600 })),
    duty: fc.oneof(fc.constant(0.5), fc.double({ min: 0.01, max: 0.99, noNaN: true })),
    quietGb: fc.double({ min: 0, max: 9, noNaN: true }),
    busyGb: fc.double({ min: 6, max: 22, noNaN: true }),
    everyS: fc.constantFrom(1, 5, 13),
  })

  it('under square waves of 1 s to 1 h at most two switches fall into any five and a half minutes', () => {
    fc.assert(
      fc.property(waves, ({ periodS, duty, quietGb, busyGb, everyS }) => {
        const sizes = { small: 1, middle: 3, big: 6, huge: 11 }
        let state = fold()
        let current: keyof typeof sizes | undefined
        let level: PressureLevel = 'normal'
        const switches: number[] = []
        for (let second = 0; second < Math.max(2400, 3 * periodS); second += everyS) {
          const busy = (second % periodS) / periodS >= duty
          const time = 1e12 + second * 1000
          const free = Math.max(0, 20 - (busy ? busyGb : quietGb) - (current ? sizes[current] : 0))
          const before: PressureLevel = level
          level = free < 2 ? 'critical' : free < (level === 'normal' ? 4 : 5) ? 'pressured' : 'normal'
          const sample = { availableBytes: free * GB, totalBytes: 20 * GB }
          if (level !== before)
            state = policy.reduce(
              state,
              level === 'normal' ? event('resources.recovered', sample, time) : event('resources.pressured', { level, ...sample }, time),
            )
          const models = Object.entries(sizes).map(([model, gb]) => candidate({ model, gb, loaded: current === model }))
          const asked = request(models, { time, current, freeGb: free, level })
          const decision = policy.select(state, asked)
          state = policy.reduce(state, event('model.selected', { request: asked, decision }, time))
          const fitting = decision.candidates.filter(({ excluded }) => excluded === undefined).map(({ model }) => model)
          if (fitting.length > 0 && !fitting.includes(decision.model ?? '')) throw new Error(`${decision.model} does not fit`)
          if (current !== undefined && decision.model !== current) {
            switches.push(second)
            const switched = { from: current, to: decision.model ?? '', reason: decision.reason, rescue: false }
            state = policy.reduce(state, event('model.switched', switched, time))
          }
          current = decision.model as keyof typeof sizes
        }
        for (const at of switches) expect(switches.filter((other) => other >= at && other < at + 330).length).toBeLessThanOrEqual(2)
      }),
      { numRuns: 40 },
    )
  })
})
