/**
 * Starts LM Studio with its own command, without a shell and in bounded time.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { plain } from './errors.ts'

/** How often to look whether the server is there already, in ms. */
const LOOK_EVERY_MS = 200
/** How long the server may take to answer after a command that went well, in ms. */
const GRACE_MS = 3000
/** Longest output of `lms` that is kept, in characters. */
const LONGEST = 2000

/** The server of the application; where there is no application, the daemon first, which may not open the server by itself. */
const ATTEMPTS: readonly (readonly string[])[] = [
  ['daemon', 'up', '--json'],
  ['server', 'start'],
]

/** What came of it: the address, or what was tried. */
export type Started = { readonly baseUrl: string } | { readonly tried: readonly string[] }

/**
 * Runs `lms` until LM Studio answers. Never rejects.
 * @param look the address of a LM Studio that answers now, if there is one
 * @param limitMs for everything together
 */
export async function startLmStudio(
  lms: string,
  look: () => Promise<string | undefined>,
  limitMs: number,
  signal: AbortSignal,
): Promise<Started> {
  const deadline = performance.now() + limitMs
  const tried: string[] = []
  for (const [index, args] of ATTEMPTS.entries()) {
    const left = deadline - performance.now()
    if (signal.aborted || left <= 0) break
    // The first attempt may hang; the second shall have its half.
    const attempt = await attemptOf(lms, args, look, index === 0 ? left / 2 : left, signal)
    if (typeof attempt === 'object') return attempt
    tried.push(attempt)
  }
  return { tried }
}

/** Runs one command, looking all the while: `lms` may stay although the server is there, or go before it is. */
async function attemptOf(
  lms: string,
  args: readonly string[],
  look: () => Promise<string | undefined>,
  limitMs: number,
  signal: AbortSignal,
): Promise<{ baseUrl: string } | string> {
  let deadline = performance.now() + limitMs
  const command = `lms ${args.join(' ')}`
  const child = spawn(lms, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true, shell: false })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (said.length < LONGEST) said += text
    })
  }
  let failure: string | undefined
  let over = false
  let wake = (): void => {}
  const ended = (how: string | undefined): void => {
    failure = how
    over = true
    deadline = Math.min(deadline, performance.now() + GRACE_MS)
    wake()
  }
  child.on('error', (error) => ended(error.message))
  child.on('exit', (code, killedBy) => ended(code === 0 ? undefined : `ended with ${code ?? killedBy}`))
  const onAbort = (): void => wake()
  signal.addEventListener('abort', onAbort)
  try {
    for (;;) {
      const baseUrl = await look()
      if (baseUrl !== undefined) return { baseUrl }
      const left = deadline - performance.now()
      if (signal.aborted) return `\`${command}\` was stopped`
      if (failure !== undefined) return `\`${command}\`: ${failure}${quoted(said)}`
      if (left <= 0) return over ? `\`${command}\` ended, and nothing answers${quoted(said)}` : `\`${command}\` did not end${quoted(said)}`
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(LOOK_EVERY_MS, left))
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    // What `lms` started may hold these pipes open for ever.
    child.stdout.destroy()
    child.stderr.destroy()
    if (!over && child.pid !== undefined) end(child.pid)
    child.unref()
  }
}

/** By its id: a child that has ended without having said so yet has the id 0, which `child.kill` takes for this process and all its kin. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

function quoted(said: string): string {
  const text = plain(said)
  return text === '' ? '' : ` (it said: ${text})`
}
