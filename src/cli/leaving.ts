/**
 * How the program ends before its work is done: a signal, or a reader of its output that has left.
 * What is open is closed first, so an answer keeps what stands of it.
 *
 * @module
 */
import type { Disposer } from '../core/events.ts'

/** 128 + number of the signal, as shells count. */
export const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const

/** How writing fails when nobody reads any more: a closed pipe, a terminal that is gone. */
const READER_LEFT: ReadonlySet<string | undefined> = new Set(['EPIPE', 'EIO', 'EOF', 'ECONNRESET'])

let close: (() => Promise<void>) | undefined
let leaving = false

/**
 * Ends the program: closes what is open, then exits. Only the first call counts.
 * @param insist a further call exits at once: the person asks again
 */
export function leave(code: number, insist = false): void {
  const exit = (): never => process.exit(code)
  if (leaving && insist) exit()
  if (leaving) return
  leaving = true
  if (close) void close().then(exit, exit)
  else exit()
}

/** Makes `leave` close this first, until disposed. */
export function closeBeforeLeaving(closer: () => Promise<void>): Disposer {
  close = closer
  return () => {
    if (close === closer) close = undefined
  }
}

/** A reader that leaves early is no error: `mai models | head -1`. Nor is a log that nobody reads. */
export function watchOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => leave(READER_LEFT.has(error.code) ? 0 : 1))
  process.stderr.on('error', () => {})
}
