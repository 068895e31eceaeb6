/**
 * macOS, Windows and whatever else: what Node itself knows, in one synchronous look.
 *
 * @module
 */
import os from 'node:os'
import type { DirectReader } from './reading.ts'

/** Reads through `os` and `process`; container limits included where libuv knows them. */
export function portableReader(): DirectReader {
  return () => {
    const totalBytes = os.totalmem()
    const limit = process.constrainedMemory()
    const limited = limit > 0 && limit < totalBytes
    // availableMemory() is the limit's rest inside a container, elsewhere what the system calls available.
    const availableBytes = limited ? Math.min(process.availableMemory(), os.freemem()) : os.freemem()
    const cores = os.cpus()
    const times = cores.map((core) => core.times)
    const total = times.reduce((sum, t) => sum + t.user + t.nice + t.sys + t.idle + t.irq, 0)
    const idle = times.reduce((sum, t) => sum + t.idle, 0)
    return {
      memory: { totalBytes: limited ? limit : totalBytes, availableBytes: Math.min(availableBytes, totalBytes), swapUsedBytes: 0 },
      cpu: { busy: total - idle, total, cores: Math.max(1, cores.length) },
      stallPercent: undefined,
    }
  }
}
