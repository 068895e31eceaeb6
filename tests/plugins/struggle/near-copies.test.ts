import { describe, expect, it } from 'vitest'
import { Lexer } from '../../../src/plugins/struggle/lexer.ts'
import { NearCopies } from '../../../src/plugins/struggle/near-copies.ts'
import { RecentUnits } from '../../../src/plugins/struggle/recent-units.ts'

/** Lengths of a copy that a track goes through, in units. */
function periodsOf(text: string): number[] {
  const recent = new RecentUnits(256)
  const track = new NearCopies(recent, 256)
  const periods: number[] = []
  new Lexer((hash, kind, start, end, value) => {
    recent.add(hash, kind, start, end, value)
    track.add()
    if (track.copies > 0 && track.period !== periods.at(-1)) periods.push(track.period)
  }).push(text)
  return periods
}

const word = (n: number): string => `${'kqbxtlfvyczmrdgwnhspj'[(n * 8) % 21]}${'aeiou'[n % 5]}${'lrnstm'[n % 6]}ek`
const repeat = (many: number, make: (n: number) => string): string => Array.from({ length: many }, (_, n) => make(n)).join('')

describe('the length of a copy', () => {
  it('is found where a track began with several of them', () => {
    // No five units of a row stay: only as long as ten rows come again does a track begin.
    const row = (n: number): string => `the ${word(n)} or ${word(n + 7)} in here\n`
    const periods = periodsOf(repeat(30, (n) => row(n % 10)) + repeat(120, row))
    expect(periods[0]).toBe(70)
    expect(periods.at(-1)).toBe(7)
  })

  it('is found where a track began with a part of it', () => {
    const part = (n: number): string => `add the ${word(n)} and ${word(n + 5)} of all that is left to the ${word(n + 9)} here\n`
    const periods = periodsOf(repeat(40, (n) => `round ${n} of many\n${repeat(6, part)}`))
    expect(periods[0]).toBe(15)
    expect(periods.at(-1)).toBe(95)
  })

  it('stays where words come and go', () => {
    const sentence = (n: number): string =>
      `He looked at the ${n % 3 ? '' : 'grey '}sea and said that the ${n % 4 ? '' : 'old '}boats would come back. `
    for (const period of periodsOf(repeat(80, sentence))) expect([14, 15, 16]).toContain(period)
  })
})
