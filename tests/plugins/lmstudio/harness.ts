/**
 * The plugin in a kernel, a stand-in server in front of it, and what a test asks of both.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { Backend, GenerateRequest, GenerationPiece, GenerationResult } from '../../../src/chat/backend.ts'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from '../../../src/chat/events.ts'
import type { LoadedInstance, ModelInfo } from '../../../src/chat/model.ts'
import type { MaiError } from '../../../src/core/errors.ts'
import { createKernel, type Kernel } from '../../../src/core/kernel.ts'
import { definePlugin } from '../../../src/core/plugin.ts'
import { LmStudioBackend } from '../../../src/plugins/lmstudio/backend.ts'
import { Connection } from '../../../src/plugins/lmstudio/connection.ts'
import type { Machine } from '../../../src/plugins/lmstudio/home.ts'
import { type LmStudioOptions, lmStudioSchema } from '../../../src/plugins/lmstudio/options.ts'
import { type LmStudioServer, type LmStudioServerOptions, startLmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'

export const ROOT: string = fileURLToPath(new URL('../../..', import.meta.url))

/** The version of LM Studio's client that these tests run with: see `vitest.config.ts`. */
export const SDK: '1.5' | '2' = process.env.LMSTUDIO_SDK === '2' ? '2' : '1.5'

/** A signal that nothing aborts. */
export const never = (): AbortSignal => new AbortController().signal

export interface Opened {
  readonly kernel: Kernel
  readonly backend: Backend
  /** `backend.connected` and `backend.lost`, with the code of what was lost. */
  readonly events: string[]
}

/** A machine without anything on it. */
export async function bareMachine(changes: Partial<Machine> = {}): Promise<Machine> {
  return { home: await temporaryFolder(), path: '', ports: [], ...changes }
}

/** The backend in a kernel that closes with the test. */
export async function open(options: LmStudioOptions, machine?: Machine): Promise<Opened> {
  const plugin = definePlugin({
    name: 'lmstudio',
    apiVersion: 1,
    provides: ['backend'],
    options: lmStudioSchema,
    setup: (ctx, settings) =>
      void ctx.contribute('backend', new LmStudioBackend(new Connection(ctx, settings, machine), settings, machine)),
  })
  const kernel = createKernel({ plugins: [plugin(options)], lists: CHAT_LISTS, hooks: CHAT_HOOKS, mailboxes: CHAT_MAILBOXES })
  onTestFinished(() => kernel.close())
  await kernel.start()
  const events: string[] = []
  kernel.context.on('backend.connected', () => void events.push('connected'))
  kernel.context.on('backend.lost', ({ error }) => void events.push(`lost ${error.code}`))
  const [backend] = kernel.context.all('backend')
  if (!backend) throw new Error('no backend')
  return { kernel, backend, events }
}

/** A server and a backend that talks to it. */
export async function world(
  server: LmStudioServerOptions,
  options: LmStudioOptions = {},
): Promise<Opened & { readonly server: LmStudioServer }> {
  const running = await startLmStudioServer(server)
  onTestFinished(() => running.close())
  return { server: running, ...(await open({ baseUrl: running.baseUrl, ...options })) }
}

/** The listed model of this id. */
export async function modelOf(backend: Backend, id: string): Promise<ModelInfo> {
  const model = (await backend.list(never())).find((each) => each.id === id)
  if (!model) throw new Error(`no model ${id}`)
  return model
}

/** Lists and loads. */
export async function loaded(backend: Backend, id: string): Promise<LoadedInstance> {
  return backend.load(await modelOf(backend, id), {}, () => {}, never())
}

/** One answer with its pieces. */
export async function answer(
  backend: Backend,
  instance: LoadedInstance,
  request: Partial<GenerateRequest> = {},
): Promise<{ result: GenerationResult; pieces: GenerationPiece[]; text: string; reasoning: string }> {
  const pieces: GenerationPiece[] = []
  const result = await backend.generate(
    { instance, messages: [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }], sampling: {}, signal: never(), ...request },
    (piece) => pieces.push(piece),
  )
  const joined = (type: 'text' | 'reasoning'): string => pieces.map((piece) => (piece.type === type ? piece.text : '')).join('')
  return { result, pieces, text: joined('text'), reasoning: joined('reasoning') }
}

/** The error that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<MaiError> {
  try {
    await promise
  } catch (error) {
    // What is no MaiError fails the expectation on its code.
    return error as MaiError
  }
  throw new Error('Did not reject')
}

export async function temporaryFolder(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-lmstudio-'))
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
  return folder
}

/** What another process with the plugin did; see `child.ts`. */
export async function child(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: unknown; output: string }> {
  const running = spawn(process.execPath, ['node_modules/jiti/lib/jiti-cli.mjs', 'tests/plugins/lmstudio/child.ts', ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  onTestFinished(() => void running.kill('SIGKILL'))
  let output = ''
  for (const stream of [running.stdout, running.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const [code] = await once(running, 'close')
  return { code, output }
}
