import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Keyboard } from '../../../src/cli/terminal/keyboard.ts'

/** A keyboard and what came through, in order. */
function keyboard(): { keys: Keyboard; heard: string[] } {
  const heard: string[] = []
  const keys = new Keyboard({
    keys: (text) => heard.push(text),
    paste: (text) => heard.push(`<paste ${text}>`),
    interrupt: () => heard.push('<interrupt>'),
    suspend: () => heard.push('<suspend>'),
  })
  return { keys, heard }
}

/** All that comes through an open keyboard: a shut one is opened again. */
function through(...chunks: string[]): string {
  const { keys, heard } = keyboard()
  for (const chunk of chunks) {
    keys.push(chunk)
    for (let before = -1; before !== heard.length; ) {
      before = heard.length
      keys.open()
    }
  }
  return heard.join('')
}

const paste = (text: string): string => `\u001b[200~${text}\u001b[201~`

describe('the keyboard', () => {
  it('lets one line through and keeps the rest until it is opened again', () => {
    const { keys, heard } = keyboard()
    keys.open()
    keys.push('one\rtwo\rthr')
    expect(heard.join('')).toBe('one\r')
    keys.open()
    expect(heard.join('')).toBe('one\rtwo\r')
    keys.open()
    keys.push('ee')
    expect(heard.join('')).toBe('one\rtwo\rthree')
  })

  it('gives a paste as a whole, line breaks and all', () => {
    expect(through(`ask ${paste('a\rb\r\nc\n')} now\r`)).toBe('ask <paste a\nb\nc\n> now\r')
  })

  it('passes arrows and Alt combinations on untouched', () => {
    expect(through('\u001b[A\u001b[1;5D\u001bb\u001b[3~')).toBe('\u001b[A\u001b[1;5D\u001bb\u001b[3~')
  })

  it('takes Alt-Enter for a new line', () => {
    expect(through('a\u001b\rb\r')).toBe('a<paste \n>b\r')
  })

  it('hears Ctrl-C while it is shut, and forgets what was typed before it', () => {
    const { keys, heard } = keyboard()
    keys.push('typed ahead')
    keys.push('\u0003next\r')
    expect(heard).toEqual(['<interrupt>'])
    keys.open()
    expect(heard.join('')).toBe('<interrupt>next\r')
  })

  it('hears no Ctrl-C in what is pasted', () => {
    const { keys, heard } = keyboard()
    keys.push(paste('a\u0003b'))
    expect(heard).toEqual([])
    keys.open()
    expect(heard).toEqual(['<paste a\u0003b>'])
  })

  it('hears Ctrl-Z while it is shut, and keeps what was typed', () => {
    const { keys, heard } = keyboard()
    keys.push('ab\u001acd')
    keys.open()
    expect(heard.join('')).toBe('<suspend>abcd')
  })

  it('gives the same however its bytes are cut into chunks', () => {
    const piece = fc.constantFrom(
      'a',
      'é',
      '日',
      '😀',
      '\r',
      '\u001b[A',
      '\u001b\r',
      paste('x\ry'),
      paste(''),
      paste('\u001b[20'),
      '\u0004',
      '\u007f',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.integer({ min: 1, max: 7 }), (pieces, size) => {
        const text = `${pieces.join('')}!`
        const cut = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'gu')) ?? []
        expect(through(...cut)).toBe(through(text))
      }),
    )
  })

  it('takes a long paste in little time', () => {
    const line = `${'x'.repeat(99)}\r`
    const chunks = Array.from({ length: 2000 }, () => line.repeat(20))
    const heard = through('\u001b[200~', ...chunks, '\u001b[201~')
    expect(heard.length).toBe(4_000_000 + '<paste >'.length)
  })
})
