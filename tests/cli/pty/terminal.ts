/**
 * A program in a real pseudo terminal, made by Python: what a person would type, and the bytes a person would see.
 */
import { spawn, spawnSync } from 'node:child_process'
import path from 'node:path'
import type { Readable } from 'node:stream'

/** Longest wait for anything on the screen, in ms: a guard against hanging. */
const PATIENCE_MS = 20_000

const { status } = spawnSync('python3', ['-c', 'import pty, termios; from os import waitstatus_to_exitcode'], { stdio: 'ignore' })
/** Why tests that need a terminal are skipped; undefined where they run. */
export const noTerminal: string | undefined = status === 0 ? undefined : 'python3 (3.9 or later, with pty) is not installed'

/** How a terminal is made. */
export interface TerminalOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly columns?: number
  readonly rows?: number
}

/** A running program. */
export class Terminal {
  /** All bytes of the screen so far. */
  seen = ''
  pid = 0
  /** Exit code, or 128 + signal. */
  readonly ended: Promise<number>
  readonly #child
  readonly #watchers = new Set<() => void>()
  #from = 0

  constructor(command: readonly string[], { cwd, env = {}, columns = 80, rows = 24 }: TerminalOptions) {
    const script = path.resolve('tests/cli/pty/terminal.py')
    this.#child = spawn('python3', [script, String(columns), String(rows), ...command], {
      cwd,
      env: { ...process.env, TERM: 'xterm-256color', NO_COLOR: '', ...env },
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.seen += text
      for (const look of [...this.#watchers]) look()
    })
    const facts = this.#child.stdio[3] as Readable
    this.ended = new Promise((resolve, reject) => {
      let told = ''
      facts.setEncoding('utf8').on('data', (text: string) => {
        told += text
        this.pid = Number(/pid (\d+)\n/.exec(told)?.[1] ?? 0)
      })
      // `close` comes when all output has been read.
      this.#child.on('close', () => {
        const code = /end (\d+)\n/.exec(told)?.[1]
        if (code === undefined) reject(new Error(`the terminal broke off: ${JSON.stringify(this.seen.slice(-500))}`))
        else resolve(Number(code))
      })
    })
    this.ended.catch(() => {})
  }

  type(text: string): void {
    this.#child.stdin?.write(text)
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name)
  }

  /** Waits for something new on the screen: behind what was waited for before. @returns all up to its end */
  async sees(what: string | RegExp): Promise<string> {
    const pattern = typeof what === 'string' ? new RegExp(what.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')) : what
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = pattern.exec(this.seen.slice(this.#from))
        if (!found) return
        const end = this.#from + found.index + found[0].length
        const text = this.seen.slice(this.#from, end)
        this.#from = end
        finish()
        resolve(text)
      }
      const timer = setTimeout(() => {
        finish()
        reject(new Error(`never saw ${String(what)} in ${JSON.stringify(this.seen.slice(this.#from))}`))
      }, PATIENCE_MS)
      const finish = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(look)
      }
      this.#watchers.add(look)
      look()
    })
  }

  /** Ends the program, whatever it does. */
  kill(): void {
    if (this.pid > 0 && this.#child.exitCode === null) process.kill(this.pid, 'SIGKILL')
  }
}
