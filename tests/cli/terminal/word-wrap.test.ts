import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { textWidth } from '../../../src/cli/terminal/width.ts'
import { WordWrap } from '../../../src/cli/terminal/word-wrap.ts'

function wrapped(columns: number, ...pieces: string[]): string {
  const wrap = new WordWrap(() => columns)
  return pieces.map((piece) => wrap.push(piece)).join('') + wrap.end()
}

const BOLD = '\u001b[0;1m'
const RESET = '\u001b[0m'

describe('words on a terminal', () => {
  it('go whole into the next line where they do not fit', () => {
    expect(wrapped(11, 'the quick brown fox')).toBe('the quick\nbrown fox')
    expect(wrapped(9, 'the quick brown')).toBe('the quick\nbrown')
  })

  it('may come in any pieces', () => {
    const text =
      'A list:\n- one two three four\n\n```sh\nsome long code line here\n```\n| a | long table row |\n数学は楽しいです and so on 😀 ok'
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), text.length]
        const pieces = ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end))
        expect(wrapped(12, ...pieces)).toBe(wrapped(12, text))
      }),
    )
  })

  it('are shown once they have ended, no later', () => {
    const wrap = new WordWrap(() => 40)
    expect(wrap.push('Hel')).toBe('')
    expect(wrap.push('lo wor')).toBe('Hello')
    expect(wrap.push('ld.')).toBe('')
    expect(wrap.end()).toBe(' world.')
  })

  it('keep their own line breaks and indentation', () => {
    expect(wrapped(20, 'a\n\nb\n  c d\n')).toBe('a\n\nb\n  c d\n')
  })

  it('of a list stand below each other', () => {
    expect(wrapped(12, '• one two three')).toBe('• one two\n  three')
    expect(wrapped(12, '10. one two three')).toBe('10. one two\n    three')
  })

  it('are left alone in code and tables', () => {
    const code = '```\nlong_name = other_name\n```\n'
    expect(wrapped(10, code)).toBe(code)
    expect(wrapped(10, '| one | two | three |')).toBe('| one | two | three |')
    expect(wrapped(10, '    indented code line')).toBe('    indented code line')
  })

  it('are wrapped again behind code, whatever its fences look like', () => {
    const after = 'the quick brown fox'
    const wrappedAfter = 'the quick\nbrown fox'
    for (const code of ['```\na = b + c + d + e\n```\n', '````md\n```js\nx\n```\n````\n', '```const x``` ok\n', '~~~\n```\n~~~\n']) {
      expect(wrapped(11, code, after)).toBe(`${code}${wrappedAfter}`)
    }
  })

  it('longer than a line are passed on as they come', () => {
    const wrap = new WordWrap(() => 10)
    expect(wrap.push('see ')).toBe('see')
    expect(wrap.push('https://example.org/')).toBe('\nhttps://example.org/')
    expect(wrap.push('more')).toBe('more')
    expect(wrap.push(' end')).toBe('')
    expect(wrap.end()).toBe(' end')
  })

  it('carry their styles, which take no room', () => {
    expect(wrapped(7, `a ${BOLD}bold${RESET} word`)).toBe(`a ${BOLD}bold${RESET}\nword`)
  })

  it('without blanks are left to the terminal', () => {
    expect(wrapped(8, '数学は楽しいです')).toBe('数学は楽しいです')
  })

  it('are all there, in order, and no line of short words is too long', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '😀', '.', '`'), minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), fc.integer({ min: 12, max: 40 }), (words, columns) => {
        const text = `x ${words.join(' ')}`
        const lines = wrapped(columns, text).split('\n')
        expect(lines.join(' ')).toBe(text)
        for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(columns)
      }),
    )
  })
})
