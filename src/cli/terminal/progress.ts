/**
 * What a person is told while they wait: pure functions of time and progress.
 *
 * @module
 */

/** Progress that tells nothing yet of the time left. */
const TOO_EARLY = { fraction: 0.03, ms: 500 }

/** Something under way. Epoch ms. */
export interface Progress {
  readonly began: number
  /** 0 to 1. */
  readonly fraction: number
  /** When `fraction` was last told. */
  readonly at: number
}

/** Time left, in ms, at the average speed so far; undefined while that says nothing. */
function timeLeft({ began, fraction, at }: Progress, now: number): number | undefined {
  const spent = at - began
  if (fraction < TOO_EARLY.fraction || spent < TOO_EARLY.ms || fraction >= 1) return undefined
  return Math.max(0, (spent * (1 - fraction)) / fraction - (now - at))
}

/** `3 s`, `2 min 5 s`, `1 h 2 min`. */
function durationText(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** `loading lmstudio/big 42 %, 3 s left`. */
export function progressText(what: string, progress: Progress, now: number): string {
  const left = timeLeft(progress, now)
  return `${what} ${Math.floor(progress.fraction * 100)} %${left === undefined ? '' : `, ${durationText(left)} left`}`
}

/** `thinking… 4 s`; the seconds only when there are some. */
export function waitingText(began: number, now: number): string {
  const seconds = Math.floor((now - began) / 1000)
  return seconds < 2 ? 'thinking…' : `thinking… ${durationText(seconds * 1000)}`
}

/** A transfer under way. */
export interface Transfer {
  readonly bytes: number
  readonly totalBytes: number | undefined
  /** Bytes that came in the last `ms`. */
  readonly since: number
  readonly ms: number
}

/** `12.3 of 98.4 MB, 4.1 MB/s, 21 s left`. */
export function transferText({ bytes, totalBytes, since, ms }: Transfer): string {
  const speed = ms > 0 ? (since * 1000) / ms : 0
  const told = ms < TOO_EARLY.ms || speed === 0 ? '' : `, ${bytesText(speed)}/s`
  const left = told === '' || totalBytes === undefined ? '' : `, ${durationText(((totalBytes - bytes) * 1000) / speed)} left`
  return `${bytesText(bytes)}${totalBytes === undefined ? '' : ` of ${bytesText(totalBytes)}`}${told}${left}`
}

/** `98.4 MB`, in the decimal units of disks and networks. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`
  const [unit, size]: readonly [string, number] = bytes < 1e6 ? ['kB', 1e3] : bytes < 1e9 ? ['MB', 1e6] : ['GB', 1e9]
  return `${(bytes / size).toFixed(1)} ${unit}`
}
