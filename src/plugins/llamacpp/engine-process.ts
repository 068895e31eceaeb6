/**
 * The parent's side of a loaded model's process: orders, answers, and an end that always comes.
 *
 * @module
 */
import { type ChildProcess, fork } from 'node:child_process'
import { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { backendError } from '../../chat/failure.ts'
import { MaiError, type MaiErrorCode } from '../../core/errors.ts'
import type { Order, Outcome, Report } from './protocol.ts'

/** How long a process may take to end when asked to, in ms. */
const GOODBYE_MS = 500
/** How long a cancelled order may take to end before its process is killed, in ms: a token of a large model may take seconds. */
const CANCEL_MS = 15_000
/** Of what the engine says before it dies, the last bytes are told. */
const LAST_WORDS = 2000

/** What may come before the end of an order. */
export interface OrderEvents {
  readonly onProgress?: (fraction: number) => void
  readonly onPrefill?: (fraction: number) => void
  readonly onPiece?: (text: string, tokens: number) => void
}

type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never
/** An order before it has its number. */
export type NewOrder = Unnumbered<Exclude<Order, { readonly type: 'cancel' | 'prepare' }>>

interface Open extends OrderEvents {
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

/** One process. It is there from the beginning; when it dies, all that is open fails and nothing more is taken. */
export class EngineProcess {
  /** Resolves when the process is gone, with why; undefined when it was asked to go. */
  readonly gone: Promise<MaiError | undefined>
  readonly #child: ChildProcess
  readonly #open: Map<number, Open> = new Map()
  #name: string
  #next = 1
  #asked = false
  #death: MaiError | undefined
  #lastWords = ''

  /**
   * @param name of the model, for messages
   * @param file what the process runs
   */
  constructor(name: string, file: string = fileURLToPath(new URL('./child.ts', import.meta.url))) {
    this.#name = name
    this.#child = fork(file, [], {
      serialization: 'advanced',
      // From its sources, where nothing has been built yet.
      execArgv: file.endsWith('.ts') ? ['--import', import.meta.resolve('jiti/register')] : [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#child.stderr?.on('data', (data: Buffer) => {
      this.#lastWords = (this.#lastWords + data.toString('utf8')).slice(-LAST_WORDS)
    })
    this.#child.on('message', (report: Report) => this.#hear(report))
    this.gone = new Promise((resolve) => {
      const end = (how: string): void => {
        if (!this.#asked) this.#death ??= this.#crash(how)
        for (const { reject } of this.#open.values()) reject(this.#death ?? unloaded(this.#name))
        this.#open.clear()
        resolve(this.#asked ? undefined : this.#death)
      }
      this.#child.on('error', (error) => end(error.message))
      this.#child.on('exit', (code, signal) => end(signal === null ? `code ${code}` : signal))
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** A process ahead of its model: reads the engine's library, and keeps nobody from ending. */
  static ahead(file?: string): EngineProcess {
    const process = new EngineProcess('no model', file)
    process.#holdParent('unref')
    process.#send({ type: 'prepare' })
    return process
  }

  /** It is for this model from now on. @param name for messages */
  becomes(name: string): this {
    this.#name = name
    this.#holdParent('ref')
    return this
  }

  /**
   * Gives an order and waits for its end. Aborting cancels it; it then ends as the engine ends it.
   * @throws MaiError of the engine; `MAI_MODEL_CRASHED` when the process dies
   */
  async run(order: NewOrder, signal: AbortSignal, events: OrderEvents = {}): Promise<Outcome> {
    if (this.#death) throw this.#death
    // It is ending: why, is known when it is gone.
    if (!this.#child.connected) throw (await this.gone) ?? unloaded('The model')
    const id = this.#next++
    const ended = new Promise<Outcome>((resolve, reject) => this.#open.set(id, { ...events, resolve, reject }))
    let late: NodeJS.Timeout | undefined
    const cancel = (): void => {
      this.#send({ type: 'cancel', id })
      late = setTimeout(() => this.#child.kill('SIGKILL'), CANCEL_MS).unref()
    }
    this.#send({ ...order, id })
    if (signal.aborted) cancel()
    else signal.addEventListener('abort', cancel, { once: true })
    try {
      return await ended
    } finally {
      clearTimeout(late)
      signal.removeEventListener('abort', cancel)
      this.#open.delete(id)
    }
  }

  /** Ends the process, with all that is open. Resolves when it is gone and its memory with it. */
  async end(): Promise<void> {
    this.#asked = true
    if (this.#child.connected) this.#child.disconnect()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), GOODBYE_MS)
    await this.gone
    clearTimeout(timer)
  }

  /** Whether this process goes on for its sake. */
  #holdParent(hold: 'ref' | 'unref'): void {
    this.#child[hold]()
    this.#child.channel?.[hold]()
    if (this.#child.stderr instanceof Socket) this.#child.stderr[hold]()
  }

  #send(order: Order): void {
    // Without a callback an error of a closed line would be an event that nobody hears.
    if (this.#child.connected) this.#child.send(order, () => {})
  }

  #hear(report: Report): void {
    const open = this.#open.get(report.id)
    if (!open) return
    switch (report.type) {
      case 'progress':
        return open.onProgress?.(report.fraction)
      case 'prefill':
        return open.onPrefill?.(report.fraction)
      case 'pieces':
        for (const [index, text] of report.texts.entries()) open.onPiece?.(text, report.tokens[index] ?? 0)
        return
      case 'ended':
        return open.resolve(report.outcome)
      case 'failed': {
        const { code, problem, cure } = report.error
        open.reject(new MaiError(code as MaiErrorCode, problem, cure === undefined ? {} : { cure }))
      }
    }
  }

  #crash(how: string): MaiError {
    const said = this.#lastWords.trim().split('\n').at(-1)
    return backendError('MAI_MODEL_CRASHED', `The engine of ${this.#name} died (${how})${said ? `: ${said}` : '.'}`, { details: { how } })
  }
}

function unloaded(name: string): MaiError {
  return backendError('MAI_MODEL_UNLOADED', `${name} was unloaded.`)
}
