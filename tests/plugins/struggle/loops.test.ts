import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Gate } from '../../../src/chat/turn/gate.ts'
import type { Verdict } from '../../../src/chat/watcher.ts'
import { detector, START, verdictOf, watching } from './support.ts'

const OPENING =
  'The harbour lay quiet under the morning mist, and the fishermen mended their nets while gulls circled above the pier. Nobody had expected the letter to arrive so soon.\n\n'
const SENTENCE = 'He looked at the sea and said that the boats would come back before the evening. '

const looping = (loop: string, copies = 40): string => OPENING + loop.repeat(copies)
const kindOf = (verdict: Verdict): string => (verdict.state === 'struggle' ? verdict.kind : verdict.state)

describe('exact loops', () => {
  it.each([
    ['a sentence', SENTENCE],
    ['one word', 'no '],
    ['two sentences', `${SENTENCE}Then he turned around and went inside without another word to anybody. `],
    ['a line of a list', '- **Bread**: flour, water, yeast and a little salt.\n'],
    ['a line of code', 'console.log("value of", name, "is", value)\n'],
    ['Chinese', '他看着大海，说船会在傍晚之前回来。'],
    ['Thai, without blanks', 'เขามองทะเลและบอกว่าเรือจะกลับมาก่อนค่ำ'],
    ['emoji and words', 'so happy 😀 today 🎉 '],
    ['blank lines', '\n'],
    ['one sign', '!'],
    ['a long word without end', 'hahaha'],
  ])('of %s are found', (_, loop) => {
    expect(kindOf(verdictOf(watching('loops'), looping(loop, 2000)))).toBe('loop')
  })

  it('are found within three copies, and the cut is at the end of the first', () => {
    const verdict = verdictOf(watching('loops'), looping(SENTENCE, 3), 1)
    expect(verdict).toMatchObject({ state: 'struggle', kind: 'loop', cutAt: (OPENING + SENTENCE).length })
  })

  it('raise suspicion early in the second copy, which ends as soon as the text goes another way', () => {
    const watch = watching('loops')
    expect(verdictOf(watch, OPENING + SENTENCE)).toEqual({ state: 'clear' })
    expect(verdictOf(watch, 'He looked at the sea and said that the boats would ')).toEqual({
      state: 'suspect',
      from: (OPENING + SENTENCE).length,
    })
    expect(verdictOf(watch, 'never return, ')).toEqual({ state: 'clear' })
  })

  it('release at most one period of repeated text, or 32 units', () => {
    for (const loop of [SENTENCE, 'no, no, never, ', `${SENTENCE}Then he turned around and went inside without another word. `.repeat(2)]) {
      const gate = new Gate([detector('loops')], START, () => {})
      const text = looping(loop, 60)
      let seen = ''
      for (let at = 0; at < text.length && !gate.struggle; at += 4) seen += gate.push(text.slice(at, at + 4), 0)
      seen += gate.cut()
      expect(gate.struggle?.kind).toBe('loop')
      expect(seen.length - OPENING.length - loop.length).toBeLessThanOrEqual(Math.max(loop.length, 32 * 5))
    }
  })

  it('that another model began are found when the next one goes on with them', () => {
    const already = OPENING + SENTENCE.repeat(2)
    const watch = watching('loops', { already })
    const verdict = verdictOf(watch, SENTENCE.repeat(2))
    expect(kindOf(verdict)).toBe('loop')
    expect(verdict).toMatchObject({ cutAt: already.length })
  })

  it('that another model wrote are no fault of one that writes something else', () => {
    const watch = watching('loops', { already: looping(SENTENCE, 20) })
    expect(kindOf(verdictOf(watch, 'But when the evening came, only one of them was seen beyond the lighthouse.'))).not.toBe('struggle')
  })

  it('need more evidence in tables of numbers and in code blocks', () => {
    const zeros = '0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n'
    expect(kindOf(verdictOf(watching('loops'), OPENING + zeros.repeat(4)))).not.toBe('loop')
    expect(kindOf(verdictOf(watching('loops'), `${OPENING}\`\`\`\n${SENTENCE.repeat(3)}`))).not.toBe('loop')
    expect(kindOf(verdictOf(watching('loops'), `${OPENING}\`\`\`\n${SENTENCE.repeat(8)}`))).toBe('loop')
  })

  it('are found within four copies in data that says something', () => {
    const row = 'Source: https://example.org/pub/library-2.1/ (mirror: ftp.example.net)\n'
    expect(kindOf(verdictOf(watching('loops'), OPENING + row.repeat(4)))).toBe('loop')
  })

  it('are not seen in the stack of a function that calls itself', () => {
    const frame = '    at descend (/home/user/tree/walk.js:12:34)\n'
    const fence = '```'
    expect(kindOf(verdictOf(watching('loops'), `${OPENING}${fence}\nRangeError\n${frame.repeat(8)}${fence}\nSo it never ends.`))).toBe(
      'clear',
    )
  })
})

