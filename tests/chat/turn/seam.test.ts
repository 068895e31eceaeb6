import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GenerationPiece } from '../../../src/chat/backend.ts'
import { textOf } from '../../../src/chat/message.ts'
import { askForTheRest, Joint, looksEnded, Seam } from '../../../src/chat/turn/seam.ts'

const STORY = 'Once upon a time there was a fox who could not sleep, and so it counted the stars until the morning came.'

/** What a seam lets through of a text that comes in pieces. */
function through(already: string, pieces: readonly string[], options: { wholeOnly?: boolean } = {}): string {
  const seam = new Seam(already, options)
  return pieces.map((piece) => seam.push(piece)).join('') + seam.end()
}

const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 40 })
function inPieces(text: string, lengths: readonly number[]): string[] {
  const pieces: string[] = []
  for (let at = 0, index = 0; at < text.length; index++) {
    const length = lengths[index % lengths.length] ?? 1
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

describe('the seam between a partial answer and its rest', () => {
  it('takes off a repetition of the whole answer, wherever it was cut and however the rest comes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: STORY.length - 1 }), cuts, (cut, lengths) => {
        expect(STORY.slice(0, cut) + through(STORY.slice(0, cut), inPieces(STORY, lengths))).toBe(STORY)
      }),
    )
  })

  it('takes off a repetition of the last words', () => {
    fc.assert(
      fc.property(fc.integer({ min: 30, max: STORY.length - 1 }), cuts, (cut, lengths) => {
        const already = STORY.slice(0, cut)
        const from = already.lastIndexOf(' ', cut - 20) + 1
        expect(already + through(already, inPieces(STORY.slice(from), lengths))).toBe(STORY)
      }),
    )
  })

  it('takes off what is repeated also where the answer so far ends in white space', () => {
    const already = 'Shake the bag and take everything out of it carefully.\n\n'
    for (const between of ['\n', '\n\n', ' ']) {
      const rest = through(already, [`take everything out of it carefully.${between}`, '2. Check each part.'])
      expect((already + rest).match(/take everything out/g)).toHaveLength(1)
      expect(rest.endsWith('2. Check each part.')).toBe(true)
    }
  })

  it.each(['…', '... ', '\n…\n'])('takes off the dots too with which the repetition is led in: %j', (dots) => {
    fc.assert(
      fc.property(cuts, (lengths) => {
        const already = STORY.slice(0, 60)
        expect(already + through(already, inPieces(`${dots}${STORY.slice(30)}`, lengths))).toBe(STORY)
        expect(through(already, inPieces(`${dots}Quite another text.`, lengths))).toBe(`${dots}Quite another text.`)
      }),
    )
  })

  it.each(['..', '...', '…', '… ', '\n\n', ' ', '\n...'])('takes off a repetition of an answer that itself begins with %j', (lead) => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), cuts, fc.boolean(), (cut, lengths, wholeOnly) => {
        const whole = `${lead}${STORY}`
        const already = whole.slice(0, lead.length + (wholeOnly ? 6 : 0) + cut)
        expect(already + through(already, inPieces(whole, lengths), { wholeOnly })).toBe(whole)
        expect(already + through(already, inPieces(STORY, lengths), { wholeOnly })).toBe(whole)
        // A rest in which nothing is repeated keeps its own lead.
        expect(through(already, inPieces(`${lead}# new`, lengths), { wholeOnly })).toBe(`${lead}# new`)
      }),
    )
  })

  it.each([
    ['...so what', '...so what then', ' then'],
    ['...', '...so what', 'so what'],
    ['..', '...so what', '.so what'],
    ['...', 'so what', 'so what'],
    ['..', '.so what', '.so what'],
    ['.', '. So', ' So'],
    ['.....so what', '.....so what then', ' then'],
  ])('after %j, %j adds %j', (already, rest, adds) => {
    fc.assert(fc.property(cuts, (lengths) => void expect(through(already, inPieces(rest, lengths))).toBe(adds)))
  })

  it('leaves a rest alone that repeats nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: STORY.length - 1 }), cuts, (cut, lengths) => {
        const rest = `${STORY.slice(cut, cut + 1)}#${STORY.slice(cut + 1)}`
        expect(through(STORY.slice(0, cut), inPieces(rest, lengths))).toBe(rest)
      }),
    )
  })

  it('keeps every character of any rest where only a whole repetition counts', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 20, maxLength: 60 }), fc.string({ maxLength: 60 }), cuts, (already, rest, lengths) => {
        fc.pre(!rest.trimStart().startsWith(already) && !already.startsWith(rest.trimStart().slice(0, 32)))
        expect(through(already, inPieces(rest, lengths), { wholeOnly: true })).toBe(rest)
      }),
    )
  })

  it('finishes a word that was cut in its middle', () => {
    expect(through('Under the tre', ['trees ', 'it waits'])).toBe('es it waits')
    expect(through('Under the tre', ['es it waits'])).toBe('es it waits')
  })

  it('lets nothing through of a repetition that stops before its end', () => {
    expect(through(STORY, [STORY.slice(20, 50)])).toBe('')
    const joint = new Joint(STORY.slice(0, 70), () => {})
    joint.sink({ type: 'text', text: STORY.slice(20, 50), tokens: 8 })
    expect(() => joint.end('stop')).toThrow(/nothing to add/)
  })

  it('tells a new answer from the rest of this one', () => {
    const seam = new Seam(STORY)
    expect(seam.push(`${STORY.slice(0, 60)}but then it slept after all, and nothing happened.`)).toBe('')
    expect(seam.state).toBe('diverged')
  })

  it('does not take a line for a new answer because it is like the line before', () => {
    const table = '| 2023 | forty-two thousand | up |\n| 2024 | forty-three thousand | up |\n'
    expect(through(table, ['| 2024 | forty-three thousand | down |\n'])).toBe('| 2024 | forty-three thousand | down |\n')
  })

  it('shows life while nothing new comes', () => {
    const seen: GenerationPiece[] = []
    const joint = new Joint(STORY.slice(0, 60), (piece) => void seen.push(piece))
    for (const text of inPieces(STORY, [10])) joint.sink({ type: 'text', text, tokens: 2 })
    joint.end('stop')
    const fractions = seen.flatMap((piece) => (piece.type === 'prefill' ? [piece.fraction] : []))
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
    expect(new Set(fractions).size).toBeGreaterThan(3)
    expect(seen.map((piece) => (piece.type === 'text' ? piece.text : '')).join('')).toBe(STORY.slice(60))
  })

  it('believes that nothing is missing only where there is a reason to', () => {
    const nothing = (already: string): Joint => new Joint(already, () => {})
    expect(() => nothing('The list is complete.').end('stop')).not.toThrow()
    expect(() => nothing('Once upon a').end('stop')).toThrow(/nothing to add/)
    expect(() => nothing('Once upon a').end('cancelled')).not.toThrow()
    const repeated = nothing('Once upon a')
    repeated.sink({ type: 'text', text: 'Once upon a', tokens: 3 })
    expect(() => repeated.end('stop')).not.toThrow()
  })
})

it.each([
  ['Done.', true],
  ['```ts\nlet a = 1\n```', true],
  ['- one\n- two\n', true],
  ['She said «yes»', true],
  ['and then', false],
  ['a, b,', false],
])('%j may be a whole answer: %s', (text, ended) => {
  expect(looksEnded(text)).toBe(ended)
})

it('asks in words with the last words of the answer, whole ones', () => {
  const asked = askForTheRest([{ role: 'user', parts: [{ type: 'text', text: 'A story, please.' }] }], STORY)
  expect(asked.map(({ role }) => role)).toEqual(['user', 'assistant', 'user'])
  expect(textOf(asked[1]?.parts ?? [])).toBe(STORY)
  const anchor =
    textOf(asked[2]?.parts ?? [])
      .split('\n')
      .at(-1) ?? ''
  expect(STORY.endsWith(anchor)).toBe(true)
  expect(STORY[STORY.length - anchor.length - 1]).toBe(' ')
})
