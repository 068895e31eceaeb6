/**
 * Models that recite, the backend around them, and what a test asks of both.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import type { Backend, GenerateRequest, GenerationPiece, GenerationResult } from '../../../src/chat/backend.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from '../../../src/chat/model.ts'
import type { MaiError } from '../../../src/core/errors.ts'
import { LlamaCppBackend, type LlamaCppParts } from '../../../src/plugins/llamacpp/backend.ts'
import { HeaderCache } from '../../../src/plugins/llamacpp/discover/header-cache.ts'
import { ThreadMemory } from '../../../src/plugins/llamacpp/thread-memory.ts'

/** A signal that nothing aborts. */
export const never = (): AbortSignal => new AbortController().signal

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

/** A folder that goes with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-llamacpp-'))
  onTestFinished(() => fs.rm(folder, { recursive: true, force: true }))
  return fs.realpath(folder)
}

export interface Opened {
  readonly backend: LlamaCppBackend
  /** `id reason` of each model whose process went without being told to. */
  readonly gone: string[]
}

/** What engines run: as built, it starts in a third of the time. A test that loads says in its head that it needs dist/. */
const PROGRAM: string = path.resolve('dist/plugins/llamacpp/child.js')

/** The backend over the models of one folder, closed after the test. */
export function open(folder: string, parts: Partial<LlamaCppParts> = {}): Opened {
  const opened = openUnclosed(folder, parts)
  onTestFinished(() => opened.backend.close())
  return opened
}

/** The same for several tests: to be closed by them. */
export function openUnclosed(folder: string, parts: Partial<LlamaCppParts> = {}): Opened {
  const gone: string[] = []
  const backend = new LlamaCppBackend({
    places: [{ origin: 'configuration', path: folder }],
    cache: new HeaderCache(path.join(folder, 'cache', 'models.json')),
    installed: () => true,
    threads: 1,
    memory: new ThreadMemory(path.join(folder, 'cache', 'threads.json')),
    idleMs: 60_000,
    spare: false,
    onGone: ({ model }, reason) => void gone.push(`${model} ${reason}`),
    program: PROGRAM,
    ...parts,
  })
  return { backend, gone }
}

export async function modelOf(backend: Backend, id: string): Promise<ModelInfo> {
  const model = (await backend.list(never())).find((each) => each.id === id)
  if (!model) throw new Error(`no model ${id}`)
  return model
}

/** Lists and loads. */
export async function loaded(backend: LlamaCppBackend, id: string, settings: LoadSettings = {}): Promise<LoadedInstance> {
  return backend.load(await modelOf(backend, id), settings, () => {}, never())
}

/** One answer with its pieces. */
export async function answer(
  backend: Backend,
  instance: LoadedInstance,
  request: Partial<GenerateRequest> = {},
  onPiece: (piece: GenerationPiece) => void = () => {},
): Promise<{ result: GenerationResult; text: string; tokens: number }> {
  let text = ''
  let tokens = 0
  const result = await backend.generate(
    { instance, messages: [{ role: 'user', parts: [{ type: 'text', text: 'Hello' }] }], sampling: {}, signal: never(), ...request },
    (piece) => {
      if (piece.type === 'text') {
        text += piece.text
        tokens += piece.tokens
      }
      onPiece(piece)
    },
  )
  return { result, text, tokens }
}

/** The process of an instance, as its name tells. */
export function pidOf({ instanceId }: LoadedInstance): number {
  return Number(/#(\d+)\./.exec(instanceId)?.[1])
}

/** Whether a process is there; one that has ended and was not yet collected is not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  const status = await fs.readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return !/\) Z /.test(status)
}

/** Processes that this one has started and that are still there. */
export function children(): number[] {
  if (process.platform !== 'linux') return []
  const out = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
  return out.split('\n').flatMap((line) => (line.includes('llamacpp/child') ? [Number.parseInt(line, 10)] : []))
}
