/**
 * Linux: graphics memory and battery. AMD and the battery stand in /sys; NVIDIA is asked through nvidia-smi,
 * in the background. systeminformation is not used here: it would ask through execSync, and drops a zero.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { GpuSample, ResourceSample } from '../../chat/resources.ts'
import type { SlowReader } from './reading.ts'

const MIB = 2 ** 20

/** @param sysRoot usually `/sys` */
export function linuxSlowReader(options: { readonly graphics: boolean; readonly sysRoot: string; readonly timeoutMs: number }): SlowReader {
  const { graphics, sysRoot, timeoutMs } = options
  let nvidiaMissing = false
  const nvidia = async (signal: AbortSignal): Promise<readonly GpuSample[]> => {
    if (nvidiaMissing) return []
    const answer = await askNvidia(timeoutMs, signal)
    nvidiaMissing = answer === undefined
    return parseNvidia(answer ?? '')
  }
  return async (signal) => {
    const [amdGpus, nvidiaGpus, battery] = await Promise.all([
      graphics ? readAmd(sysRoot) : [],
      graphics ? nvidia(signal) : [],
      readBattery(sysRoot),
    ])
    return { gpus: [...nvidiaGpus, ...amdGpus], battery }
  }
}

/**
 * Lines `name, total, free` in MiB, as `nvidia-smi --format=csv,noheader,nounits` writes them.
 * A device that shares the machine's memory says `[N/A]`.
 */
export function parseNvidia(csv: string): GpuSample[] {
  return csv.split('\n').flatMap((line): GpuSample[] => {
    const [, name, total, free] = /^(.+), *(\d+|\[.*\]), *(\d+|\[.*\]) *$/.exec(line.trimEnd()) ?? []
    if (name === undefined) return []
    const totalBytes = Number(total) * MIB
    const freeBytes = Number(free) * MIB
    if (Number.isFinite(totalBytes) && Number.isFinite(freeBytes)) return [{ name, totalBytes, freeBytes, unified: false }]
    return [{ name, totalBytes: 0, freeBytes: 0, unified: true }]
  })
}

/** Undefined when there is no nvidia-smi. */
function askNvidia(timeout: number, signal: AbortSignal): Promise<string | undefined> {
  const query = ['--query-gpu=name,memory.total,memory.free', '--format=csv,noheader,nounits']
  return new Promise((resolve, reject) => {
    // Not through its `signal` option: for a program that is missing, Node 20 would kill whatever process id it finds in
    // uninitialised memory, 0 (ourselves and all our kin) among them.
    const stop = (): void => {
      if (child.pid !== undefined) child.kill('SIGKILL')
    }
    const child = execFile('nvidia-smi', query, { timeout, windowsHide: true, killSignal: 'SIGKILL' }, (error, stdout) => {
      signal.removeEventListener('abort', stop)
      if (error === null) resolve(stdout)
      else if (error.code === 'ENOENT' || error.code === 'EACCES') resolve(undefined)
      // It is there, but has no driver to talk to: no device either.
      else if (typeof error.code === 'number') resolve('')
      else reject(error)
    })
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
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

/** Empty where the folder does not exist, as in most containers. */
async function listFolder(path: string): Promise<string[]> {
  return (await readdir(path).catch(() => [])).sort()
}

/** Undefined where the file does not exist: drivers differ in what they offer. */
async function readTrimmed(path: string): Promise<string | undefined> {
  return (await readFile(path, 'utf8').catch(() => undefined))?.trim()
}
