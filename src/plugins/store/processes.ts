/**
 * Which processes live: for leases of models that a crash left behind.
 *
 * @module
 */
import fs from 'node:fs'
import os from 'node:os'

/** What the system knows of a process. */
export type ProcessState =
  | { readonly state: 'dead' }
  /** `birth` is the same as long as it is the same process; `startMs` is epoch ms. Undefined where the system does not tell. */
  | { readonly state: 'alive'; readonly birth?: string; readonly startMs?: number }
  /** There is such a process, but it is hidden from us. */
  | { readonly state: 'unknown' }

/** Asks the operating system. */
export interface Processes {
  /** Names the machine, its boot and its process namespace: a pid means something only within one. */
  readonly host: string
  look(pid: number): ProcessState
}

/** Clock ticks a second in `/proc`: a fixed part of Linux's interface, whatever its timer runs at. */
const TICKS_PER_SECOND = 100

/** The processes that this one can see. */
export function systemProcesses(): Processes {
  return process.platform === 'linux' ? { host: linuxHost(), look: lookInProc } : { host: os.hostname(), look: bySignal }
}

function linuxHost(): string {
  try {
    return `${fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fs.readlinkSync('/proc/self/ns/pid')}`
  } catch {
    // A restricted /proc: the name is the next best.
    return os.hostname()
  }
}

/** See proc_pid_stat(5): after the name in parentheses, field 3 is the state and field 22 the start in ticks since boot. */
function lookInProc(pid: number): ProcessState {
  let stat: string
  try {
    stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // Not there, or hidden: the signal tells which.
    return bySignal(pid).state === 'dead' ? { state: 'dead' } : { state: 'unknown' }
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, birth] = [fields[0], fields[19]]
  if (state === 'Z' || state === 'X') return { state: 'dead' }
  const boot = bootMs()
  if (birth === undefined || boot === undefined) return { state: 'unknown' }
  return { state: 'alive', birth, startMs: boot + (Number(birth) * 1000) / TICKS_PER_SECOND }
}

/** Epoch ms of the boot by today's clock: moves when the clock is set. */
function bootMs(): number | undefined {
  const seconds = /^btime (\d+)$/m.exec(fs.readFileSync('/proc/stat', 'utf8'))?.[1]
  return seconds === undefined ? undefined : Number(seconds) * 1000
}

function bySignal(pid: number): ProcessState {
  try {
    process.kill(pid, 0)
    return { state: 'alive' }
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM' ? { state: 'alive' } : { state: 'dead' }
  }
}
