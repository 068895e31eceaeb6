/**
 * Parsers of what the Linux kernel writes in /proc and in cgroup files.
 * Pure and total: text that is not understood gives undefined, never an error.
 *
 * @module
 */

/** Bytes, from /proc/meminfo. */
export interface MemInfo {
  readonly totalBytes: number
  readonly availableBytes: number
  readonly swapUsedBytes: number
}

/** Jiffies since boot, summed over all cores, from /proc/stat. */
export interface CpuTimes {
  readonly busy: number
  readonly total: number
  readonly cores: number
}

/** Where a process stands in the cgroup trees. Paths begin with a slash. */
export interface CgroupPaths {
  /** In the unified tree (v2). */
  readonly unified: string | undefined
  /** In the tree of the memory controller (v1). */
  readonly memory: string | undefined
}

const MEMINFO_FIELDS = ['MemTotal', 'MemFree', 'MemAvailable', 'Buffers', 'Cached', 'SwapTotal', 'SwapFree'] as const

/** One search a field, compiled once: reading every line would cost more than reading the file. */
const MEMINFO: readonly RegExp[] = MEMINFO_FIELDS.map((name) => new RegExp(`^${name}: +(\\d+) kB`, 'm'))

/** Kernels before 3.14 have no MemAvailable; free + buffers + cached stands in for it. */
export function parseMemInfo(text: string): MemInfo | undefined {
  const [totalBytes, free, told, buffers = 0, cached = 0, swapTotal = 0, swapFree = 0] = MEMINFO.map((field) => {
    const kib = field.exec(text)?.[1]
    return kib === undefined ? undefined : Number(kib) * 1024
  })
  const availableBytes = told ?? (free === undefined ? undefined : free + buffers + cached)
  if (!totalBytes || !Number.isFinite(totalBytes) || availableBytes === undefined) return undefined
  return { totalBytes, availableBytes: Math.min(availableBytes, totalBytes), swapUsedBytes: Math.max(0, swapTotal - swapFree) }
}

/** Waiting for a disk counts as idle; guest time is part of user time already. */
export function parseCpuTimes(text: string): CpuTimes | undefined {
  // Behind the cores come interrupts: far more text, and none of it wanted.
  const end = text.indexOf('\nintr')
  return cpuTimesOf(end < 0 ? text : text.slice(0, end))
}

function cpuTimesOf(text: string): CpuTimes | undefined {
  const line = /^cpu +(\d.*)$/m.exec(text)?.[1]
  if (line === undefined) return undefined
  const fields = line.trim().split(/\s+/).slice(0, 8).map(Number)
  const [, , , idle, iowait = 0] = fields
  if (idle === undefined || fields.some((field) => !Number.isFinite(field))) return undefined
  const total = fields.reduce((sum, field) => sum + field, 0)
  const cores = text.match(/^cpu\d+ /gm)?.length ?? 1
  return { busy: total - idle - iowait, total, cores }
}

/** `full avg10` of a pressure file, in percent: the share of time in which nothing ran for want of memory. */
export function parseStall(text: string): number | undefined {
  const avg10 = /^full avg10=(\d+(?:\.\d+)?)/m.exec(text)?.[1]
  return avg10 === undefined ? undefined : Number(avg10)
}

/** Bytes of memory.max, memory.limit_in_bytes or memory.current. `max` and garbage give undefined. */
export function parseCgroupBytes(text: string): number | undefined {
  const trimmed = text.trim()
  return /^\d+$/.test(trimmed) ? Number(trimmed) : undefined
}

/** File cache that the kernel drops first, from memory.stat: `inactive_file`, in v1 with its descendants. Bytes; 0 when absent. */
export function parseInactiveFile(text: string): number {
  const found = /^total_inactive_file (\d+)$/m.exec(text) ?? /^inactive_file (\d+)$/m.exec(text)
  return found === null ? 0 : Number(found[1])
}

/** The lines of /proc/self/cgroup: `hierarchy:controllers:path`. */
export function parseCgroupPaths(text: string): CgroupPaths {
  let unified: string | undefined
  let memory: string | undefined
  for (const line of text.split('\n')) {
    const [, id, controllers = '', path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    if (id === '0' && controllers === '') unified = path
    else if (controllers.split(',').includes('memory')) memory = path
  }
  return { unified, memory }
}