describe('noisy loops', () => {
  const names = ['cat', 'dog', 'horse', 'raven', 'badger', 'otter', 'fox', 'crane', 'whale', 'goat', 'mole', 'hare', 'wren']
  /** Another word in another place of each copy. */
  const slip = (line: string, n: number, other = `${names[n % 13]}`): string => {
    let word = 0
    return line.replace(/[a-z]{3,}/g, (found) => (word++ === (n * 5) % 8 ? other : found))
  }
  /** Words of their own, in no order: two letters of an alphabet that is walked in long steps. */
  const words = Array.from({ length: 120 }, (_, n) => `${'kqbxtlfvyczmrdgwnhspj'[(n * 8) % 21]}${'aeiou'[n % 5]}${'lrnstm'[n % 6]}ek`)
  const clock = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(11, 19)
  const copies = (make: (n: number) => string, many = 60): string => OPENING + Array.from({ length: many }, (_, n) => make(n)).join('')

  it.each<[string, (n: number) => string]>([
    ['whose numbers count up', (n) => `In step ${n + 1} we check the result again and write it down in the book. `],
    ['in which one word changes', (n) => `The ${names[n % 13]} looked at the sea and said that the boats would come back. `],
    [
      'into which words are put',
      (n) => `He looked at the ${n % 3 ? '' : 'grey '}sea and said that the ${n % 4 ? '' : 'old '}boats would come back. `,
    ],
    ['of numbered lines', (n) => `${n + 1}. We should always check the result again before we go on.\n`],
    ['of code in which now one word slips, now another', (n) => slip('const total = sum(prices.map((one) => one.value * rate))\n', n)],
    [
      'of addresses in which now one word slips, now another',
      (n) =>
        slip(
          '[![build](https://ci.example.org/gh/tools/walker/tree/main/badge.svg?branch=main)](https://ci.example.org/gh/tools/walker)\n',
          n,
          words[n] ?? '',
        ),
    ],
    [
      'of addresses in which words slip for others that are near',
      (n) =>
        slip('[![build](https://ci.example.org/gh/tools/walker/tree/main/badge.svg?branch=main)]\n', n, ['tools', 'tree', 'main'][n % 3]),
    ],
    [
      'of packed text that counts now and then',
      (n) =>
        `<p><a href="https://example.org/content/www/en/docs/guide/index.html#text=_mask_add&amp;expand=${n % 3 ? 17 : n}">documentation</a></p>\n<p><a href="../core/arch/fn._mask_add.html">_mask_add</a></p>\n`,
    ],
    [
      'of code in which one word is drawn at random',
      (n) => `  { method: "GET", url: "/${words[n]}/:id([0-9]+)", handler: handlers.get, tags: ["v1"] },\n`,
    ],
    [
      'of code in which several numbers count',
      (n) => `    expect(table[${n}].row(${n + 40}, 'left', true)).toEqual({ x: ${n}, y: 7, width: ${n + 2} })\n`,
    ],
    ['of code that counts', (n) => `print("This is line number ${n + 1} of the output that was asked for")\n`],
  ])('%s are found', (_, make) => {
    expect(kindOf(verdictOf(watching('loops'), copies(make, 120)))).toBe('noisy-loop')
  })

  it.each<[string, string]>([
    [
      'a list whose items begin alike',
      copies(
        (n) =>
          `- **${names[n % 13]}**: This animal lives ${['in the wood', 'by the sea', 'under ground'][n % 3]} and eats ${names[(n * 5) % 13]} food, which is number ${(n * 37) % 91}.\n`,
        26,
      ),
    ],
    ['a table', copies((n) => `| ${names[n % 13]} | ${(n * 7919) % 1000} | ${(n * 31) % 17} | yes |\n`, 60)],
    ['a times table', copies((n) => `${(n % 10) + 1} × ${Math.floor(n / 10) + 1} = ${((n % 10) + 1) * (Math.floor(n / 10) + 1)}\n`, 100)],
    [
      'a log',
      copies(
        (n) =>
          `2024-03-01T10:${String(n % 60).padStart(2, '0')}:${String((n * 17) % 60).padStart(2, '0')}Z INFO request ${n * 13} from 10.0.0.${n % 255} took ${(n * 7) % 90} ms\n`,
        200,
      ),
    ],
    [
      'sentences in the order of the alphabet',
      copies((n) => `The constant named ${[...words].sort()[n]} is exported by this package since its second version.\n`, 100),
    ],
    [
      'a log that has nothing new but the time',
      copies((n) => `2024-03-01T${clock(n)}Z INFO the worker is well and waits for the next job, ${n} so far\n`, 200),
    ],
    [
      'a log that tries again and again',
      copies((n) => `2024-03-01 ${clock(n * 5)} WARN connection to database lost, retrying in 5 seconds (attempt ${n})\n`, 300),
    ],
    [
      'a log that says the same in the same second',
      copies((n) => `[Sun Dec 04 ${clock(Math.floor(n / 4))} 2005] [error] mod_jk child workerEnv in error state 6\n`, 40),
    ],
    ['numbered rows of one word', copies((n) => `{ "id": ${n}, "name": "${words[n]}", "role": "user", "active": true }\n`, 120)],
    [
      'code that names one thing after another in the order of the alphabet',
      copies((n) => `  { method: "GET", url: "/${[...words].sort()[n]}/:id([0-9]+)", handler: handlers.get, tags: ["v1"] },\n`, 120),
    ],
    ['licences that differ in one word', copies((n) => `License: ${names[n % 13]}${n}\n\n`, 200)],
    ['JSON', copies((n) => `  { "id": ${n}, "name": "${names[n % 13]}", "legs": ${n % 5}, "wild": true },\n`, 60)],
  ])('are not seen in %s', (_, text) => {
    expect(kindOf(verdictOf(watching('loops'), text))).not.toBe('struggle')
    expect(['loop', 'noisy-loop']).not.toContain(kindOf(verdictOf(watching('loops'), text)))
  })
})

