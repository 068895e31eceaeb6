/**
 * A comparison as a picture: memory over time, and below it which model each policy had loaded. Pure; SVG 1.1.
 *
 * @module
 */
import type { Trace, TraceModel } from '../../chat/simulation/trace.ts'
import type { Comparison } from './compare.ts'

const WIDTH = 1200
const LEFT = 150
const RIGHT = 20
const MEMORY_HEIGHT = 120
const LANE_HEIGHT = 26
const GAP = 14
const TOP = 46
const HOUR = 3_600_000
/** Most ticks on the axis of time. */
const TICKS = 12
/** Steps between ticks, in hours. */
const STEPS = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168]

/** The picture. */
export function timelineSvg({ trace, outcomes }: Comparison): string {
  const end = Math.max(1, ...outcomes.map(({ endMs }) => endMs))
  const x = (at: number): string => (LEFT + (Math.min(at, end) / end) * (WIDTH - LEFT - RIGHT)).toFixed(1)
  const models = [...trace.models].sort((a, b) => a.weightsBytes - b.weightsBytes)
  const colours = new Map(models.map((model, index) => [model.model, colour(index, models.length)]))
  const lanesTop = TOP + MEMORY_HEIGHT + 2 * GAP
  const lanes = outcomes.map((outcome, index) => {
    const y = lanesTop + index * (LANE_HEIGHT + GAP)
    const spans = outcome.spans.map(
      ({ model, from, to }) =>
        `<rect x="${x(from)}" y="${y}" width="${(Number(x(to)) - Number(x(from))).toFixed(1)}" height="${LANE_HEIGHT}" fill="${colours.get(model) ?? '#888'}"><title>${text(model)}</title></rect>`,
    )
    const marks = outcome.switches.map(
      ({ at, to, reason }) => `<path d="M${x(at)} ${y - 6}v6" stroke="#444"><title>${text(`${to}: ${reason}`)}</title></path>`,
    )
    const failures = outcome.failures.map(
      (at) => `<circle cx="${x(at)}" cy="${y + LANE_HEIGHT / 2}" r="4" fill="#c00"><title>no answer</title></circle>`,
    )
    const name = `<text x="${LEFT - 8}" y="${y + LANE_HEIGHT / 2 + 4}" text-anchor="end">${text(outcome.policy)}</text>`
    return [name, ...spans, ...marks, ...failures].join('\n')
  })
  const axisTop = lanesTop + outcomes.length * (LANE_HEIGHT + GAP)
  const legendTop = axisTop + 40
  const height = legendTop + Math.ceil(models.length / 4) * 20 + 10
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="16">${text(trace.machine.name)}</text>
${memoryArea(trace, end, x)}
${lanes.join('\n')}
${axis(end, axisTop, x)}
${legend(models, colours, legendTop)}
</svg>
`
}

/** What is free but for Mai's own models. */
function memoryArea({ machine, events }: Trace, end: number, x: (at: number) => string): string {
  const y = (bytes: number): string => (TOP + MEMORY_HEIGHT * (1 - Math.max(0, Math.min(1, bytes / machine.totalBytes)))).toFixed(1)
  const bottom = TOP + MEMORY_HEIGHT
  let path = `M${x(0)} ${bottom}`
  let level = y(machine.totalBytes)
  for (const event of events) {
    if (event.type !== 'memory') continue
    path += `L${x(event.at)} ${level}`
    level = y(event.freeBytes)
    path += `L${x(event.at)} ${level}`
  }
  path += `L${x(end)} ${level}L${x(end)} ${bottom}Z`
  const gib = (machine.totalBytes / 2 ** 30).toFixed(0)
  return `<text x="${LEFT - 8}" y="${TOP + 10}" text-anchor="end">free, of ${gib} GiB</text>
<path d="${path}" fill="#dde7f0" stroke="#7a95ad"/>`
}

function axis(end: number, top: number, x: (at: number) => string): string {
  const step = STEPS.find((hours) => end / (hours * HOUR) <= TICKS) ?? end / HOUR / TICKS
  const ticks: string[] = []
  for (let hours = 0; hours * HOUR <= end; hours += step) {
    const at = x(hours * HOUR)
    ticks.push(
      `<path d="M${at} ${top}v6" stroke="#444"/><text x="${at}" y="${top + 20}" text-anchor="middle">${Number(hours.toFixed(2))} h</text>`,
    )
  }
  return ticks.join('\n')
}

function legend(models: readonly TraceModel[], colours: ReadonlyMap<string, string>, top: number): string {
  const column = (WIDTH - LEFT - RIGHT) / 4
  return models
    .map(({ model }, index) => {
      const left = LEFT + (index % 4) * column
      const y = top + Math.floor(index / 4) * 20
      return `<rect x="${left}" y="${y - 10}" width="12" height="12" fill="${colours.get(model)}"/><text x="${left + 18}" y="${y}">${text(model)}</text>`
    })
    .join('\n')
}

/** From small, pale yellow, to large, dark blue: the lightness tells them apart without colour too. */
function colour(index: number, count: number): string {
  const share = count < 2 ? 0 : index / (count - 1)
  return `hsl(${Math.round(55 + 185 * share)} 65% ${Math.round(78 - 50 * share)}%)`
}

/** Text of a picture: names come from outside. */
function text(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML allows none of them
  return value.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ').replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
