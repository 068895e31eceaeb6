import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { ReplyPiece } from '../../../src/chat/reply.ts'
import { type AnswerPlace, AnswerView } from '../../../src/cli/terminal/answer-view.ts'

const text = (value: string): ReplyPiece => ({ type: 'text', text: value })
const thought = (value: string): ReplyPiece => ({ type: 'reasoning', text: value })

function shown(place: Omit<AnswerPlace, 'out'>, ...pieces: ReplyPiece[]): string {
  const out = new PassThrough({ encoding: 'utf8' })
  const view = new AnswerView({ ...place, out })
  for (const piece of pieces) view.push(piece)
  view.end()
  return String(out.read() ?? '')
}

const PIPE = { onTerminal: false, escapes: false, reasoning: false }
const PLAIN = { onTerminal: true, escapes: false, reasoning: true }
const COLOURED = { onTerminal: true, escapes: true, reasoning: true }

describe('an answer', () => {
  it('goes into a pipe as it is, and ends with a line break', () => {
    expect(shown(PIPE, thought('hm'), text('**a**\u001b[2J'), text('b'))).toBe('**a**\u001b[2Jb\n')
    expect(shown(PIPE, text('a\n'))).toBe('a\n')
    expect(shown(PIPE)).toBe('\n')
  })

  it('is harmless on a terminal, also where a sequence comes in two pieces', () => {
    expect(shown(PLAIN, text('a\u001b'), text('[2Jb'))).toBe('a[2Jb\n')
    expect(shown(COLOURED, text('a\u001b'), text(']0;t\u0007'))).toBe('a]0;t\n')
  })

  it('is styled where escape sequences are allowed, and plain where not', () => {
    expect(shown(COLOURED, text('a **b** c'))).toBe('a \u001b[0;1mb\u001b[0m c\n')
    expect(shown(PLAIN, text('a **b** c'))).toBe('a **b** c\n')
  })

  it('shows thoughts dimmed above it, and marked where nothing can be dimmed', () => {
    expect(shown(COLOURED, thought('let me see'), text('\n\nyes'))).toBe('\u001b[2mlet me see\u001b[0m\n\nyes\n')
    expect(shown(PLAIN, thought('let me see'), text('\n\nyes'))).toBe('Thinking…\nlet me see\n…done thinking.\n\nyes\n')
    expect(shown({ ...PLAIN, reasoning: false }, thought('let me see'), text('yes'))).toBe('yes\n')
  })

  it('leaves no style on when it breaks off', () => {
    expect(shown(COLOURED, text('a **b')).endsWith('b\u001b[0m\n')).toBe(true)
  })
})
