import { describe, expect, it } from 'vitest'
import { progressText, waitingText } from '../../../src/cli/terminal/progress.ts'

describe('what is said while something loads', () => {
  it.each([
    ['nothing of the time left at first', { began: 0, fraction: 0, at: 100 }, 100, 'loading m 0 %'],
    ['nothing of it while that would be a guess', { began: 0, fraction: 0.5, at: 100 }, 100, 'loading m 50 %'],
    ['the rest at the speed so far', { began: 0, fraction: 0.25, at: 1000 }, 1000, 'loading m 25 %, 3 s left'],
    ['less as time goes by', { began: 0, fraction: 0.25, at: 1000 }, 2500, 'loading m 25 %, 2 s left'],
    ['never nothing while it is not done', { began: 0, fraction: 0.99, at: 9900 }, 20_000, 'loading m 99 %, 1 s left'],
    ['minutes', { began: 0, fraction: 0.1, at: 30_000 }, 30_000, 'loading m 10 %, 4 min 30 s left'],
    ['hours', { began: 0, fraction: 0.1, at: 600_000 }, 600_000, 'loading m 10 %, 1 h 30 min left'],
    ['only that it is done at the end', { began: 0, fraction: 1, at: 1000 }, 1000, 'loading m 100 %'],
  ])('%s', (_, progress, now, text) => {
    expect(progressText('loading m', progress, now)).toBe(text)
  })

  it('counts the seconds of a long thought', () => {
    expect([waitingText(0, 500), waitingText(0, 4200)]).toEqual(['thinking…', 'thinking… 4 s'])
  })
})
