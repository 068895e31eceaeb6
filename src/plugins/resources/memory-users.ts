/**
 * Which programs take the most memory, by name; asked only when somebody wants to know what to close.
 *
 * @module
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { MemoryUser } from '../../chat/resources.ts'

/** Processes read at the same time. */
const AT_ONCE = 16
/** Longest name that is shown. */
const MOST_NAME = 40

/** The programs of a Linux machine, the largest first. @param procRoot usually `/proc` */
export async function linuxMemoryUsers(procRoot: string, most: number): Promise<MemoryUser[]> {
  const ids = (await readdir(procRoot).catch(() => [])).filter((name) => /^\d+$/.test(name))
  const found: MemoryUser[] = []
  const waiting = [...ids]
  const worker = async (): Promise<void> => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const user = await programOf(join(procRoot, id))
      if (user) found.push(user)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return summed(found, most)
}

/** A process; undefined for one that is gone, or a part of the kernel. */
async function programOf(folder: string): Promise<MemoryUser | undefined> {
  const [name, shared, status] = await Promise.all(
    ['comm', 'smaps_rollup', 'status'].map((file) => readFile(join(folder, file), 'utf8').catch(() => '')),
  )
  const bytes = parseProportional(shared ?? '') ?? parseResident(status ?? '')
  return name && bytes ? { name: name.trim(), bytes } : undefined
}

/** `Pss` of /proc/PID/smaps_rollup, in bytes: what is shared counts in parts. Undefined where others' processes may not be looked at. */
export function parseProportional(text: string): number | undefined {
  const kib = /^Pss: +(\d+) kB$/m.exec(text)?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}

/** `RssAnon` of /proc/PID/status, in bytes: what is not shared; else `VmRSS`. */
export function parseResident(text: string): number | undefined {
  const kib = (/^RssAnon:\s+(\d+) kB$/m.exec(text) ?? /^VmRSS:\s+(\d+) kB$/m.exec(text))?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}

/** By program, the largest first. Names come from outside: untrusted text, shortened and without control characters. */
export function summed(processes: readonly MemoryUser[], most: number): MemoryUser[] {
  const byName = new Map<string, number>()
  for (const { name, bytes } of processes) {
    const plain = name.replace(/\p{C}/gu, '').slice(0, MOST_NAME)
    if (plain !== '') byName.set(plain, (byName.get(plain) ?? 0) + bytes)
  }
  return [...byName]
    .map(([name, bytes]) => ({ name, bytes }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, most)
}

/** The programs of other machines, through systeminformation. */
export async function portableMemoryUsers(most: number): Promise<MemoryUser[]> {
  const { default: si } = await import('systeminformation')
  const { list } = await si.processes()
  return summed(
    list.map(({ name, memRss }) => ({ name, bytes: memRss * 1024 })),
    most,
  )
}
