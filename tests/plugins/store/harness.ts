/**
 * Stores in temporary folders, and other processes that use them.
 *
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { NewMessage } from '../../../src/chat/message.ts'
import { createStore, type OpenStore, type StoreOptions } from '../../../src/plugins/store/store.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

export async function temporaryFolder(): Promise<string> {
  const folder = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'mai-store-'))
  onTestFinished(() => fs.promises.rm(folder, { recursive: true, force: true }))
  return folder
}

export async function temporaryFile(): Promise<string> {
  return path.join(await temporaryFolder(), 'mai.db')
}

/** A store that is closed after the test. */
export async function openStore(options: Partial<StoreOptions> = {}): Promise<OpenStore> {
  const store = createStore({ file: options.file ?? (await temporaryFile()), ownFolder: false, ...options })
  onTestFinished(() => store.close())
  return store
}

let count = 0

export function message(sessionId: string, text: string, changes: Partial<NewMessage> = {}): NewMessage {
  const id = `m${++count}`
  return {
    id,
    sessionId,
    turnId: `t-${id}`,
    role: 'user',
    parts: [{ type: 'text', text }],
    time: 1_000 + count,
    complete: true,
    ...changes,
  }
}

/** Another process of Mai; see `child.ts` for what it can do. */
export function startChild(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, ['node_modules/jiti/lib/jiti-cli.mjs', 'tests/plugins/store/child.ts', ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

/** Its whole output, when it has ended. @throws when it failed */
export async function outputOf(child: ChildProcess): Promise<string> {
  let output = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`The child ended with ${code}: ${output}`)
  return output
}
