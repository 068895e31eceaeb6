import fc from 'fast-check'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { describe, expect, it } from 'vitest'
import { boundedCount } from '../../../src/plugins/compression/o200k.ts'

const plain = (text: string): number => countTokens(text, { disallowedSpecial: new Set() })
const count = boundedCount(plain)

describe('counting tokens', () => {
  it.each(['', 'Hello there.', 'Ein längerer Satz, mit Wörtern.\n\nUnd <|endoftext|> noch einer.', '你好，世界。再见。'])(
    'is exact for %j',
    (text) => {
      expect(count(text)).toBe(plain(text))
    },
  )

  it('is exact for any words, signs and spaces in any order', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ' ',
        '  ',
        '\n',
        ' \n ',
        '\t',
        '.',
        ',',
        "'s",
        ' (',
        '"',
        '//',
        '_',
        '123',
        ' 4567',
        "don't",
        'Über',
        'é',
        '你好',
        '🙂',
        '\u0301',
        '\u00a0',
      ),
      fc.string({ unit: fc.constantFrom(...'abcXYZ019.-'), minLength: 1, maxLength: 9 }).map((word) => ` ${word}`),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('')
        expect(count(text)).toBe(plain(text))
      }),
      { numRuns: 2000 },
    )
  })

  it.each(['x'.repeat(3000), '你好世界'.repeat(500), ' '.repeat(3000), `before ${'ab'.repeat(1000)} after`])(
    'is a little on the safe side for runs without a break',
    (text) => {
      expect(count(text)).toBeGreaterThanOrEqual(plain(text))
      expect(count(text)).toBeLessThanOrEqual(plain(text) + Math.ceil(text.length / 256) + 1)
    },
  )

  it('of megabytes takes no longer than of a long text, and does not come out below the truth', () => {
    const text = Array.from({ length: 40_000 }, (_, index) => `word${index % 97} and more`).join(' ')
    expect(count(text)).toBeGreaterThanOrEqual(plain(text))
    expect(count(text)).toBeLessThanOrEqual(plain(text) * 1.2)
    const began = performance.now()
    for (const huge of ['x'.repeat(10e6), '你'.repeat(3e6), Buffer.alloc(5e6, 'aGVsbG8').toString()])
      expect(count(huge)).toBeGreaterThan(10_000)
    // Counted whole, the first alone takes hours.
    expect(performance.now() - began).toBeLessThan(20_000)
  })
})
