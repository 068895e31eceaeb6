import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RecordedEvent, StruggleRequest } from '../../../src/chat/policy.ts'
import { type Circuits, circuitOf, foldCircuits, isResting, openCircuits } from '../../../src/plugins/switching/circuit.ts'
import { onStruggle } from '../../../src/plugins/switching/struggle.ts'

const COOLDOWN = 30_000
const T = 1e12

const base = { seq: 1, run: 'r' } as const
const failed = (time: number, code = 'MAI_BACKEND_ERROR'): RecordedEvent => ({
  ...base,
  time,
  type: 'generation.failed',
  payload: { model: 'm', kind: 'failed', code },
})
const finished = (time: number): RecordedEvent => ({
  ...base,
  time,
  type: 'generation.finished',
  payload: { model: 'm', ms: 1, firstTokenMs: 1, completionTokens: 1 },
})
// Only the decision's model is looked at.
const selected = (time: number): RecordedEvent =>
  ({ ...base, time, type: 'model.selected', payload: { request: {}, decision: { model: 'm' } } }) as unknown as RecordedEvent
const fold = (...events: RecordedEvent[]): Circuits => events.reduce(foldCircuits, {})
const rests = (circuits: Circuits, time: number): boolean => isResting(circuits, 'm', time, COOLDOWN)

describe('a circuit', () => {
  it('stays closed after one failure that may pass, and opens when more than half of a minute failed', () => {
    expect(rests(fold(failed(T)), T + 1)).toBe(false)
    expect(rests(fold(failed(T), failed(T + 1000)), T + 1001)).toBe(true)
    expect(rests(fold(finished(T), failed(T + 1000)), T + 1001)).toBe(false)
    expect(rests(fold(finished(T), failed(T + 1000), failed(T + 2000)), T + 2001)).toBe(true)
    expect(rests(fold(failed(T), failed(T + 61_000)), T + 61_001)).toBe(false)
  })

  it.each(['MAI_BACKEND_TIMEOUT', 'MAI_BACKEND_UNREACHABLE', 'MAI_AUTH_REFUSED', 'MAI_MODEL_NOT_FOUND'])('opens at once at %s', (code) => {
    const circuits = fold(failed(T, code))
    expect(rests(circuits, T + 1)).toBe(true)
    expect(openCircuits(circuits)).toEqual([{ model: 'm', reason: code, since: T }])
  })

  it.each(['MAI_CONTENT_FILTERED', 'MAI_CONTEXT_OVERFLOW', 'MAI_REQUEST_INVALID', 'context-full'])(
    'has nothing against a model for %s',
    (code) => {
      expect(fold(failed(T, code), failed(T + 1, code), failed(T + 2, code))).toEqual({})
    },
  )

  it('lets one attempt through after its rest, and no second one beside it', () => {
    const open = fold(failed(T), failed(T + 1))
    expect(rests(open, T + 1 + COOLDOWN)).toBe(false)
    const probed = foldCircuits(open, selected(T + 1 + COOLDOWN))
    expect(rests(probed, T + 2 + COOLDOWN)).toBe(true)
    expect(rests(foldCircuits(probed, finished(T + 3 + COOLDOWN)), T + 4 + COOLDOWN)).toBe(false)
    expect(rests(foldCircuits(probed, failed(T + 3 + COOLDOWN)), T + 4 + COOLDOWN)).toBe(true)
    // The attempt came to nothing: somebody stopped it.
    expect(rests(probed, T + 1 + 2 * COOLDOWN)).toBe(false)
  })

  it('opens again at the first failure where the last minute was mostly failures', () => {
    expect(rests(fold(failed(T), failed(T + 1), finished(T + 31_000), failed(T + 32_000)), T + 32_001)).toBe(true)
  })

  it('never keeps more than a minute, survives JSON, and closes with every success', () => {
    const step = fc.record({ ms: fc.integer({ min: 0, max: 20_000 }), ok: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        let time = T
        let circuits: Circuits = {}
        for (const { ms, ok } of steps) {
          time += ms
          circuits = foldCircuits(circuits, ok ? finished(time) : failed(time))
          if (ok) expect(openCircuits(circuits)).toEqual([])
          expect(JSON.parse(JSON.stringify(circuits))).toEqual(circuits)
          const samples = circuitOf(circuits, 'm')?.samples ?? []
          expect(samples.length).toBeLessThanOrEqual(20)
          expect(samples.every((sample) => time - sample.time <= 60_000)).toBe(true)
        }
      }),
    )
  })
})

describe('what to do about a struggle', () => {
  const request = (changes: Partial<StruggleRequest>): StruggleRequest => ({
    time: T,
    turnId: 't',
    model: 'm',
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
  const filtered = { error: { code: 'MAI_CONTENT_FILTERED', message: '' }, transient: false, alternatives: 2 }
  const decided = (changes: Partial<StruggleRequest>, failOverContentFilter = false): string => {
    const { action, delayMs } = onStruggle(request(changes), { failOverContentFilter })
    return `${action} ${delayMs}`
  }

  it('waits a random share of the backoff, and what the server asks for within bounds', () => {
    expect(decided({ random: 0 })).toBe('retry 0')
    expect(decided({ random: 1 })).toBe('retry 600')
    expect(decided({ retryAfterMs: 30_000 })).toBe('retry 30000')
    expect(decided({ retryAfterMs: 30_001 })).toBe('fail 0')
  })

  it('takes another route to the same model before another model, whatever its attempts', () => {
    expect(decided({ anotherRoute: true, transient: false, kind: 'stall', attempts: 4, attemptsOnModel: 4, alternatives: 2 })).toBe(
      'retry 0',
    )
    expect(decided({ anotherRoute: true, attempts: 6 })).toBe('fail 0')
  })

  it('does not evade a filter unless it is told to', () => {
    expect(decided(filtered)).toBe('fail 0')
    expect(decided(filtered, true)).toBe('switch 0')
    expect(decided({ ...filtered, alternatives: 0 }, true)).toBe('fail 0')
  })

  it('never asks the same model again for what cannot pass', () => {
    expect(decided({ transient: false, kind: 'context-full' })).toBe('fail 0')
    expect(decided({ transient: false, kind: 'stall' })).toBe('fail 0')
    expect(decided({ transient: false, kind: 'context-full', alternatives: 1 })).toBe('switch 0')
  })
})
