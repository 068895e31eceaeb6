import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { assembleCorpus, SOURCES_AND_DATA } from '../../../bench/struggle/corpus.ts'
import { isNoisy, loopsFrom, wordsOf, written } from '../../../bench/struggle/loops.ts'
import { replay } from '../../../bench/struggle/replay.ts'
import { struggleWatchers } from '../../../src/plugins/struggle/index.ts'

/** A sample of what `npm run bench:struggle` plays whole, which is 14 MB. */
const samples = assembleCorpus(path.resolve(), 150_000)
const watchers = struggleWatchers()

describe('on real text, the detectors', () => {
  const results = samples.map((sample) => ({ ...sample, ...replay(sample.text, watchers) }))

  it('raise no false alarm on prose, Markdown, tables, licences, logs and verse', () => {
    expect(results.length).toBeGreaterThan(150)
    const alarms = results.filter(({ kind, struggle }) => struggle && !SOURCES_AND_DATA.has(kind))
    expect(alarms.map(({ name, struggle }) => [name, struggle?.evidence])).toEqual([])
  })

  it('raise next to none on sources and data', () => {
    const data = results.filter(({ kind }) => SOURCES_AND_DATA.has(kind))
    // One in 200 over the whole corpus; a sample of some hundred may have one or two.
    expect(data.filter(({ struggle }) => struggle).length).toBeLessThanOrEqual(Math.max(2, data.length / 100))
  })

  it('hold back less than a hundredth of it', () => {
    const sum = (of: (result: (typeof results)[number]) => number): number => results.reduce((total, result) => total + of(result), 0)
    expect(sum(({ held }) => held) / sum(({ text }) => text.length)).toBeLessThan(0.01)
  })

  it('lose and repeat nothing of it', () => {
    for (const { text, struggle, released } of results) if (!struggle) expect(released).toBe(text.length)
  })
})

describe('on loops made of real text, the detectors', () => {
  const spoken = samples.filter(({ kind }) => ['prose', 'licence', 'changelog'].includes(kind))
  const words = wordsOf(spoken)
  const cases = loopsFrom(spoken, 60, [false, 'counting', 'one word', 'insertions'])

  it('find every exact one', () => {
    const exact = cases.filter((one) => !isNoisy(one))
    expect(exact.length).toBeGreaterThan(10)
    for (const one of exact) expect(replay(one.prefix + written(one, words), watchers).struggle, one.loop).toBeDefined()
  })

  it('find most of the noisy ones', () => {
    const noisy = cases.filter(isNoisy)
    const found = noisy.filter((one) => replay(one.prefix + written(one, words), watchers).struggle)
    expect(found.length / noisy.length).toBeGreaterThan(0.9)
  })
})
