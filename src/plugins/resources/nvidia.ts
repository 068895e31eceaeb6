/**
 * NVIDIA's devices, by one long-lived nvidia-smi that says how full they are again and again: no process for each sample.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { GpuSample } from '../../chat/resources.ts'

const MIB = 2 ** 20
/** Between two readings of nvidia-smi, in ms. */
const LOOP_MS = 2000
/** One that ended is started anew after so long, in ms: a driver may come back. */
const AGAIN_MS = 60_000

/** One line: a device by its number. */
export interface NvidiaLine {
  readonly index: number
  readonly gpu: GpuSample
}

/**
 * `index, name, total, free` in MiB, as `nvidia-smi --format=csv,noheader,nounits` writes it.
 * A device that shares the machine's memory says `[N/A]`. Undefined for anything else, such as a warning.
 */
export function parseNvidiaLine(line: string): NvidiaLine | undefined {
  const [, index, name, total, free] = /^(\d+), *(.+), *(\d+|\[.*\]), *(\d+|\[.*\]) *$/.exec(line.trimEnd()) ?? []
  if (index === undefined || name === undefined) return undefined
  const totalBytes = Number(total) * MIB
  const freeBytes = Number(free) * MIB
  const known = Number.isFinite(totalBytes) && Number.isFinite(freeBytes)
  const gpu = known ? { name, totalBytes, freeBytes, unified: false } : { name, totalBytes: 0, freeBytes: 0, unified: true }
  return { index: Number(index), gpu }
}

/** How the program is started; another one in tests. */
export type StartNvidia = (args: readonly string[]) => ChildProcess

const start: StartNvidia = (args) => spawn('nvidia-smi', args, { stdio: ['ignore', 'pipe', 'ignore'], windowsHide: true })

/** The program, while there is any. */
export class NvidiaLoop {
  readonly #start: StartNvidia
  readonly #now: () => number
  readonly #gpus: Map<number, GpuSample> = new Map()
  #child: ChildProcess | undefined
  #first: Promise<void> = Promise.resolve()
  #missing = false
  #closed = false
  #endedAt = Number.NEGATIVE_INFINITY

  constructor(options: { readonly start?: StartNvidia; readonly now?: () => number } = {}) {
    this.#start = options.start ?? start
    this.#now = options.now ?? (() => performance.now())
  }

  /** The devices as last told. Starts the program at first, and waits for its first answer or its end. */
  async gpus(): Promise<readonly GpuSample[]> {
    const rest = this.#now() - this.#endedAt
    if (!this.#child && !this.#missing && !this.#closed && rest >= AGAIN_MS) this.#run()
    await this.#first
    return [...this.#gpus.values()]
  }

  close(): void {
    this.#closed = true
    if (this.#child?.pid !== undefined) this.#child.kill('SIGKILL')
  }

  #run(): void {
    const child = this.#start(['--query-gpu=index,name,memory.total,memory.free', '--format=csv,noheader,nounits', `--loop-ms=${LOOP_MS}`])
    this.#child = child
    // Nobody waits for it: it must not keep Mai from ending.
    child.unref()
    const output = child.stdout as Socket | null
    output?.unref?.()
    this.#first = new Promise((resolve) => {
      let rest = ''
      output?.setEncoding('utf8').on('data', (text: string) => {
        const lines = `${rest}${text}`.split('\n')
        rest = (lines.pop() ?? '').slice(-1000)
        for (const { index, gpu } of lines.flatMap((line) => parseNvidiaLine(line) ?? [])) this.#gpus.set(index, gpu)
        resolve()
      })
      const ended = (): void => {
        this.#child = undefined
        this.#endedAt = this.#now()
        // What it said last may be wrong by now.
        this.#gpus.clear()
        resolve()
      }
      child.once('error', ({ code }: NodeJS.ErrnoException) => {
        this.#missing = code === 'ENOENT' || code === 'EACCES'
        ended()
      })
      child.once('exit', ended)
    })
  }
}
