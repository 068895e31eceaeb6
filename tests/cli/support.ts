/** The program itself in a folder of its own, with a stand-in LM Studio. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { EngineModel } from '../../src/testing/engine.ts'
import { type LmStudioServer, startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'

/** The built program. */
export const BIN: string = path.resolve('dist/cli/bin.js')

/** What a run left. */
export interface Ran {
  /** Null: ended by a signal. */
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Where the program runs. */
interface Place {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** The program in one process that runs it again and again, one run after the other; see `many.mjs`. */
interface Repeater {
  /** With nothing on standard input. */
  mai(args: readonly string[]): Promise<Ran>
  close(): Promise<void>
}

/** Starts one; close it afterwards. */
function repeater({ cwd, env }: Place): Repeater {
  const child = spawn(process.execPath, [path.resolve('tests/cli/many.mjs'), BIN], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const waiting: { readonly resolve: (ran: Ran) => void; readonly reject: (error: Error) => void }[] = []
  child.on('message', (ran: Ran) => waiting.shift()?.resolve(ran))
  const ended = once(child, 'exit').then(() => {
    for (const { reject } of waiting.splice(0)) reject(new Error('The process ended before its run.'))
  })
  return {
    mai: (args) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject })
        child.send(args, (error) => error && reject(error))
      }),
    close() {
      if (child.connected) child.disconnect()
      return ended
    },
  }
}

/** Many runs of the program in one process. */
export async function manyRuns(runs: readonly (readonly string[])[], place: Place): Promise<Ran[]> {
  const { mai, close } = repeater(place)
  try {
    return await Promise.all(runs.map(mai))
  } finally {
    await close()
  }
}

/** A run under way. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ran>
  /** Resolves when standard output holds the text. */
  saw(text: string): Promise<void>
}

/** A folder with a configuration, and a server. */
export interface Desk {
  readonly folder: string
  readonly server: LmStudioServer
  readonly env: Readonly<Record<string, string>>
  /** Writes a configuration. @param more entries beside the plugin */
  config(name: string, options: { readonly baseUrl?: string; readonly more?: string }): Promise<void>
  start(args: readonly string[], options?: { readonly env?: Readonly<Record<string, string>> }): Running
  /** @param input standard input: a text or bytes */
  mai(args: readonly string[], input?: string | Uint8Array): Promise<Ran>
  /** A run in a process that has run others: for all that is not about processes, at a third of the time. */
  again(args: readonly string[]): Promise<Ran>
  /** Many runs in that process. */
  many(runs: readonly (readonly string[])[]): Promise<Ran[]>
  close(): Promise<void>
}

/** Makes one; close it afterwards. */
export async function openDesk(models: readonly EngineModel[]): Promise<Desk> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-cli-'))
  const server = await startLmStudioServer({ models })
  // Models that lie about on the machine that runs the tests are no part of them.
  const env = { MAI_HOME: path.join(folder, 'home'), HOME: folder }
  let repeating: Repeater | undefined
  const desk: Desk = {
    folder,
    server,
    env,
    async config(name, { baseUrl = server.baseUrl, more = '' }) {
      const text = `import { lmstudio } from 'mai/plugins/lmstudio'
export default { plugins: [lmstudio({ baseUrl: '${baseUrl}', autoStart: false })], ${more} }
`
      await fs.writeFile(path.join(folder, name), text)
    },
    start(args, options = {}) {
      const child = spawn(process.execPath, [BIN, ...args], { cwd: folder, env: { ...process.env, ...env, ...options.env } })
      let out = ''
      let err = ''
      const watchers = new Set<() => void>()
      child.stdout.setEncoding('utf8').on('data', (data: string) => {
        out += data
        for (const look of [...watchers]) look()
      })
      child.stderr.setEncoding('utf8').on('data', (data: string) => (err += data))
      // A program that does not read its input is no failure of the test.
      child.stdin.on('error', () => {})
      const ended = new Promise<Ran>((resolve, reject) => {
        child.on('error', reject)
        child.on('close', (code) => resolve({ code, out, err }))
      })
      const saw = (text: string): Promise<void> =>
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (!out.includes(text)) return
            watchers.delete(look)
            resolve()
          }
          watchers.add(look)
          look()
          void ended.then(() => reject(new Error(`ended without ${text}: ${out}${err}`)), reject)
        })
      return { child, ended, saw }
    },
    mai(args, input = '') {
      const { child, ended } = desk.start(args)
      child.stdin?.end(input)
      return ended
    },
    again(args) {
      repeating ??= repeater({ cwd: folder, env })
      return repeating.mai(args)
    },
    many: (runs) => Promise.all(runs.map(desk.again)),
    async close() {
      await repeating?.close()
      await server.close()
      await fs.rm(folder, { recursive: true, force: true })
    },
  }
  await desk.config('mai.config.ts', {})
  return desk
}
