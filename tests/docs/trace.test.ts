import fs from 'node:fs/promises'
import { expect, it } from 'vitest'
import { alwaysSmallest } from '../../src/chat/simulation/baselines.ts'
import { simulate } from '../../src/chat/simulation/simulate.ts'
import { parseTrace } from '../../src/chat/simulation/trace.ts'

it('the trace that the page shows is one, and runs', async () => {
  const page = await fs.readFile('docs/simulate.md', 'utf8')
  const trace = parseTrace(/```json\n([\s\S]*?)```/.exec(page)?.[1] ?? '', 'docs/simulate.md')
  expect(trace.events.map(({ type }) => type)).toEqual(['memory', 'message', 'memory', 'fault', 'outage', 'end'])
  expect(simulate(trace, alwaysSmallest)).toMatchObject({ answers: 1, failures: [], overloads: 0 })
})
