import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seeded } from '../../../bench/context/generate.ts'
import { type Amount, KINDS, plain, sumOf, total } from '../../../src/plugins/compression/amount.ts'
import { type Fitted, TokenFit } from '../../../src/plugins/compression/token-fit.ts'
import { TokenEstimator } from '../../../src/plugins/compression/tokens.ts'

const MODEL = 'x/y'

async function estimator(memory?: ConstructorParameters<typeof TokenEstimator>[0]): Promise<TokenEstimator> {
  const tokens = new TokenEstimator(memory)
  await tokens.load()
  return tokens
}

const ascii = (tokens: number, messages = 1): { amount: Amount; messages: number } => ({ amount: plain(tokens), messages })
const of = (units: Readonly<Record<string, number>>): Amount => KINDS.map(({ name }) => units[name] ?? 0)

describe('what is learned of a tokenizer', () => {
  it('brings estimates near what the engine reports, for ASCII and for other scripts apart', async () => {
    const tokens = await estimator()
    for (let round = 0; round < 60; round++) {
      const [words, han] = round % 2 === 0 ? [1000, 10] : [300, 900]
      tokens.learn(MODEL, { amount: of({ Words: words, Han: han }), messages: 4 }, words * 1.2 + han * 2.5 + 4 * 5)
    }
    const near = (estimate: number, truth: number): void => {
      expect(estimate).toBeGreaterThan(truth)
      expect(estimate).toBeLessThan(truth * 1.1)
    }
    near(tokens.bound(MODEL, plain(1000)) / 1000, 1.2)
    near(tokens.bound(MODEL, of({ Han: 1000 })) / 1000, 2.5)
  })

  it('leaves a script that was never seen on the safe side: a token for each of its bytes', async () => {
    const tokens = await estimator()
    for (let round = 0; round < 60; round++) tokens.learn(MODEL, ascii(1000), 1005)
    expect(tokens.bound(MODEL, plain(1000))).toBeLessThan(1100)
    for (const text of ['你好世界', 'Привет, мир', 'สวัสดีชาวโลก', 'नमस्ते दुनिया', '👋🌍']) {
      expect(tokens.bound(MODEL, tokens.amount(text.repeat(50))), text).toBeGreaterThan(0.9 * Buffer.byteLength(text.repeat(50)))
    }
  })

  it('is believed at once where a prompt was longer than estimated, and slowly where it was shorter', async () => {
    const tokens = await estimator()
    tokens.learn(MODEL, ascii(1000), 1003)
    tokens.learn(MODEL, ascii(1000), 1503)
    expect(tokens.bound(MODEL, plain(1000), 1)).toBeGreaterThan(1500)
    tokens.learn(MODEL, ascii(1000), 1003)
    expect(tokens.bound(MODEL, plain(1000), 1)).toBeGreaterThan(1300)
  })

  it('is corrected as fast after hundreds of reports, and after a restart', async () => {
    const kept = new Map<string, Fitted>()
    const memory = {
      read: async (model: string) => kept.get(model),
      write: (model: string, fitted: Fitted) => void kept.set(model, fitted),
    }
    const warm = await estimator(memory)
    for (let round = 0; round < 200; round++) warm.learn(MODEL, ascii(1000), 1005)
    const next = await estimator(memory)
    await next.remember(MODEL)
    for (const tokens of [warm, next]) {
      for (const ratio of [1.3, 1.8, 4]) {
        tokens.learn(MODEL, ascii(1000), 1000 * ratio + 5)
        expect(tokens.bound(MODEL, plain(1000), 1), `${ratio}`).toBeGreaterThan(1000 * ratio)
        expect(tokens.bound(MODEL, plain(1000), 1), `${ratio}`).toBeLessThan(1400 * ratio)
      }
      for (let round = 0; round < 60; round++) tokens.learn(MODEL, ascii(1000), 1005)
      expect(tokens.likely(MODEL, plain(1000), 1)).toBeLessThan(1250)
    }
  })

  it('is less than half a token for a sign, where a tokenizer takes no more for Russian, Arabic, Hindi or Thai', async () => {
    for (const sample of [
      'Привет, как твои дела сегодня? ',
      'كيف حالك اليوم يا صديقي العزيز؟ ',
      'आज आप कैसे हैं मेरे दोस्त? ',
      'สวัสดีครับวันนี้คุณเป็นอย่างไรบ้าง ',
    ]) {
      const tokens = await estimator()
      const text = sample.repeat(50)
      const truth = tokens.raw(text)
      for (let round = 0; round < 40; round++) tokens.learn(MODEL, { amount: tokens.amount(text), messages: 1 }, truth + 5)
      expect(tokens.bound(MODEL, tokens.amount(text), 1) / truth, sample).toBeLessThan(1.1)
    }
  })

  it('is kept for the next process, and a strange report cannot break it', async () => {
    const kept = new Map<string, Fitted>()
    const memory = {
      read: async (model: string) => kept.get(model),
      write: (model: string, fitted: Fitted) => void kept.set(model, fitted),
    }
    const first = await estimator(memory)
    for (let round = 0; round < 10; round++) first.learn(MODEL, ascii(1000), 2003)
    first.learn(MODEL, ascii(10), 5000)
    first.learn('odd/y', ascii(1000), 1e9)
    first.learn('odd/z', ascii(1000), 1)
    for (const figure of [Number.NaN, Number.POSITIVE_INFINITY, 0, -1]) first.learn(MODEL, ascii(1000), figure)
    const next = await estimator(memory)
    for (const model of [MODEL, 'odd/y', 'odd/z']) await next.remember(model)
    expect(next.knows('odd/w')).toBe(false)
    const estimate = next.bound(MODEL, plain(1000))
    expect(estimate).toBeGreaterThan(2000)
    expect(estimate).toBeLessThan(2300)
    expect(next.bound('odd/y', plain(1000))).toBeLessThan(7000)
    expect(next.bound('odd/z', plain(1000))).toBeGreaterThan(500)
  })

  it('never makes parts together shorter than the whole', () => {
    const some = fc.double({ min: 0, max: 1e5, noNaN: true })
    const amount: fc.Arbitrary<Amount> = fc.tuple(...KINDS.map(() => some))
    const size = fc.record({ amount, messages: fc.integer({ min: 0, max: 100 }) })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(size, fc.double({ min: 0.3, max: 8, noNaN: true })), { maxLength: 20 }),
        fc.array(size, { minLength: 1 }),
        (reports, parts) => {
          const fit = new TokenFit()
          for (const [{ amount: told, messages }, ratio] of reports) {
            if (total(told) > 200) fit.learn(told, messages, total(told) * ratio)
          }
          const whole = fit.bound(
            sumOf(parts.map((part) => part.amount)),
            parts.reduce((sum, { messages }) => sum + messages, 0),
          )
          const apart = parts.reduce((sum, part) => sum + fit.bound(part.amount, part.messages), 0)
          expect(Number.isFinite(whole)).toBe(true)
          expect(apart).toBeGreaterThanOrEqual(whole * (1 - 1e-6))
        },
      ),
    )
  })

  /** Tokens by kind and of a template, within what tokenizers take. */
  const tokenizer = fc.tuple(
    ...[...KINDS, { least: 3, most: 7 }].map(({ least, most }) => fc.double({ min: least, max: most, noNaN: true })),
  )
  const truth = (weights: readonly number[], amount: Amount, messages: number): number =>
    [...amount, messages].reduce((sum, units, at) => sum + units * (weights[at] ?? 0), 0)
  const units = fc.constantFrom(0, 0, 30, 300, 1000)
  const mixture: fc.Arbitrary<Amount> = fc.tuple(...KINDS.map(() => units)).filter((amount) => total(amount) > 200)

  it('has the very first prompt under its bound, whatever the tokenizer', () => {
    fc.assert(
      fc.property(tokenizer, mixture, (weights, amount) => {
        expect(new TokenFit().bound(amount, 3)).toBeGreaterThanOrEqual(truth(weights, amount, 3) * (1 - 1e-9))
      }),
    )
  })

  it('has a kind that was never seen under its bound, however well the others are known', () => {
    fc.assert(
      fc.property(tokenizer, fc.array(mixture, { minLength: 1, maxLength: 40 }), fc.nat(KINDS.length - 1), (weights, told, unseen) => {
        const fit = new TokenFit()
        for (const amount of told) {
          const seen = amount.map((each, at) => (at === unseen ? 0 : each))
          if (total(seen) > 0) fit.learn(seen, 3, truth(weights, seen, 3))
        }
        const alone = KINDS.map((_, at) => (at === unseen ? 1000 : 0))
        expect(fit.bound(alone, 0)).toBeGreaterThanOrEqual(truth(weights, alone, 0) * (1 - 1e-9))
      }),
    )
  })

  it('has all but one of a thousand next prompts under its bound, whatever they are mixtures of, where their content scatters', () => {
    const next = seeded(7)
    const below = (limit: number): number => Math.floor(next() * limit)
    const TOKENIZERS = 200
    const PROMPTS = 50
    let over = 0
    for (let round = 0; round < TOKENIZERS; round++) {
      const weights = [...KINDS, { least: 3, most: 7 }].map(({ least, most }) => least + next() * (most - least))
      const scatter = 0.08 * next()
      const fit = new TokenFit()
      for (let report = 0; report < PROMPTS; report++) {
        const amount = KINDS.map(() => (next() < 0.3 ? below(1000) : 0)).with(below(KINDS.length), 500)
        const tokens = truth(weights, amount, 3) * (1 + scatter * (2 * next() - 1))
        if (tokens > fit.bound(amount, 3)) over++
        fit.learn(amount, 3, tokens)
      }
    }
    expect(over).toBeLessThanOrEqual((TOKENIZERS * PROMPTS) / 1000)
  })
})
