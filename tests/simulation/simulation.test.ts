import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { alwaysSmallest, largestThatFits } from '../../src/chat/simulation/baselines.ts'
import { GENERATORS, generateTrace } from '../../src/chat/simulation/generators.ts'
import { oracleWorth } from '../../src/chat/simulation/oracle.ts'
import { simulate } from '../../src/chat/simulation/simulate.ts'
import { parseTrace, type Trace, type TraceEvent, type TraceModel, traceText } from '../../src/chat/simulation/trace.ts'
import { switchingPolicy } from '../../src/plugins/switching/index.ts'
import { OPTIONS } from '../plugins/switching/support.ts'

const ours = switchingPolicy(OPTIONS)
/** Few, so that the tests stay quick; `npm run bench:policy` takes 30. */
const SEEDS = [1, 2, 3, 4, 5, 6]

const model = (name: string, gb: number, quality: number, changes: Partial<TraceModel> = {}): TraceModel => ({
  type: 'model',
  model: `lmstudio/${name}`,
  weightsBytes: gb * 1e9,
  kvBytes: 0,
  computeBytes: 0,
  parameters: gb * 1.8e9,
  bits: 4.5,
  contextLength: 8192,
  quality,
  tokensPerSecond: 30,
  prefillPerSecond: 300,
  loadMs: 1000,
  tools: true,
  ...changes,
})
const message = (at: number): TraceEvent => ({
  type: 'message',
  at,
  session: 's',
  needs: { contextTokens: 1024, vision: false, tools: false, promptTokens: 300 },
  answerTokens: 300,
})
const trace = (models: readonly TraceModel[], events: readonly TraceEvent[]): Trace => ({
  machine: { type: 'machine', version: 1, name: 'test', totalBytes: 16e9 },
  models,
  events,
})
const MINUTE = 60_000
const small = model('small', 1, 3)
const big = model('big', 6, 6)

describe('a trace', () => {
  it.each(GENERATORS)('of %s survives its text form, and its seed makes it again', (name) => {
    const made = generateTrace(name, 5)
    expect(generateTrace(name, 5)).toEqual(made)
    expect(generateTrace(name, 6)).not.toEqual(made)
    expect(parseTrace(traceText(made), 'x')).toEqual(made)
  })

  it.each([
    ['', 'no line of type "machine"'],
    ['{', 't.jsonl:1 is no trace: it is no JSON'],
    ['# words\n\n[]', 't.jsonl:3'],
    ['{"type":"machine","version":2,"name":"x","totalBytes":1}', 'version 2'],
    ['{"type":"memory","at":"now","freeBytes":1}', '"at" must be a number'],
    ['{"type":"message","at":1,"session":"s","needs":null,"answerTokens":1}', '"needs" must be a object'],
    ['{"type":"message","at":1,"session":"s","needs":{},"answerTokens":1}', '"needs.contextTokens" must be a number'],
  ])('that is none is refused with its line: %j', (text, said) => {
    expect(() => parseTrace(text, 't.jsonl')).toThrow(said)
  })
})

describe('the world of a simulation', () => {
  it('answers, loads and switches as a machine would', () => {
    const outcome = simulate(trace([small, big], [message(0), message(MINUTE), { type: 'end', at: 2 * MINUTE }]), largestThatFits)
    expect(outcome).toMatchObject({ answers: 2, failures: [], switches: [], overloads: 0, exceededMs: 0, endMs: 2 * MINUTE })
    expect(outcome.spans).toEqual([{ model: 'lmstudio/big', from: 1000, to: 2 * MINUTE }])
  })

  it('refuses a load of more than is free, and counts it', () => {
    const full: TraceEvent = { type: 'memory', at: 0, freeBytes: 0.5e9 }
    expect(simulate(trace([small], [full, message(1)]), alwaysSmallest)).toMatchObject({ answers: 0, failures: [1], overloads: 1 })
  })

  it('counts the time in which there is less memory than is held', () => {
    const events: TraceEvent[] = [message(0), { type: 'memory', at: MINUTE, freeBytes: 0.5e9 }, { type: 'end', at: 3 * MINUTE }]
    expect(simulate(trace([small], events), alwaysSmallest).exceededMs).toBe(2 * MINUTE)
  })

  it('a model that fails is left for another, and that counts as forced', () => {
    const fault: TraceEvent = { type: 'fault', at: 0, until: MINUTE, model: 'lmstudio/big', kind: 'loop' }
    const outcome = simulate(trace([small, big], [fault, message(1)]), largestThatFits)
    expect(outcome.answers).toBe(1)
    expect(outcome.switches).toMatchObject([{ from: 'lmstudio/big', to: 'lmstudio/small', reason: 'loop', forced: true }])
  })

  it('an outage takes all models of its backend, also in the middle of an answer', () => {
    const other = { ...small, model: 'llamacpp/small' }
    const events: TraceEvent[] = [{ type: 'outage', at: 3000, until: MINUTE, backend: 'lmstudio' }, message(1), message(40_000)]
    const outcome = simulate(trace([other, big], events), largestThatFits)
    expect(outcome.answers).toBe(2)
    expect(outcome.switches).toMatchObject([{ to: 'llamacpp/small', reason: 'backend-lost' }])
  })

  it('is the same each time', () => {
    const made = generateTrace('failing-model', 3)
    expect(simulate(made, ours)).toEqual(simulate(made, ours))
  })
})

describe('the oracle', () => {
  it('finds the best by hand: the large one once memory allows', () => {
    const events: TraceEvent[] = [
      { type: 'memory', at: 0, freeBytes: 2e9 },
      message(1),
      { type: 'memory', at: MINUTE, freeBytes: 12e9 },
      message(2 * MINUTE),
    ]
    const worth = (quality: number): number => 1 - 2 ** (-quality / 4)
    expect(oracleWorth(trace([small, big], events))).toBeCloseTo(worth(3) + worth(6))
  })

  it('nobody does better', () => {
    fc.assert(
      fc.property(fc.constantFrom(...GENERATORS), fc.integer({ min: 100, max: 1000 }), (name, seed) => {
        const made = generateTrace(name, seed, 0.4)
        const bound = oracleWorth(made)
        for (const policy of [ours, largestThatFits, alwaysSmallest]) expect(simulate(made, policy).worth).toBeLessThanOrEqual(bound + 1e-9)
      }),
      { numRuns: 20, seed: 7 },
    )
  })
})

describe.each(GENERATORS)('on a day that is %s', (name) => {
  const days = SEEDS.map((seed) => generateTrace(name, seed))
  const regret = (worths: readonly number[]): number =>
    worths.reduce((sum, worth, index) => sum + 1 - worth / oracleWorth(days[index]!), 0) / worths.length

  it('the policy never loads above free memory, and two switches that nothing forces lie the dwell time apart', () => {
    for (const day of days) expect(simulate(day, ours)).toMatchObject({ overloads: 0, hasty: 0 })
  })

  it('regrets at most half of what "largest that fits" and "always smallest" do', () => {
    const own = regret(days.map((day) => simulate(day, ours).worth))
    for (const other of [largestThatFits, alwaysSmallest])
      expect(own).toBeLessThan(regret(days.map((day) => simulate(day, other).worth)) / 2)
  })
})
