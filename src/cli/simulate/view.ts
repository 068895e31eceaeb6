/**
 * A comparison as a table. Pure.
 *
 * @module
 */
import { neutraliseLine } from '../neutralise.ts'
import { table } from '../terminal/width.ts'
import type { Comparison, Result } from './compare.ts'

/** Models whose share of the time is shown. */
const SHOWN = 3

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`

/** What happened, a line a policy, and the bound. */
export function comparisonLines({ trace, oracle, results }: Comparison): string[] {
  const messages = trace.events.filter(({ type }) => type === 'message').length
  const hours = ((trace.events.at(-1)?.at ?? 0) / 3_600_000).toFixed(1)
  const memory = (trace.machine.totalBytes / 2 ** 30).toFixed(0)
  const heading = ['POLICY', 'SWITCHES', 'UNFORCED', 'FAILED', 'OVERLOADS', 'EXCEEDED', 'WORTH', 'REGRET', 'TIME IN EACH MODEL']
  return [
    neutraliseLine(`${trace.machine.name}: ${hours} h, ${messages} messages, ${trace.models.length} models, ${memory} GiB`),
    ...table([heading, ...results.map(cells)].map((row) => row.map(neutraliseLine))),
    `An oracle that knows the future reaches ${oracle.toFixed(1)}; regret is what is missing to that.`,
  ]
}

function cells({ policy, switches, unforced, failures, overloads, exceededMs, worth, regret, time }: Result): string[] {
  return [
    policy,
    String(switches),
    String(unforced),
    String(failures),
    String(overloads),
    `${(exceededMs / 60_000).toFixed(1)} min`,
    worth.toFixed(1),
    percent(regret),
    timeText(time),
  ]
}

function timeText(time: Result['time']): string {
  const shares = Object.entries(time)
  const shown = shares.slice(0, SHOWN).map(([model, share]) => `${model.slice(model.indexOf('/') + 1)} ${Math.round(share * 100)} %`)
  const more = shares.length - shown.length
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join(', ') || 'none'
}
