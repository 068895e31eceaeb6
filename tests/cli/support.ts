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

/** Many runs of the program in one process, one after the other, with nothing on standard input; see `many.mjs`. */
export async function manyRuns(
  runs: readonly (readonly string[])[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<Ran[]> {
  const child = spawn(process.execPath, [path.resolve('tests/cli/many.mjs'), BIN, JSON.stringify(runs)], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (data: string) => (out += data))
  await once(child, 'close')
  const ran = JSON.parse(out) as Ran[]
  if (ran.length !== runs.length) throw new Error(`${ran.length} of ${runs.length} runs ended`)
  return ran
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
  /** Many runs in one process: `manyRuns`. */
  many(runs: readonly (readonly string[])[]): Promise<Ran[]>
  close(): Promise<void>
}

/** Makes one; close it afterwards. */
export async function openDesk(models: readonly EngineModel[]): Promise<Desk> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-cli-'))
  const server = await startLmStudioServer({ models })
  // Models that lie about on the machine that runs the tests are no part of them.
  const env = { MAI_HOME: path.join(folder, 'home'), HOME: folder }
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
    many: (runs) => manyRuns(runs, { cwd: folder, env }),
    async close() {
      await server.close()
      await fs.rm(folder, { recursive: true, force: true })
    },
  }
  await desk.config('mai.config.ts', {})
  return desk
}
