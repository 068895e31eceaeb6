import { describe, expect, it } from 'vitest'
import { definitions, fitted, padded, table } from '../../../src/cli/terminal/width.ts'

describe('columns on a terminal', () => {
  it.each([
    ['abc', 5, 'abc  |'],
    ['日本', 5, '日本 |'],
    ['😀', 5, '😀   |'],
    ['👩‍👩‍👧', 5, '👩‍👩‍👧   |'],
    ['e\u0301', 5, 'e\u0301    |'],
    ['한국', 5, '한국 |'],
  ])('%s is padded by what it takes', (text, columns, shown) => {
    expect(`${padded(text, columns)}|`).toBe(shown)
  })

  it.each([
    ['short', 10, 'short'],
    ['exactly ten', 11, 'exactly ten'],
    ['a longer text', 8, 'a longe…'],
    ['日本語日本語', 6, '日本…'],
    ['a👩‍👩‍👧b', 3, 'a…'],
  ])('%s is cut between characters', (text, columns, shown) => {
    expect(fitted(text, columns)).toBe(shown)
  })

  it('lines up a table of any script', () => {
    expect(
      table([
        ['KEY', 'SIZE'],
        ['日本', '1'],
        ['abcdef', '22'],
      ]),
    ).toEqual(['KEY     SIZE', '日本    1', 'abcdef  22'])
  })

  it('puts meanings below their names where the terminal is narrow', () => {
    const rows = [
      ['/a', 'does one thing'],
      ['/long', 'does quite another thing'],
    ] as const
    expect(definitions(rows, 80)).toBe('/a     does one thing\n/long  does quite another thing\n')
    expect(definitions(rows, 20)).toBe('/a\n    does one thing\n/long\n    does quite\n    another thing\n')
  })
})
