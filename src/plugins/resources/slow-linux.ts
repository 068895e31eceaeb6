/**
 * Linux: graphics memory, battery and temperature. AMD, battery and temperature stand in /sys; NVIDIA's tool runs beside Mai.
 * systeminformation is not used here: it would ask through execSync, and drops a zero.
 *
 * @module
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GpuSample, ResourceSample } from '../../chat/resources.ts'
import type { NvidiaLoop } from './nvidia.ts'
import type { SlowReader } from './reading.ts'

/** @param options `sysRoot`: usually `/sys` */
export function linuxSlowReader(options: {
  readonly graphics: boolean
  readonly nvidia?: NvidiaLoop | undefined
  readonly sysRoot: string
}): SlowReader {
  const { graphics, nvidia, sysRoot } = options
  return async () => {
    const [amdGpus, nvidiaGpus, battery, temperature] = await Promise.all([
      graphics ? readAmd(sysRoot) : [],
      graphics ? (nvidia?.gpus() ?? []) : [],
      readBattery(sysRoot),
      readTemperature(sysRoot),
    ])
    return { gpus: [...nvidiaGpus, ...amdGpus], battery, temperature }
  }
}

async function readAmd(sysRoot: string): Promise<GpuSample[]> {
  const drm = join(sysRoot, 'class', 'drm')
  const cards = (await listFolder(drm)).filter((name) => /^card\d+$/.test(name))
  const found = await Promise.all(cards.map((card) => readAmdCard(join(drm, card, 'device'))))
  return found.flat()
}

async function readAmdCard(device: string): Promise<GpuSample[]> {
  const [total, used, name] = await Promise.all(
    ['mem_info_vram_total', 'mem_info_vram_used', 'product_name'].map((file) => readTrimmed(join(device, file))),
  )
  if (!/^\d+$/.test(total ?? '') || !/^\d+$/.test(used ?? '')) return []
  const totalBytes = Number(total)
  return [{ name: name || 'AMD GPU', totalBytes, freeBytes: Math.max(0, totalBytes - Number(used)), unified: false }]
}

async function readBattery(sysRoot: string): Promise<ResourceSample['battery']> {
  const supplies = join(sysRoot, 'class', 'power_supply')
  for (const name of await listFolder(supplies)) {
    const read = (file: string): Promise<string | undefined> => readTrimmed(join(supplies, name, file))
    const [type, scope, status, capacity] = await Promise.all(['type', 'scope', 'status', 'capacity'].map(read))
    // A mouse or a keyboard has a battery too; its scope is Device.
    if (type !== 'Battery' || scope === 'Device') continue
    const percent = Number(capacity || Number.NaN)
    if (Number.isFinite(percent)) return { discharging: status === 'Discharging', percent }
  }
  return undefined
}

/** Zones that tell of the processor; others are batteries, radios, disks. */
const PROCESSOR_ZONE = /^(x86_pkg_temp|cpu|soc|acpitz|k10temp|coretemp|TCPU)/i

/** The hottest zone of the processor, in degrees Celsius. */
async function readTemperature(sysRoot: string): Promise<number | undefined> {
  const thermal = join(sysRoot, 'class', 'thermal')
  const zones = (await listFolder(thermal)).filter((name) => /^thermal_zone\d+$/.test(name))
  const degrees = await Promise.all(
    zones.map(async (zone) => {
      const [type, thousandths] = await Promise.all(['type', 'temp'].map((file) => readTrimmed(join(thermal, zone, file))))
      return PROCESSOR_ZONE.test(type ?? '') && /^\d+$/.test(thousandths ?? '') ? [Number(thousandths) / 1000] : []
    }),
  )
  const all = degrees.flat()
  return all.length > 0 ? Math.max(...all) : undefined
}

/** Empty where the folder does not exist, as in most containers. */
async function listFolder(path: string): Promise<string[]> {
  return (await readdir(path).catch(() => [])).sort()
}

/** Undefined where the file does not exist: drivers differ in what they offer. */
async function readTrimmed(path: string): Promise<string | undefined> {
  return (await readFile(path, 'utf8').catch(() => undefined))?.trim()
}
