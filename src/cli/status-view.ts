/**
 * The status as people read it: pure functions of what Mai says of itself.
 *
 * @module
 */
import { usersText } from '../chat/memory/what-to-free.ts'
import type { SystemStatus } from '../chat/status.ts'
import { reasonText } from './explain/reasons.ts'
import { neutraliseLine } from './neutralise.ts'

const GIB = 2 ** 30
/** Cells of a bar. */
const BAR = 10

/** A share from 0 to 1. */
function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0)) * BAR)
  return '█'.repeat(full).padEnd(BAR, '░')
}

/** `4.2 of 16.0 GiB` with its bar. */
function used(usedBytes: number, totalBytes: number): string {
  return `${bar(usedBytes / totalBytes)} ${(usedBytes / GIB).toFixed(1)} of ${(totalBytes / GIB).toFixed(1)} GiB`
}

const percent = (share: number): string => `${Math.round(share * 100)} %`

/** A line each: what answers and why, what is loaded, the machine, backends, store. */
export function statusLines(status: SystemStatus): string[] {
  const { memory, cpu, gpus, level, battery } = status.resources
  const reason = status.decision?.reason
  const excluded = status.model === undefined ? (status.decision?.candidates ?? []).filter((c) => c.excluded !== undefined) : []
  const rows: (readonly [string, string])[] = [
    ['model', `${status.model ?? 'none'}${reason ? ` (${reasonText(reason)})` : ''}${status.pinned ? `, pinned ${status.pinned}` : ''}`],
    ...(reason === 'minimal'
      ? [['mode', 'minimal: the smallest model, the smallest window, until memory has been calm for five minutes'] as const]
      : []),
    ...excluded.map((c) => ['', `${c.model}: ${c.excluded}`] as const),
    ...status.circuits.map((circuit) => ['resting', `${circuit.model}: ${circuit.reason}`] as const),
    ['loaded', status.loaded.map((i) => `${i.model} (${i.contextLength} tokens)`).join(', ') || 'nothing'],
    ['memory', `${used(memory.totalBytes - memory.availableBytes, memory.totalBytes)}, ${level}`],
    ...(status.memoryUsers ? [['', `most by ${usersText(status.memoryUsers)}`] as const] : []),
    ...gpus.map((gpu) => ['gpu', `${used(gpu.totalBytes - gpu.freeBytes, gpu.totalBytes)}, ${gpu.name}`] as const),
    ['cpu', `${bar(cpu.load)} ${percent(cpu.load)} of ${cpu.cores} cores`],
    ...(battery
      ? [['battery', `${bar(battery.percent / 100)} ${battery.percent} %${battery.discharging ? ', discharging' : ''}`] as const]
      : []),
    ...status.backends.map(
      (b) =>
        [
          'backend',
          `${b.name}${b.remote ? ' (remote)' : ''}: ${b.connected ? `${b.models} models` : (b.error?.message ?? 'not connected')}`,
        ] as const,
    ),
    ['store', `${status.store.location}, ${status.store.sessions} sessions`],
    ['config', status.configFile ?? 'built-in'],
  ]
  return rows.map(([name, text]) => `${name.padEnd(9)}${neutraliseLine(text)}`)
}

/** All in one line, for a log. @param time epoch ms */
export function statusSummary({ model, loaded, resources }: SystemStatus, time: number): string {
  const { memory, cpu, level } = resources
  const share = 1 - memory.availableBytes / memory.totalBytes
  const names = loaded.map((instance) => instance.model).join(', ') || 'nothing'
  const machine = `memory ${percent(share)} ${level}  cpu ${percent(cpu.load)}`
  return `${new Date(time).toISOString()}  ${neutraliseLine(model ?? 'no model')}  ${machine}  loaded ${neutraliseLine(names)}`
}
