/**
 * Linux: memory, CPU and pressure read directly from /proc and the cgroup's files.
 *
 * @module
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { parseCgroupBytes, parseCgroupPaths, parseCpuTimes, parseInactiveFile, parseMemInfo, parseStall } from './linux-text.ts'
import { portableReader } from './portable.ts'
import type { DirectReader, DirectReading } from './reading.ts'

/** One cgroup that may limit this process: the files that say so. */
interface CgroupFiles {
  readonly limit: string
  readonly current: string
  readonly stat: string
  /** v1 has none. */
  readonly pressure: string | undefined
}

/** A limit that binds. Bytes and percent. */
interface CgroupUse {
  readonly limitBytes: number
  readonly availableBytes: number
  readonly stallPercent: number | undefined
}

/** Reads `procRoot` and `cgroupRoot`; what is missing there is taken from Node. */
export function linuxReader(procRoot: string, cgroupRoot: string): DirectReader {
  const fallback = portableReader()
  const meminfo = join(procRoot, 'meminfo')
  const stat = join(procRoot, 'stat')
  const pressure = join(procRoot, 'pressure', 'memory')
  let groups: readonly CgroupFiles[] | undefined
  return () => {
    const machine = parseMemInfo(readText(meminfo))
    const cpu = parseCpuTimes(readText(stat))
    const stallPercent = parseStall(readText(pressure))
    if (!machine) return { ...fallback(), ...(cpu && { cpu }), stallPercent }
    groups ??= cgroupFiles(parseCgroupPaths(readText(join(procRoot, 'self', 'cgroup'))), cgroupRoot)
    const uses = groups.flatMap((group) => cgroupUse(group, machine.totalBytes) ?? [])
    return { ...withinLimits({ memory: machine, stallPercent }, uses), cpu: cpu ?? fallback().cpu }
  }
}

/** The machine as seen through its limits: the smallest counts. A limit at or above the machine's memory is none. */
function withinLimits(machine: Omit<DirectReading, 'cpu'>, uses: readonly CgroupUse[]): Omit<DirectReading, 'cpu'> {
  let { totalBytes, availableBytes } = machine.memory
  let stallPercent = machine.stallPercent
  for (const use of uses) {
    totalBytes = Math.min(totalBytes, use.limitBytes)
    availableBytes = Math.min(availableBytes, use.availableBytes)
    if (use.stallPercent !== undefined) stallPercent = Math.max(stallPercent ?? 0, use.stallPercent)
  }
  return { memory: { ...machine.memory, totalBytes, availableBytes }, stallPercent }
}

function cgroupUse(group: CgroupFiles, machineBytes: number): CgroupUse | undefined {
  const limitBytes = parseCgroupBytes(readText(group.limit))
  if (limitBytes === undefined || limitBytes === 0 || limitBytes >= machineBytes) return undefined
  // Use without the cache that goes first, as the kubelet counts it; a count above the limit means nothing is left.
  const usedBytes = Math.max(0, (parseCgroupBytes(readText(group.current)) ?? 0) - parseInactiveFile(readText(group.stat)))
  return {
    limitBytes,
    availableBytes: Math.max(0, limitBytes - usedBytes),
    stallPercent: group.pressure === undefined ? undefined : parseStall(readText(group.pressure)),
  }
}

/** The process's own group and all above it, in both trees, as far as they are mounted: a limit anywhere on the way binds. */
function cgroupFiles(paths: { readonly unified: string | undefined; readonly memory: string | undefined }, root: string): CgroupFiles[] {
  const v2 = [root, join(root, 'unified')].flatMap((mount) =>
    withAncestors(paths.unified ?? '/').map((path) => ({
      limit: join(mount, path, 'memory.max'),
      current: join(mount, path, 'memory.current'),
      stat: join(mount, path, 'memory.stat'),
      pressure: join(mount, path, 'memory.pressure'),
    })),
  )
  const v1 = withAncestors(paths.memory ?? '/').map((path) => ({
    limit: join(root, 'memory', path, 'memory.limit_in_bytes'),
    current: join(root, 'memory', path, 'memory.usage_in_bytes'),
    stat: join(root, 'memory', path, 'memory.stat'),
    pressure: undefined,
  }))
  return [...v2, ...v1].filter(({ limit }) => existsSync(limit))
}

/** `/a/b` → `/a/b`, `/a`, `/`. A path that leads out of its namespace (`/../x`) has nothing mounted below the root. */
function withAncestors(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '')
  if (parts.includes('..')) return ['/']
  return [...parts.keys()].map((depth) => `/${parts.slice(0, parts.length - depth).join('/')}`).concat('/')
}

/** Room for the longest of these files; /proc/stat may be longer, but what is wanted of it comes first. */
const BUFFER: Buffer = Buffer.allocUnsafe(64 * 1024)

/**
 * Empty when the file is missing or unreadable: which of these files exist differs between kernels and containers.
 * One read into one buffer is enough, and half the cost of readFileSync.
 */
function readText(path: string): string {
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    return BUFFER.toString('utf8', 0, readSync(file, BUFFER, 0, BUFFER.length, 0))
  } catch {
    return ''
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
