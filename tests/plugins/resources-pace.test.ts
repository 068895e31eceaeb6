import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nextInterval, nextTrend, type PaceReading } from '../../src/plugins/resources/pace.ts'

const GIB = 2 ** 30
const calm: PaceReading = { level: 'normal', freeShare: 0.6, trend: undefined, load: 0.3, discharging: false }

describe('the pace of looking', () => {
  it('is as asked while the machine works and memory lasts', () => {
    expect(nextInterval(calm, 2000)).toBe(2000)
  })

  it('is four times as fast under pressure, and while memory is soon gone', () => {
    expect(nextInterval({ ...calm, level: 'pressured' }, 2000)).toBe(500)
    expect(nextInterval({ ...calm, trend: { bytesPerSecond: -GIB, secondsLeft: 30 } }, 2000)).toBe(500)
    expect(nextInterval({ ...calm, freeShare: 0.2, trend: { bytesPerSecond: -5e6 } }, 2000)).toBe(500)
  })

  it('is slower while nothing happens, and on battery', () => {
    expect(nextInterval({ ...calm, load: 0.01 }, 2000)).toBe(8000)
    expect(nextInterval({ ...calm, discharging: true }, 2000)).toBe(8000)
  })

  it('stays within what was asked for and its bounds, whatever the machine does', () => {
    const reading = fc.record({
      level: fc.constantFrom('normal' as const, 'pressured' as const, 'critical' as const),
      freeShare: fc.double({ min: 0, max: 1, noNaN: true }),
      trend: fc.option(fc.record({ bytesPerSecond: fc.double({ min: -1e12, max: 1e12, noNaN: true }) }), { nil: undefined }),
      load: fc.double({ min: 0, max: 1, noNaN: true }),
      discharging: fc.boolean(),
    })
    fc.assert(
      fc.property(reading, fc.integer({ min: 10, max: 600_000 }), (seen, asked) => {
        const interval = nextInterval(seen, asked)
        expect(interval).toBeGreaterThanOrEqual(Math.min(asked, 250))
        expect(interval).toBeLessThanOrEqual(Math.max(asked, 15_000))
      }),
    )
  })
})

describe('the trend', () => {
  it('approaches a steady rate, and says when nothing will be left', () => {
    let trend = nextTrend(undefined, { ms: 1000, gainedBytes: 0, availableBytes: 10 * GIB })
    for (let second = 0; second < 200; second++) trend = nextTrend(trend, { ms: 1000, gainedBytes: -1e8, availableBytes: 1e9 })
    expect(trend.bytesPerSecond).toBeCloseTo(-1e8, -6)
    expect(trend.secondsLeft).toBeCloseTo(10, 0)
  })

  it('is never beyond the rates that were seen', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 60_000 }), fc.integer({ min: -1e9, max: 1e9 })), { minLength: 1 }),
        (looks) => {
          let trend: ReturnType<typeof nextTrend> | undefined
          for (const [ms, gainedBytes] of looks) trend = nextTrend(trend, { ms, gainedBytes, availableBytes: 1e9 })
          const rates = [0, ...looks.map(([ms, gained]) => (gained * 1000) / ms)]
          expect(trend?.bytesPerSecond).toBeGreaterThanOrEqual(Math.min(...rates) - 1)
          expect(trend?.bytesPerSecond).toBeLessThanOrEqual(Math.max(...rates) + 1)
        },
      ),
    )
  })

  it('foretells nothing where memory stays or is gained, or no time has passed', () => {
    expect(nextTrend(undefined, { ms: 1000, gainedBytes: 5, availableBytes: 1 })).not.toHaveProperty('secondsLeft')
    expect(nextTrend(undefined, { ms: 0, gainedBytes: -5e9, availableBytes: 1 })).toEqual({ bytesPerSecond: 0 })
  })
})
