import { describe, expect, it } from 'vitest'
import { type Ratios, TokenEstimator } from '../../../src/plugins/compression/tokens.ts'

const MODEL = 'x/y'

async function estimator(memory?: ConstructorParameters<typeof TokenEstimator>[0]): Promise<TokenEstimator> {
  const tokens = new TokenEstimator(memory)
  await tokens.load()
  return tokens
}

describe('what is learned of a tokenizer', () => {
  it('brings estimates near what the engine reports, for ASCII and for other text apart', async () => {
    const tokens = await estimator()
    for (let round = 0; round < 60; round++) {
      const size = round % 2 === 0 ? { plain: 1000, foreign: 10, messages: 4 } : { plain: 300, foreign: 900, messages: 4 }
      tokens.learn(MODEL, size, size.plain * 1.2 + size.foreign * 2.5 + 4 * size.messages)
    }
    expect(tokens.scaled(MODEL, { plain: 1000, foreign: 0 }) / 1000).toBeGreaterThan(1.2)
    expect(tokens.scaled(MODEL, { plain: 1000, foreign: 0 }) / 1000).toBeLessThan(1.2 * 1.35)
    expect(tokens.scaled(MODEL, { plain: 0, foreign: 1000 }) / 1000).toBeGreaterThan(2.5)
    expect(tokens.scaled(MODEL, { plain: 0, foreign: 1000 }) / 1000).toBeLessThan(2.5 * 1.35)
  })

  it('is believed at once where a prompt was longer than estimated, and slowly where it was shorter', async () => {
    const tokens = await estimator()
    const size = { plain: 1000, foreign: 0, messages: 1 }
    tokens.learn(MODEL, size, 1003)
    tokens.learn(MODEL, size, 1503)
    expect(tokens.scaled(MODEL, size)).toBeGreaterThan(1500)
    tokens.learn(MODEL, size, 1003)
    expect(tokens.scaled(MODEL, size)).toBeGreaterThan(1300)
  })

  it('is kept for the next process, and a strange report cannot break it', async () => {
    const kept = new Map<string, Ratios>()
    const memory = {
      read: async (model: string) => kept.get(model),
      write: (model: string, ratios: Ratios) => void kept.set(model, ratios),
    }
    const first = await estimator(memory)
    first.learn(MODEL, { plain: 1000, foreign: 0, messages: 1 }, 2003)
    first.learn(MODEL, { plain: 10, foreign: 0, messages: 1 }, 5000)
    first.learn('odd/y', { plain: 1000, foreign: 0, messages: 1 }, 1e9)
    const next = await estimator(memory)
    await next.remember(MODEL)
    await next.remember('odd/y')
    const estimate = next.scaled(MODEL, { plain: 1000, foreign: 0 })
    expect(estimate).toBeGreaterThan(2000)
    expect(estimate).toBeLessThan(2300)
    expect(next.scaled('odd/y', { plain: 1000, foreign: 0 })).toBeLessThan(7000)
  })
})
