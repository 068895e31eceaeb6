/**
 * macOS, Windows and others: graphics, battery and (macOS) real headroom, through systeminformation.
 * It is slow and starts child processes, so it is imported at first use and asked at the slow interval only.
 *
 * @module
 */
import os from 'node:os'
import type { GpuSample, ResourceSample } from '../../chat/resources.ts'
import type { SlowFacts, SlowReader } from './reading.ts'

const MIB = 2 ** 20

/** What is used of systeminformation's answers; absent or null where a system does not tell. */
export interface ControllerFacts {
  readonly vendor: string
  readonly model: string
  readonly name?: string
  readonly vram: number | null
  readonly memoryTotal?: number
  readonly memoryFree?: number
  readonly memoryUsed?: number
}

/** Apple silicon shares the machine's memory. @param platform as in `process.platform` */
export function gpusFrom(controllers: readonly ControllerFacts[], platform: string, arch: string): GpuSample[] {
  return controllers.flatMap((controller): GpuSample[] => {
    const name = controller.name || controller.model || controller.vendor
    if (platform === 'darwin' && arch === 'arm64') return [{ name, totalBytes: 0, freeBytes: 0, unified: true }]
    const totalMib = controller.memoryTotal ?? controller.vram ?? 0
    if (totalMib <= 0) return []
    // It leaves memoryUsed out when it is 0; with neither figure the device's use is unknown and all of it is assumed free.
    const freeMib = controller.memoryFree ?? totalMib - (controller.memoryUsed ?? 0)
    return [{ name, totalBytes: totalMib * MIB, freeBytes: Math.max(0, freeMib) * MIB, unified: false }]
  })
}

/** Reads through systeminformation. */
export function systeminformationReader(options: { readonly graphics: boolean }): SlowReader {
  return async () => {
    const { default: si } = await import('systeminformation')
    const [{ controllers }, battery, memory, heat] = await Promise.all([
      options.graphics ? si.graphics() : { controllers: [] },
      si.battery(),
      process.platform === 'darwin' ? si.mem() : undefined,
      si.cpuTemperature(),
    ])
    // Null where a system does not tell.
    const temperature = heat.max ?? heat.main ?? undefined
    const facts: SlowFacts = { gpus: gpusFrom(controllers, process.platform, process.arch), battery: batteryFrom(battery), temperature }
    if (memory === undefined) return facts
    return { ...facts, memory: { availableBytes: memory.available, freeBytes: os.freemem(), swapUsedBytes: memory.swapused } }
  }
}

/**
 * What is assumed until the first answer. On macOS the free count alone is a fraction of what programs can have,
 * and would report pressure on a healthy machine: half of the memory is taken as available.
 */
export function assumedFacts(platform: string, totalBytes: number, freeBytes: number): SlowFacts {
  const nothing = { gpus: [], battery: undefined }
  if (platform !== 'darwin') return nothing
  return { ...nothing, memory: { availableBytes: Math.max(freeBytes, totalBytes / 2), freeBytes, swapUsedBytes: 0 } }
}

function batteryFrom(battery: {
  readonly hasBattery: boolean
  readonly acConnected: boolean
  readonly isCharging: boolean
  readonly percent: number
}): ResourceSample['battery'] {
  if (!battery.hasBattery) return undefined
  return { discharging: !battery.acConnected && !battery.isCharging, percent: battery.percent }
}
