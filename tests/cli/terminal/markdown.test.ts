import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MarkdownStyler } from '../../../src/cli/terminal/markdown.ts'

const ESC = '\u001b['

/** Attributes in angle brackets, for reading. */
function styled(...chunks: string[]): string {
  const styler = new MarkdownStyler()
  const out = chunks.map((chunk) => styler.push(chunk)).join('') + styler.end()
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequences are what is looked at
  return out.replace(/\u001b\[0((?:;\d+)*)m/g, (_, codes: string) => `<${codes.slice(1)}>`)
}

/** The text without any styling. */
function bare(text: string): string {
  return styled(text).replace(/<[\d;]*>/g, '')
}

describe('the Markdown styler', () => {
  it.each([
    ['plain text stays as it is', 'just words, 2 * 3 = 6', 'just words, 2 * 3 = 6'],
    ['bold', 'a **bold** word', 'a <1>bold<> word'],
    ['italics', 'an *italic* word', 'an <3>italic<> word'],
    ['bold italics', '***both***', '<1;3>both<>'],
    ['italics within bold', '**a *b* c**', '<1>a <1;3>b<1> c<>'],
    ['bold between Chinese characters', '中**粗**文', '中<1>粗<>文'],
    ['underscores stay visible', '_so_ and __init__', '<3>_so<>_ and <1>__init<>__'],
    ['names with underscores are no emphasis', 'call snake_case_name now', 'call snake_case_name now'],
    ['powers are no emphasis', '2**3**4', '2**3**4'],
    ['globs are no emphasis', 'all *.ts and *.js files', 'all *.ts and *.js files'],
    ['inline code', 'run `npm *i*` now', 'run <36>npm *i*<> now'],
    ['code with a backtick in it', '``a`b``', '<36>a`b<>'],
    ['headings', '# One\n## Two\ntext', '<1;4>One<>\n<1>Two<>\ntext'],
    ['a number sign is no heading', '#hashtag', '#hashtag'],
    ['bullets', '- one\n* two\n  + three', '• one\n• two\n  • three'],
    ['numbered lists', '1. one\n2. two', '1. one\n2. two'],
    ['a bold word at the start is no bullet', '**x** y', '<1>x<> y'],
    ['quotes', '> said **she**', '<2>│ <>said <1>she<>'],
    ['rules', 'a\n\n---\nb\n***\nc', 'a\n\n<2>---<>\nb\n<2>***<>\nc'],
    ['fences', '```ts\nconst a = **b**\n```\nend', '<2>```ts<>\n<36>const a = **b**<>\n<2>```<>\nend'],
    ['fences in lists', '- x\n  ~~~\n  - y\n  ~~~', '• x\n  <2>~~~<>\n  <36>- y<>\n  <2>~~~<>'],
    ['a shorter fence within a longer one', '````\n```\n````\nx', '<2>````<>\n<36>```<>\n<2>````<>\nx'],
    ['escaped markers', '\\*not\\* bold, \\(x\\) formula', '*not* bold, \\(x\\) formula'],
    ['an open marker ends with its line', 'a **b\nc', 'a <1>b<>\nc'],
    ['a closing marker without an opening one stays', 'a b**', 'a b**'],
    ['many stars stay', 'censored ***** word', 'censored ***** word'],
  ])('%s', (_, source, expected) => {
    expect(styled(source)).toBe(expected)
    expect(styled(...source)).toBe(expected)
  })

  it('holds back no more than a partial marker', () => {
    const styler = new MarkdownStyler()
    expect(styler.push('some words *')).toBe('some words ')
    expect(styler.push('*')).toBe('')
    expect(styler.push('b')).toBe(`${ESC}0;1mb`)
    expect(styler.push('** more')).toBe(`${ESC}0m more`)
    expect(styler.end()).toBe('')
  })

  it('gives the same text however it is cut into chunks', () => {
    const piece = fc.constantFrom('*', '**', '_', '`', '```', '\n', ' ', '- ', '# ', '> ', 'word', '日本', '\\', '---', '~~~', '😀')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.integer({ min: 1, max: 5 }), (pieces, size) => {
        const text = pieces.join('')
        const chunks = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
        expect(styled(...chunks)).toBe(styled(text))
      }),
    )
  })

  it('loses nothing but markers, and leaves no style on at the end', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const markers = /[*`#>│•\-+\\ ]/g
        expect(bare(text).replace(markers, '')).toBe(text.replace(markers, ''))
        expect(styled(`${text}\n`).split('<').at(-1)).toMatch(/^(?![\d])|^>|^[^<]*$/)
      }),
    )
  })
})
