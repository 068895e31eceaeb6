/**
 * The log file: rotates by size, private to its user, and never in anybody's way.
 * What cannot be written is dropped and counted.
 *
 * @module
 */
import { appendFileSync, chmod, mkdirSync } from 'node:fs'
import path from 'node:path'
import type { createStream, RotatingFileStream } from 'rotating-file-stream'
import { neutraliseJson } from './neutral.ts'

/** The file, and when it rotates. */
export interface RotatingFileOptions {
  readonly file: string
  /** Rotated at this size, in bytes. */
  readonly maxBytes: number
  /** Rotated files kept beside the current one: `.1` is the newest. */
  readonly keep: number
  /** After a failure, wait so long before the next try, in ms. */
  readonly retryMs: number
  /** Told of a failure that goes on; once for each stretch of failing. */
  readonly onFailure: (error: Error) => void
  /** Opens the stream: the import is the caller's, so that it may be lazy. */
  readonly createStream: typeof createStream
}

/** Lines waiting for a slow disk beyond this are dropped. Bytes. */
const MAX_WAITING_BYTES = 4 * 2 ** 20

/** Takes lines of JSON. Never throws. */
export class RotatingFile {
  readonly #options: RotatingFileOptions
  #stream: RotatingFileStream | undefined
  /** Handed over, not yet known to be written; in order. */
  #unwritten: string[] = []
  #dropped = 0
  /** The last line may have been written in part. */
  #torn = false
  #failedAt = Number.NEGATIVE_INFINITY
  #quietUntil = Number.NEGATIVE_INFINITY
  readonly #atExit = (): void => this.#writeRest()

  constructor(options: RotatingFileOptions) {
    this.#options = options
    process.on('exit', this.#atExit)
  }

  write(line: string): void {
    if (performance.now() < this.#quietUntil) {
      this.#dropped++
      return
    }
    const stream = (this.#stream ??= this.#open())
    if (stream === undefined || stream.writableLength > MAX_WAITING_BYTES) {
      this.#dropped++
      return
    }
    if (this.#dropped > 0) this.#hand(stream, this.#lossNotice())
    this.#hand(stream, line)
  }

  /** Writes what waits, and closes. Resolves also when writing fails. */
  close(): Promise<void> {
    const stream = this.#stream
    this.#quietUntil = Number.POSITIVE_INFINITY
    return new Promise((resolve) => {
      const closed = (): void => {
        process.off('exit', this.#atExit)
        resolve()
      }
      if (stream === undefined || stream.closed) return closed()
      stream.once('close', closed)
      stream.end()
    })
  }

  #lossNotice(): string {
    const notice = `${JSON.stringify({ level: 40, time: Date.now(), msg: `${this.#dropped} lines were lost` })}\n`
    // A full disk may have cut the last line short.
    const text = this.#torn ? `\n${notice}` : notice
    this.#dropped = 0
    this.#torn = false
    return text
  }

  #hand(stream: RotatingFileStream, line: string): void {
    this.#unwritten.push(line)
    stream.write(neutraliseJson(line), (error) => {
      // Callbacks come in the order of the writes; after an error the failure handler counts what is left.
      if (!error) this.#unwritten.shift()
    })
  }

  #open(): RotatingFileStream | undefined {
    const { file, maxBytes, keep } = this.#options
    try {
      mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
      const stream = this.#options.createStream(file, { size: `${maxBytes}B`, rotate: keep, mode: 0o600 })
      let opened = false
      stream.on('open', () => {
        opened = true
        // A file that was there before may be readable to others. Where modes mean nothing this fails, and does not matter.
        chmod(file, 0o600, () => {})
      })
      stream.on('error', (error) => this.#failed(error, opened))
      return stream
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error(String(error)), false)
      return undefined
    }
  }

  /**
   * One failure after the file was open may pass, as when another process rotated at the same moment:
   * the next line tries again at once. A second one soon after, or a file that cannot be opened, means quiet for a while.
   */
  #failed(error: Error, wasOpen: boolean): void {
    const now = performance.now()
    const again = now - this.#failedAt < this.#options.retryMs
    this.#stream = undefined
    this.#failedAt = now
    this.#dropped += this.#unwritten.length
    this.#unwritten = []
    this.#torn ||= wasOpen
    if (wasOpen && !again) return
    if (this.#quietUntil !== Number.POSITIVE_INFINITY) this.#quietUntil = now + this.#options.retryMs
    this.#options.onFailure(error)
  }

  /** The process ends without closing: what waits is written here and now, at the risk of a line written twice. */
  #writeRest(): void {
    if (this.#unwritten.length === 0) return
    try {
      appendFileSync(this.#options.file, neutraliseJson(this.#unwritten.join('')), { mode: 0o600 })
    } catch {
      // The process is going; there is nobody left to tell.
    }
  }
}
