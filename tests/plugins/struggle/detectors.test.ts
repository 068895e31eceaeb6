import { describe, expect, it } from 'vitest'
import { struggleWatchers } from '../../../src/plugins/struggle/index.ts'
import { finishes, verdictOf, watching } from './support.ts'

const clear = { state: 'clear' }

describe('the plugin', () => {
  it('has a detector for each way of going wrong, and each can be switched off', () => {
    expect(struggleWatchers().map(({ name }) => name)).toEqual(
      ['loops', 'compression', 'garbled', 'stall', 'slow', 'ending'].map((name) => `struggle: ${name}`),
    )
    expect(struggleWatchers({ loop: false, compression: false, garbled: false, stall: false, slow: false, ending: false })).toEqual([])
    expect(struggleWatchers({ confidence: {} }).at(-1)?.name).toBe('struggle: confidence')
  })
})

describe('compression', () => {
  it('finds what repeats itself inside words', () => {
    expect(verdictOf(watching('compression'), 'abcdefghijklmnopqrstuvwxyzabcde'.repeat(300))).toMatchObject({
      state: 'struggle',
      kind: 'loop',
    })
  })

  it('leaves rulers and rows of zeros alone', () => {
    expect(verdictOf(watching('compression'), '-'.repeat(8000))).toEqual(clear)
    expect(verdictOf(watching('compression'), '0, '.repeat(4000))).toEqual(clear)
  })
})

describe('compression of a log', () => {
  it('is no matter: each line has its time of day', () => {
    const line = (n: number): string =>
      `[Sun Dec 04 04:${String(Math.floor(n / 60) % 60).padStart(2, '0')}:${String(n % 60).padStart(2, '0')} 2005] [error] mod_jk child workerEnv in error state 6\n`
    expect(verdictOf(watching('compression'), Array.from({ length: 300 }, (_, n) => line(n)).join(''))).toEqual(clear)
  })
})

describe('garbled text', () => {
  it.each([
    ['replacement characters', '\ufffd'.repeat(8)],
    ['control characters', '\u0001\u0002\u0000\u0003\u0004\u0005\u0006\u0007'],
    ['lone surrogates', '\ud800a\ud800b\ud800c\ud800d\ud800e\ud800f\ud800g\ud800h'],
    ['scripts mixed inside words', 'anдเחk的рa주ع्кteпо'],
  ])('is seen: %s', (_, garbage) => {
    const before = 'This began well. '
    const verdict = verdictOf(watching('garbled'), `${before}${garbage} and so on.`, 3)
    expect(verdict).toMatchObject({ state: 'struggle', kind: 'garbled' })
    if (verdict.state === 'struggle') expect(verdict.cutAt).toBeGreaterThanOrEqual(before.length)
  })

  it.each([
    ['names of languages', 'English | 简体中文 | 日本語 | 한국어 | Русский | العربية | हिन्दी | ไทย | Ελληνικά | עברית | Français'],
    ['Japanese with Latin words', 'Node.jsのバージョンを確認して、npmでTypeScriptをインストールしてください。'],
    ['Thai with Latin words', 'ใช้Nodeได้เลยแล้วติดตั้งnpmก่อนใช้งานTypeScriptนะครับ'],
    ['an emoji or two', 'Well done 👩‍👩‍👧‍👦🎉, see you 😀!'],
    ['colours of a terminal', '\u001b[31merror\u001b[0m \u001b[32mok\u001b[0m '.repeat(10)],
    ['bold of a manual', 'N\bNA\bAM\bME\bE '.repeat(10)],
    ['a replacement character or two', 'The bytes were shown as \ufffd\ufffd in the log.'],
  ])('is not seen in %s', (_, text) => {
    expect(verdictOf(watching('garbled'), text, 1).state).not.toBe('struggle')
  })
})

describe('stall', () => {
  it('waits for the first content as long as reading the prompt may take', () => {
    const short = watching('stall', { promptTokens: 10 })
    expect(short.tick(30_000)).toEqual(clear)
    expect(short.tick(30_001)).toMatchObject({ kind: 'stall', cutAt: 0 })
    const cold = watching('stall', { promptTokens: 1000 })
    expect(cold.tick(200_000)).toEqual(clear)
    expect(cold.tick(200_001)).toMatchObject({ kind: 'stall' })
    const known = watching('stall', { promptTokens: 10_000, shown: { prefillPerSecond: 1000, writingPerSecond: undefined } })
    expect(known.tick(40_000)).toEqual(clear)
    expect(known.tick(40_001)).toMatchObject({ kind: 'stall' })
  })

  it('counts gaps from the last content, of whatever kind', () => {
    const watch = watching('stall', { already: 'Once' })
    watch.push(' upon', 1000)
    expect(watch.tick(16_000)).toEqual(clear)
    watch.alive?.(16_000, { tokens: 3 })
    expect(watch.tick(31_000)).toEqual(clear)
    watch.push('', 31_000)
    expect(watch.tick(31_001)).toMatchObject({ state: 'struggle', kind: 'stall', cutAt: 9 })
  })
})

