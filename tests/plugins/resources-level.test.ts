import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PressureLevel } from '../../src/chat/resources.ts'
import { criticalFloor, type LevelThresholds, nextLevel } from '../../src/plugins/resources/level.ts'

const GIB = 2 ** 30
const THRESHOLDS: LevelThresholds = { pressuredAt: 0.8, criticalAt: 0.9, criticalFreeBytes: GIB, stallPercent: 10 }

/** `used` percent of `total` bytes. */
const reading = (used: number, stallPercent?: number, totalBytes: number = 100 * GIB) => ({
  totalBytes,
  availableBytes: totalBytes - (totalBytes * used) / 100,
  stallPercent,
})

describe('nextLevel', () => {
  it.each<[PressureLevel, number, number | undefined, PressureLevel, string]>([
    ['normal', 50, undefined, 'normal', 'half used'],
    ['normal', 79, undefined, 'normal', 'just under the threshold'],
    ['normal', 80, undefined, 'pressured', 'at the threshold'],
    ['normal', 89, undefined, 'pressured', 'under the critical threshold'],
    ['normal', 90, undefined, 'critical', 'straight to critical'],
    ['pressured', 90, undefined, 'critical', 'from bad to worse'],
    ['pressured', 78, undefined, 'pressured', 'inside the band'],
    ['pressured', 75.1, undefined, 'pressured', 'at its edge'],
    ['pressured', 75, undefined, 'normal', '5 points below'],
    ['critical', 88, undefined, 'critical', 'inside the upper band'],
    ['critical', 85, undefined, 'pressured', '5 points below critical'],
    ['critical', 76, undefined, 'pressured', 'still inside the lower band'],
    ['critical', 74, undefined, 'normal', 'straight to normal'],
    ['normal', 10, 9.9, 'normal', 'a stall under the threshold'],
    ['normal', 10, 10, 'pressured', 'a stall at the threshold'],
    ['pressured', 10, 6, 'pressured', 'a stall inside the band'],
    ['pressured', 10, 5, 'normal', 'a stall 5 points below'],
    ['normal', 10, 100, 'pressured', 'a stall alone is never critical'],
    ['critical', 100, undefined, 'critical', 'all used'],
  ])('from %s with %d %% used and a stall of %s is %s: %s', (previous, used, stall, expected) => {
    expect(nextLevel(previous, reading(used, stall), THRESHOLDS)).toBe(expected)
  })

  it('is critical under 1 GiB free, whatever the share', () => {
    const late = { ...THRESHOLDS, criticalAt: 0.99 }
    expect(nextLevel('normal', { totalBytes: 64 * GIB, availableBytes: GIB - 1, stallPercent: 0 }, late)).toBe('critical')
    expect(nextLevel('normal', { totalBytes: 64 * GIB, availableBytes: GIB, stallPercent: 0 }, late)).toBe('pressured')
  })

  it('scales the floor down on small machines, so that they are not critical from the start', () => {
    expect(criticalFloor(2 * GIB, GIB)).toBe(GIB / 4)
    expect(criticalFloor(64 * GIB, GIB)).toBe(GIB)
    expect(nextLevel('normal', { totalBytes: GIB, availableBytes: 0.6 * GIB, stallPercent: 0 }, THRESHOLDS)).toBe('normal')
  })

  it('can be left even when the threshold for a stall is tiny', () => {
    expect(nextLevel('pressured', reading(10, 0), { ...THRESHOLDS, stallPercent: 0.5 })).toBe('normal')
  })

  it('is normal when nothing is known of the memory', () => {
    expect(nextLevel('critical', { totalBytes: 0, availableBytes: 0, stallPercent: undefined }, THRESHOLDS)).toBe('normal')
  })
})

describe('hysteresis', () => {
  const used = fc.double({ min: 0, max: 100, noNaN: true })
  const start = fc.constantFrom<PressureLevel>('normal', 'pressured', 'critical')
  const rank = { normal: 0, pressured: 1, critical: 2 } as const

  it('never flaps while readings stay within a band of less than 5 points', () => {
    const wobble = fc.array(fc.double({ min: 0, max: 4.9, noNaN: true }), { minLength: 2, maxLength: 60 })
    fc.assert(
      fc.property(
        start,
        fc.double({ min: 0, max: 95, noNaN: true }),
        wobble,
        fc.integer({ min: 1, max: 512 }),
        (first, base, offsets, gib) => {
          const levels = [first]
          for (const offset of offsets)
            levels.push(nextLevel(levels.at(-1) as PressureLevel, reading(base + offset, undefined, gib * GIB), THRESHOLDS))
          // After the first reading the level may only worsen: a way back would need 5 points.
          for (let i = 2; i < levels.length; i++)
            expect(rank[levels[i] as PressureLevel]).toBeGreaterThanOrEqual(rank[levels[i - 1] as PressureLevel])
        },
      ),
    )
  })

  it('settles: the same reading again does not change the level', () => {
    fc.assert(
      fc.property(start, used, fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: undefined }), (first, share, stall) => {
        const once = nextLevel(first, reading(share, stall), THRESHOLDS)
        expect(nextLevel(once, reading(share, stall), THRESHOLDS)).toBe(once)
      }),
    )
  })

  it('is never better for less memory', () => {
    fc.assert(
      fc.property(start, used, used, (first, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)]
        expect(rank[nextLevel(first, reading(more), THRESHOLDS)]).toBeGreaterThanOrEqual(rank[nextLevel(first, reading(less), THRESHOLDS)])
      }),
    )
  })
})
