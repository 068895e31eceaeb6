import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jsonLine, jsonText } from '../../src/cli/json-text.ts'
import { neutralise, neutraliseLine } from '../../src/cli/neutralise.ts'

/** What a terminal acts on instead of showing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must be gone
const ACTIVE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/

const dangerous = fc.constantFrom(
  '\u001b',
  '\u001b[2J',
  '\u001b]0;x\u0007',
  '\u009b31m',
  '\u202e',
  '\u2066',
  '\r',
  '\b',
  '[',
  'm',
  'a',
  '\n',
  '日',
  '😀',
)

describe('text from elsewhere', () => {
  it.each([
    ['colours', '\u001b[31mred\u001b[0m', '[31mred[0m'],
    ['a cleared screen', 'a\u001b[2Jb', 'a[2Jb'],
    ['a changed window title', '\u001b]0;title\u0007x', ']0;titlex'],
    ['a link', '\u001b]8;;http://a.b\u001b\\here\u001b]8;;\u001b\\', ']8;;http://a.b\\here]8;;\\'],
    ['C1 forms of the same', '\u009b31mred\u009d0;t\u009c', '31mred0;t'],
    ['an overwritten line', 'rm -rf /\rharmless', 'rm -rf /harmless'],
    ['text turned around', 'user\u202egpj.exe', 'usergpj.exe'],
  ])('shows %s as plain text', (_, text, shown) => {
    expect(neutralise(text)).toBe(shown)
  })

  it('keeps line breaks, tabs, emoji and every script', () => {
    const text = 'a\tb\n日本語 👩‍👩‍👧 مرحبا שלום é'
    expect(neutralise(text)).toBe(text)
  })

  it('is as harmless in any chunks as in one, because each character is judged alone', () => {
    fc.assert(
      fc.property(fc.array(dangerous, { maxLength: 30 }), fc.array(fc.nat(60), { maxLength: 6 }), (pieces, cuts) => {
        const text = pieces.join('')
        const at = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
        const chunks = at.slice(1).map((end, i) => text.slice(at[i], end))
        const shown = chunks.map(neutralise).join('')
        expect(shown).toBe(neutralise(text))
        expect(shown).not.toMatch(ACTIVE)
      }),
    )
  })

  it('stays on its line where it is a name', () => {
    expect(neutraliseLine('a\nb\u001b[2J\tc')).toBe('a b[2J c')
  })
})

describe('JSON output', () => {
  it('is harmless on a terminal and parses to what it was made of', () => {
    const value = { text: 'a\u001b[2J\u009b31m\u202eb\u2028c' }
    for (const json of [jsonText(value), jsonLine(value)]) {
      expect(json.replaceAll('\n', '')).not.toMatch(ACTIVE)
      expect(JSON.parse(json)).toEqual(value)
    }
  })

  it('replaces halves of characters, so that every parser takes it', () => {
    expect(JSON.parse(jsonText({ text: 'a\ud83db\udc00c😀' }))).toEqual({ text: 'a\ufffdb\ufffdc😀' })
  })

  it('keeps halves in pieces that are joined later', () => {
    const joined = ['\ud83d', '\ude00'].map((text) => (JSON.parse(jsonLine({ text })) as { text: string }).text).join('')
    expect(joined).toBe('😀')
  })
})
