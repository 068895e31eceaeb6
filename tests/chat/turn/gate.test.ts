import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Gate } from '../../../src/chat/turn/gate.ts'
import type { AnswerStart, Verdict, Watcher } from '../../../src/chat/watcher.ts'

const start: AnswerStart = {
  model: 'a/b',
  promptTokens: 0,
  already: '',
  time: 0,
  shown: { prefillPerSecond: undefined, writingPerSecond: undefined },
  limits: { firstTokenMs: 30_000, gapMs: 15_000 },
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

  it('drops one of several watchers and still hears the others', () => {
    const open = gate([
      watcher(() => {
        throw new Error('broken')
      }),
      watcher((text) => (text.length > 2 ? { state: 'suspect', from: 2 } : clear)),
      watcher((text) => (text.length > 4 ? { state: 'suspect', from: 1 } : clear)),
    ])
    expect(open.push('abc', 0)).toBe('ab')
    expect(open.push('def', 0)).toBe('')
    expect(open.end('stop', 0)).toBe('cdef')
  })

  it('ends a cut at the end of a word, where the repeated text is released already', () => {
    const judge = (text: string): Verdict => (text.length > 18 ? { state: 'struggle', kind: 'loop', evidence: '', cutAt: 4 } : clear)
    const hold = (text: string): Verdict => (text.length > 9 ? { state: 'suspect', from: 9 } : clear)
    const open = gate([watcher(hold), watcher(judge)])
    const seen = open.push('the boats', 0) + open.push('wain and', 0) + open.push(' more', 0) + open.cut()
    expect(seen).toBe('the boatswain')
  })

  it('tells watchers of content that is no text', () => {
    const told: unknown[] = []
    const watch: Watcher = {
      name: 'test',
      start: () => ({
        push: () => clear,
        tick: () => clear,
        end: () => clear,
        alive: (now, facts) => {
          told.push([now, facts])
          return clear
        },
      }),
    }
    const open = gate([watch, watcher(() => clear)])
    expect(open.alive(7, { tokens: 3 })).toBe('')
    expect(told).toEqual([[7, { tokens: 3 }]])
  })

  it('costs the same for each piece, however much is held', () => {
    const cost = (pieces: number): number => {
      const open = gate([
        { name: 'test', start: () => ({ push: () => ({ state: 'suspect', from: 3 }), tick: () => clear, end: () => clear }) },
      ])
      const before = process.cpuUsage()
      for (let n = 0; n < pieces; n++) open.push('\ud83d', 0)
      const { user, system } = process.cpuUsage(before)
      expect(open.end('stop', 0)).toHaveLength(pieces - 2)
      return user + system
    }
    cost(20_000)
    const small = cost(20_000)
    // Ten times the pieces: ten times the cost, not a hundred.
    expect(cost(200_000)).toBeLessThan(Math.max(small, 4000) * 40)
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

  it('gives a beginning of the raw text and no more, whatever hostile watchers say', () => {
    const offset = fc.oneof(fc.integer({ min: -5, max: 80 }), fc.constantFrom(Number.NaN, Infinity, -Infinity, 2.5, 1e9))
    const verdict: fc.Arbitrary<Verdict | undefined> = fc.oneof(
      { weight: 6, arbitrary: fc.constant(clear) },
      { weight: 4, arbitrary: fc.record({ state: fc.constant('suspect' as const), from: offset }) },
      {
        weight: 1,
        arbitrary: fc.record({
          state: fc.constant('struggle' as const),
          kind: fc.constant('loop' as const),
          evidence: fc.constant(''),
          cutAt: offset,
        }),
      },
      { weight: 1, arbitrary: fc.constant(undefined) },
    )
    const script = fc.array(verdict, { maxLength: 30 })
    const hostile = (verdicts: readonly (Verdict | undefined)[]): Watcher => {
      let turn = 0
      // No verdict at all: a watcher that breaks its contract.
      const next = (): Verdict => verdicts[turn++ % Math.max(1, verdicts.length)] as Verdict
      return { name: 'hostile', start: () => ({ push: next, tick: next, end: next, alive: next }) }
    }
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), fc.constantFrom('\ud83d', '\ude00', 'word '))),
        fc.array(script, { maxLength: 3 }),
        fc.string({ maxLength: 8 }),
        (pieces, scripts, already) => {
          const open = gate(scripts.map(hostile), already)
          const raw = pieces.join('')
          let seen = ''
          const take = (text: string): void => {
            seen += text
            if (!raw.startsWith(seen)) throw new Error(`released ${JSON.stringify(seen)}`)
          }
          for (const [n, piece] of pieces.entries()) {
            const held = open.struggle
            take(open.push(piece, n))
            if (held && open.struggle !== held) throw new Error('another struggle')
            take(open.tick(n))
            take(open.alive(n, { tokens: 1 }))
          }
          if (!open.struggle) take(open.end('stop', 99))
          if (!open.struggle) {
            expect(seen).toBe(raw)
            return
          }
          const before = seen.length
          take(open.cut())
          const { cutAt } = open.struggle
          // Never beyond the cut, but for the rest of a word that was begun.
          if (cutAt > already.length + before) expect(already.length + seen.length).toBeLessThanOrEqual(cutAt)
          expect(open.push('more', 100) + open.end('stop', 100)).toBe('')
        },
      ),
      { numRuns: 100 },
    )
  })
})
