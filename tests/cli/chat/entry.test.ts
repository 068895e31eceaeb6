import { describe, expect, it } from 'vitest'
import { EntryReader } from '../../../src/cli/chat/entry.ts'

/** What lines amount to; what says nothing is left out. */
function read(...lines: string[]): unknown[] {
  const reader = new EntryReader()
  return [...lines.map((line) => reader.push(line)), reader.end()].filter(({ kind }) => kind !== 'nothing' && kind !== 'more')
}

const message = (text: string): unknown => ({ kind: 'message', text })
const command = (name: string, argument = ''): unknown => ({ kind: 'command', name, argument })

describe('a typed line', () => {
  it.each([
    ['is a message', ['hello'], [message('hello')]],
    ['is nothing when empty', ['', '   '], []],
    [
      'is a command behind a slash',
      ['/help', '/switch lmstudio/a b', '/EXIT '],
      [command('help'), command('switch', 'lmstudio/a b'), command('exit')],
    ],
    ['is a message when it begins with a path', ['/etc/hosts, what is it?', '/usr'], [message('/etc/hosts, what is it?'), command('usr')]],
    ['is a message when it was pasted with line breaks', ['/help\nme'], [message('/help\nme')]],
  ])('%s', (_, lines, entries) => {
    expect(read(...lines)).toEqual(entries)
  })
})

describe('a block', () => {
  it.each([
    ['joins its lines', ['"""', 'a', '', '/b', '"""', 'c'], [message('a\n\n/b'), message('c')]],
    ['may begin and end on lines with text', ['"""a', 'b"""'], [message('a\nb')]],
    ['may be one line', ['"""a"""'], [message('a')]],
    ['keeps indentation', ['"""', '  a', '    b', '"""'], [message('  a\n    b')]],
    ['may hold a paste', ['"""', 'a\nb', '"""'], [message('a\nb')]],
    ['is nothing when empty', ['"""', '"""', 'a'], [message('a')]],
    ['is complete when the input ends', ['"""', 'a', 'b'], [message('a\nb')]],
  ])('%s', (_, lines, entries) => {
    expect(read(...lines)).toEqual(entries)
  })

  it('can be given up', () => {
    const reader = new EntryReader()
    reader.push('"""')
    reader.push('a')
    expect(reader.open).toBe(true)
    reader.discard()
    expect(reader.open).toBe(false)
    expect(reader.push('b')).toEqual(message('b'))
  })
})