describe('the verdict on a text', () => {
  it('does not depend on the pieces in which it came', () => {
    const part = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 30 }),
      fc.constantFrom(SENTENCE, 'again and again ', '😀', '\ud83d', '```\n', 'x = 0\n'),
    )
    const text = fc
      .array(fc.tuple(part, fc.integer({ min: 1, max: 30 })))
      .map((parts) => parts.map(([one, times]) => one.repeat(times)).join(''))
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), fc.string(), (written, sizes, already) => {
        for (const name of ['loops', 'compression', 'garbled']) {
          const whole = watching(name, { already }).push(written, 0)
          const watch = watching(name, { already })
          let verdict: Verdict = { state: 'clear' }
          for (let at = 0, n = 0; at < written.length; n++) {
            const size = sizes[n % sizes.length]!
            verdict = watch.push(written.slice(at, at + size), 0)
            at += size
          }
          expect(verdict).toEqual(written === '' ? { state: 'clear' } : whole)
          if (verdict.state === 'struggle') expect(verdict.cutAt).toBeGreaterThanOrEqual(already.length)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('costs the same however long the answer is', () => {
    const watch = watching('loops')
    const growth = (): number => {
      const before = process.cpuUsage()
      for (let n = 0; n < 10_000; n++) watch.push(`word${(n * 7919) % 10_007} and `, 0)
      const { user, system } = process.cpuUsage(before)
      return user + system
    }
    growth()
    const early = growth()
    for (let n = 0; n < 5; n++) growth()
    expect(growth()).toBeLessThan(early * 4)
  })
})
