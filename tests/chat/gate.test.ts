import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Gate } from '../../src/chat/gate.ts'
import type { AnswerStart, Verdict, Watcher } from '../../src/chat/watcher.ts'

const start: AnswerStart = {
  model: 'a/b',
  promptTokens: 0,
  already: '',
  time: 0,
  shown: { prefillPerSecond: undefined, writingPerSecond: undefined },
}
const clear: Verdict = { state: 'clear' }

function watcher(judge: (text: string) => Verdict): Watcher {
  let text = ''
  return { name: 'test', start: () => ({ push: (piece) => judge((text += piece)), tick: () => clear, end: () => clear }) }
}

const broken: string[] = []
const gate = (watchers: Watcher[], already = ''): Gate => new Gate(watchers, { ...start, already }, (name) => broken.push(name))

describe('the gate', () => {
  it('passes everything at once while nobody objects', () => {
    const open = gate([])
    expect([open.push('Hello', 0), open.push(' you', 0), open.end('stop', 0)]).toEqual(['Hello', ' you', ''])
  })

  it('never ends a release inside a surrogate pair', () => {
    const open = gate([])
    expect(open.push('a\ud83d', 0)).toBe('a')
    expect(open.push('\ude00', 0)).toBe('😀')
  })

  it('holds text back from where a watcher suspects, and releases it when suspicion clears', () => {
    const open = gate([watcher((text) => (text.endsWith('!') ? clear : text.length > 3 ? { state: 'suspect', from: 3 } : clear))])
    expect(open.push('abc', 0)).toBe('abc')
    expect(open.push('def', 0)).toBe('')
    expect(open.push('!', 0)).toBe('def!')
  })

  it('drops what was held when a struggle is confirmed, and gives what was good before the cut', () => {
    const open = gate([
      watcher((text) =>
        text.length > 8
          ? { state: 'struggle', kind: 'loop', evidence: 'x', cutAt: 5 }
          : text.length > 2
            ? { state: 'suspect', from: 2 }
            : clear,
      ),
    ])
    const seen = open.push('ab', 0) + open.push('cdef', 0) + open.push('ghijk', 0) + open.cut()
    expect(seen).toBe('abcde')
    expect(open.struggle?.kind).toBe('loop')
    expect(open.push('more', 0)).toBe('')
  })

  it('drops a watcher that throws and goes on', () => {
    const open = gate([
      watcher(() => {
        throw new Error('broken')
      }),
    ])
    expect(open.push('text', 0)).toBe('text')
    expect(broken).toEqual(['test'])
  })

  it('releases each character once and in order, whatever is suspected meanwhile', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.array(fc.nat(40)), (pieces, holds) => {
        let turn = 0
        const open = gate([
          watcher((text) => {
            const from = holds[turn++]
            return from === undefined || from > text.length ? clear : { state: 'suspect', from }
          }),
        ])
        const seen = pieces.map((piece) => open.push(piece, 0)).join('') + open.end('stop', 0)
        expect(seen).toBe(pieces.join(''))
      }),
    )
  })
})