describe('progress of the prompt', () => {
  it('is a sign of life, and not the first content', () => {
    const watch = watching('stall', { promptTokens: 10 })
    watch.alive?.(25_000, { tokens: 0 })
    expect(watch.tick(55_000)).toEqual(clear)
    expect(watch.tick(55_001)).toMatchObject({ kind: 'stall' })
  })
})

describe('slow', () => {
  const shown = { prefillPerSecond: undefined, writingPerSecond: 50 }
  const write = (watch: ReturnType<typeof watching>, perSecond: number, seconds: number): ReturnType<typeof watch.tick>[] =>
    Array.from({ length: seconds }, (_, second) => {
      watch.push('text', second * 1000, { tokens: perSecond })
      return watch.tick(second * 1000 + 500)
    })

  it('is below a fifth of what the model has shown, over a whole window after the grace', () => {
    const verdicts = write(watching('slow', { shown }), 8, 60)
    expect(verdicts.slice(0, 29)).toEqual(Array(29).fill(clear))
    expect(verdicts.at(-1)).toMatchObject({ state: 'struggle', kind: 'slow' })
  })

  it('is no matter of hardware: what a model has always shown is its speed, and nothing is judged before', () => {
    expect(write(watching('slow', { shown: { prefillPerSecond: undefined, writingPerSecond: 2 } }), 2, 120)).toEqual(Array(120).fill(clear))
    expect(write(watching('slow'), 1, 120)).toEqual(Array(120).fill(clear))
    expect(write(watching('slow', {}, { slow: { floorPerSecond: 5 } }), 1, 60).at(-1)).toMatchObject({ kind: 'slow' })
  })

  it('counts reasoning as writing', () => {
    const watch = watching('slow', { shown })
    for (let second = 0; second < 60; second++) {
      watch.alive?.(second * 1000, { tokens: 50 })
      expect(watch.tick(second * 1000 + 500)).toEqual(clear)
    }
  })
})

describe('the end of an answer', () => {
  it('without content is a struggle, unless a tool was called or an earlier model wrote it all', () => {
    expect(watching('ending').end('stop', 0)).toMatchObject({ kind: 'empty' })
    const blank = watching('ending')
    blank.push(' \n\n', 0)
    expect(blank.end('stop', 0)).toMatchObject({ kind: 'empty' })
    const tool = watching('ending')
    tool.alive?.(0, { tokens: 0, toolCall: true })
    expect(tool.end('stop', 0)).toEqual(clear)
    expect(watching('ending', { already: 'All of it.' }).end('stop', 0)).toEqual(clear)
  })

  it('inside a character is cut off', () => {
    const watch = watching('ending', { already: 'ab' })
    watch.push('c\ud83d', 0)
    expect(watch.end('stop', 0)).toMatchObject({ kind: 'cut-off', cutAt: 3 })
  })

  it('with content is a success, and other ends are not its business', () => {
    for (const finish of finishes) {
      const watch = watching('ending')
      watch.push('Yes.', 0)
      expect(watch.end(finish, 0)).toEqual(clear)
    }
    for (const finish of finishes.filter((one) => one !== 'stop')) expect(watching('ending').end(finish, 0)).toEqual(clear)
  })
})

describe('confidence', () => {
  it('is lost when the mean over the window falls to the limit', () => {
    const watch = watching('confidence', {}, { confidence: { mean: -1, window: 4 } })
    const push = (...logProbabilities: number[]): ReturnType<typeof watch.push> =>
      watch.push('word ', 0, { tokens: logProbabilities.length, logProbabilities })
    expect(push(-0.1, -0.2, -3)).toEqual(clear)
    expect(push(-0.1)).toEqual(clear)
    expect(push(-2, -2)).toMatchObject({ state: 'struggle', kind: 'low-confidence' })
  })

  it('is not judged where no probabilities are given', () => {
    expect(verdictOf(watching('confidence', {}, { confidence: {} }), 'word '.repeat(500))).toEqual(clear)
  })
})
