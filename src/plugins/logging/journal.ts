/**
 * Takes log entries, synchronously and cheaply, and writes them in the background.
 * pino and the streams are loaded only when there is something to write.
 *
 * @module
 */
import type { Logger } from 'pino'
import type { LogEntry, LogLevel } from './entry.ts'
import { neutralise } from './neutral.ts'
import { RotatingFile } from './rotating-file.ts'

/** Where to, and how much. */
export interface JournalOptions {
  readonly level: LogLevel
  /** Undefined: no file. */
  readonly file: string | undefined
  /** A stream for people, if wanted. */
  readonly people: NodeJS.WriteStream | undefined
  readonly maxBytes: number
  readonly keep: number
  readonly retryMs: number
  /** Wait after the first entry before anything is loaded, so that loading does not stand in the way of a first answer. Ms. */
  readonly openAfterMs: number
  /** Told once that the log cannot be written. */
  readonly warn: (text: string) => void
}

/** Entries kept until the log is open; more are dropped. */
const MAX_WAITING = 1000

type LineSink = (line: string) => void

export class Journal {
  readonly #options: JournalOptions
  #waiting: LogEntry[] = []
  #started = false
  #timer: NodeJS.Timeout | undefined
  #opening: Promise<void> | undefined
  #logger: Logger | undefined
  #file: RotatingFile | undefined
  #broken = false
  #warned = false

  constructor(options: JournalOptions) {
    this.#options = options
  }

  /** Boot is over: from now on the log may open. */
  start(): void {
    this.#started = true
    if (this.#waiting.length > 0) this.#openSoon()
  }

  add(entry: LogEntry): void {
    if (this.#logger) this.#log(this.#logger, entry)
    else if (!this.#broken && this.#waiting.length < MAX_WAITING) {
      this.#waiting.push(entry)
      if (this.#started) this.#openSoon()
    }
  }

  /** Writes everything. Never rejects. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#waiting.length > 0 || this.#opening) await this.#open()
    await this.#file?.close()
    const people = this.#options.people
    if (people) people.off('error', ignore)
  }

  #openSoon(): void {
    this.#timer ??= setTimeout(() => void this.#open(), this.#options.openAfterMs).unref()
  }

  #open(): Promise<void> {
    this.#opening ??= this.#load().catch((error: unknown) => {
      this.#broken = true
      this.#warn(error)
    })
    return this.#opening
  }

  async #load(): Promise<void> {
    const [{ pino }, fileSink, peopleSink] = await Promise.all([import('pino'), this.#fileSink(), this.#peopleSink()])
    const sinks = [fileSink, peopleSink].filter((sink) => sink !== undefined)
    // Entries bring their own time: they may have waited.
    const options = { level: this.#options.level, base: { pid: process.pid }, timestamp: false } as const
    const write: LineSink = (line) => {
      for (const sink of sinks) sink(line)
    }
    const logger = pino(options, { write })
    for (const entry of this.#waiting) this.#log(logger, entry)
    this.#waiting = []
    this.#logger = logger
  }

  #log(logger: Logger, { level, data, msg }: LogEntry): void {
    logger[level](data, msg)
  }

  async #fileSink(): Promise<LineSink | undefined> {
    const { file, maxBytes, keep, retryMs } = this.#options
    if (file === undefined) return undefined
    const { createStream } = await import('rotating-file-stream')
    const target = new RotatingFile({ file, maxBytes, keep, retryMs, createStream, onFailure: (error) => this.#warn(error) })
    this.#file = target
    return (line) => target.write(line)
  }

  /** One short line each, harmless to a terminal. */
  async #peopleSink(): Promise<LineSink | undefined> {
    const { people } = this.#options
    if (!people) return undefined
    const { default: pretty } = await import('pino-pretty')
    const colour = people.isTTY === true && !process.env.NO_COLOR
    const format = pretty.prettyFactory({ colorize: colour, translateTime: 'SYS:HH:MM:ss.l', hideObject: true, ignore: 'pid,hostname' })
    people.on('error', ignore)
    return (line) => {
      // pino wrote this line from an entry a moment ago.
      const { level, time, msg } = JSON.parse(line) as { readonly level: number; readonly time: number; readonly msg: string }
      people.write(String(format({ level, time, msg: neutralise(msg) })))
    }
  }

  #warn(error: unknown): void {
    if (this.#warned) return
    this.#warned = true
    const problem = error instanceof Error ? error.message : String(error)
    this.#options.warn(neutralise(`The log cannot be written: ${problem}. Mai goes on without it.`))
  }
}

/** A reader of standard error that went away is no reason to end. */
function ignore(): void {}
