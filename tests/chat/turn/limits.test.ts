import { expect, it } from 'vitest'
import { DEFAULT_TURN } from '../../../src/chat/settings.ts'
import { firstTokenLimit } from '../../../src/chat/turn/generation.ts'

/** F6, F7 and F9 with the limits that people run with: what the tests over sockets show, scaled down. */
it('waits for a first token that takes 20 s, and no longer than 30 s for one that never comes', () => {
  const limit = firstTokenLimit(DEFAULT_TURN.firstTokenMs, 12, undefined)
  expect(limit).toBe(30_000)
  expect(limit).toBeGreaterThan(20_000)
})

it('gives a long prompt four times what reading it should take', () => {
  expect(firstTokenLimit(DEFAULT_TURN.firstTokenMs, 1000, undefined)).toBe(200_000)
  expect(firstTokenLimit(DEFAULT_TURN.firstTokenMs, 1000, 400)).toBe(30_000)
  expect(firstTokenLimit(DEFAULT_TURN.firstTokenMs, 8000, 400)).toBe(80_000)
})

it('leaves an answer that stands still after 15 s', () => {
  expect(DEFAULT_TURN.gapMs).toBe(15_000)
})
