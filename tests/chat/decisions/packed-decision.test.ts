import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type PackedDecision, packDecision, unpackDecision } from '../../../src/chat/decisions/packed-decision.ts'
import type { Candidate, Decision, ScoredCandidate } from '../../../src/chat/policy.ts'
import { decode, encode } from '../../../src/plugins/store/json.ts'
import { candidate } from '../../plugins/switching/support.ts'

const models = (count: number): Candidate[] => Array.from({ length: count }, (_, place) => candidate({ model: `m${place}` }))

/** As the store gives it back. */
function written(packed: PackedDecision): PackedDecision {
  return decode(encode(packed))
}

const thousandth = fc.integer({ min: -200_000, max: 200_000 }).map((n) => n / 1000 + 0)
const rule = fc.option(fc.constantFrom('memory', 'window', 'circuit'), { nil: undefined })

function decisions(score: fc.Arbitrary<number>): fc.Arbitrary<{ readonly all: Candidate[]; readonly decision: Decision }> {
  return fc
    .record({
      judged: fc.array(fc.record({ score, excluded: rule }), { minLength: 1, maxLength: 30 }),
      chosen: fc.nat(),
      order: fc.constantFrom('ranked', 'backwards'),
    })
    .map(({ judged, chosen, order }) => {
      const all = models(judged.length)
      const rows = judged.map(({ score, excluded }, place): ScoredCandidate => {
        const model = `m${place}`
        return excluded === undefined ? { model, score } : { model, score, excluded }
      })
      const model = `m${chosen % judged.length}`
      const ranked = rows.filter((row) => row.excluded === undefined && row.model !== model).sort((a, b) => b.score - a.score)
      const fallbacks = (order === 'ranked' ? ranked : ranked.reverse()).map((row) => row.model)
      return { all, decision: { model, contextLength: 4096, reason: 'upgrade', fallbacks, candidates: rows } }
    })
}

describe('a decision written short', () => {
  it.each([
    ['thousandths', thousandth],
    ['whatever a policy of another kind scores', fc.double()],
  ])('comes back bit for bit: %s', (_, score) => {
    fc.assert(
      fc.property(decisions(score), ({ all, decision }) => {
        const packed = packDecision(decision, all)
        expect(packed).toBeDefined()
        if (packed) expect({ ...unpackDecision(written(packed), all) }).toEqual(decision)
      }),
    )
  })

  it('takes some five characters a model', () => {
    const all = models(200)
    const rows = all.map(({ model }, place) => ({ model, score: place / 1000, ...(place % 3 === 0 ? { excluded: 'memory' } : {}) }))
    const packed = packDecision({ model: 'm1', contextLength: 1, reason: 'x', fallbacks: ['m3'], candidates: rows }, all)
    expect(encode(packed).length).toBeLessThan(5 * 200)
  })

  it('is refused where models are named that nobody asked about, or rows stand in another order', () => {
    const all = models(2)
    const rows = [...all].map(({ model }) => ({ model, score: 1 }))
    const decision = { model: 'm0', contextLength: 1, reason: 'x', fallbacks: ['m1'], candidates: rows }
    expect(packDecision(decision, all)).toBeDefined()
    expect(packDecision({ ...decision, fallbacks: ['elsewhere'] }, all)).toBeUndefined()
    expect(packDecision({ ...decision, candidates: rows.toReversed() }, all)).toBeUndefined()
  })

  it('is read as it was written by former versions', () => {
    const all = ['b', 'a', 'c'].map((model) => candidate({ model }))
    const columns = { scores: [2.5, 2.5, -0.25], excluded: {} }
    const head = { model: 'c', contextLength: 4096, reason: 'upgrade' }
    const rows = [
      { model: 'b', score: 2.5 },
      { model: 'a', score: 2.5 },
      { model: 'c', score: -0.25 },
    ]
    const byScore = unpackDecision({ ...head, fallbacks: 'by-score', candidates: columns }, all)
    expect({ ...byScore }).toEqual({ ...head, fallbacks: ['a', 'b'], candidates: rows })
    const placed = unpackDecision({ ...head, fallbacks: [1, 0], candidates: { ...columns, excluded: { memory: [2] } } }, all)
    expect(placed.fallbacks).toEqual(['a', 'b'])
    expect(placed.candidates[2]).toEqual({ model: 'c', score: -0.25, excluded: 'memory' })
  })
})
