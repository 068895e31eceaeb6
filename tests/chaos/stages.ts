/**
 * The three backends that scenarios are played on: a whole Mai on each, with four models that would all say the same,
 * and the handle that harm is done by.
 *
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { onTestFinished } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import type { TurnSettings } from '../../src/chat/settings.ts'
import type { Plugin } from '../../src/core/plugin.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { lmstudio } from '../../src/plugins/lmstudio/index.ts'
import { openaiCompatible } from '../../src/plugins/openai-compatible/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import { writeRecitingModel } from '../../src/testing/gguf-writer.ts'
import { type LmStudioServer, startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { type OpenAiServer, startOpenAiServer } from '../../src/testing/openai-server/server.ts'
import { resourceTrace } from '../../src/testing/resource-trace.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { CANON, type Telling, temporaryFolder } from './support.ts'

const GIB = 2 ** 30
/** The better the larger. */
export const MODELS: readonly string[] = ['a', 'b', 'c', 'd']

/** Shorter than the others' answer: each of its units is a row and a column of a real model. */
export const TALE: string = CANON.slice(0, CANON.indexOf('\n\n') + 2).trim()

/** How a stage is set. */
export interface StageOptions {
  readonly turn?: Partial<TurnSettings>
  /** Beside the usual ones. */
  readonly plugins?: readonly Plugin[]
  /** Where the store lies; default: a folder of its own. */
  readonly folder?: string
  /** The best model is served by a process of its own, where the backend is a server that can be one. */
  readonly ownProcess?: boolean
}

/** What all stages have. */
export interface Stage {
  readonly mai: Mai
  /** What every model would say in full, and how long it may take. */
  readonly telling: Required<Pick<Telling, 'canon' | 'withinMs'>>
  /** Processes that live although Mai has shut down. */
  readonly leftovers: () => readonly number[]
}

/** The stage of each backend. */
export interface Stages {
  readonly lmstudio: Stage & { readonly server: LmStudioServer }
  readonly 'openai-compatible': Stage & { readonly server: OpenAiServer; readonly process: ChildProcess | undefined }
  readonly llamacpp: Stage & { readonly folder: string }
}

export type BackendName = keyof Stages
export const BACKENDS: readonly BackendName[] = ['lmstudio', 'openai-compatible', 'llamacpp']

const SCRIPTED = { telling: { canon: CANON, withinMs: 20_000 }, leftovers: () => [] }

/** Sets a stage; it is cleared away after the test. */
export const open: { readonly [B in BackendName]: (options?: StageOptions) => Promise<Stages[B]> } = {
  async lmstudio({ turn = {}, plugins = [], folder } = {}) {
    const server = await startLmStudioServer({
      models: MODELS.map((key, n) =>
        scriptedEngine({ key, answer: CANON, sizeBytes: Math.round((1.6 - n * 0.3) * GIB), paramsString: `${4 - n}B`, loadMs: 10 }),
      ),
    })
    onTestFinished(() => server.close())
    const mai = await scriptedMai([lmstudio({ baseUrl: server.baseUrl, autoStart: false }), ...plugins], turn, folder)
    return { ...SCRIPTED, mai, server }
  },

  async 'openai-compatible'({ turn = {}, plugins = [], folder, ownProcess = false } = {}) {
    const server = await startOpenAiServer({ models: MODELS.map((id) => ({ id, answer: CANON })) })
    onTestFinished(() => server.close())
    const own = ownProcess ? await serverProcess() : undefined
    const backends = [
      ...(own ? [openaiCompatible({ name: 'own', endpoints: [{ baseUrl: own.baseUrl, prefill: true }] })] : []),
      openaiCompatible({ endpoints: [{ baseUrl: server.baseUrl, prefill: true }] }),
    ]
    const mai = await scriptedMai([...backends, ...plugins], turn, folder)
    return { ...SCRIPTED, mai, server, process: own?.process }
  },

  async llamacpp({ turn = {}, plugins = [], folder } = {}) {
    const { createMai } = await built<typeof import('../../src/chat/mai.ts')>('index.js')
    const { llamacpp } = await built<typeof import('../../src/plugins/llamacpp/index.ts')>('plugins/llamacpp/index.js')
    const { store } = await built<typeof import('../../src/plugins/store/index.ts')>('plugins/store/index.js')
    const { resources } = await built<typeof import('../../src/plugins/resources/index.ts')>('plugins/resources/index.js')
    const { switching } = await built<typeof import('../../src/plugins/switching/index.ts')>('plugins/switching/index.js')
    const { compression } = await built<typeof import('../../src/plugins/compression/index.ts')>('plugins/compression/index.js')
    const models = await recitingModels()
    const file = path.join(folder ?? (await temporaryFolder()), 'mai.db')
    const engine = llamacpp({ paths: [models], discover: false, threads: 1 })
    const usual = [store({ file }), resources(), switching(), compression(), engine]
    const mai = await createMai({ plugins: [...usual, ...plugins], turn })
    onTestFinished(() => mai.shutdown())
    // Loads and answers of a real engine, on a machine that does other things too.
    return { mai, folder: models, telling: { canon: TALE, withinMs: 120_000 }, leftovers: engines }
  },
}

async function scriptedMai(plugins: readonly Plugin[], turn: Partial<TurnSettings>, folder: string | undefined): Promise<Mai> {
  const file = path.join(folder ?? (await temporaryFolder()), 'mai.db')
  const usual = [store({ file }), resourceTrace(14 * GIB).plugin, switching(), compression()]
  const mai = await createMai({ plugins: [...usual, ...plugins], turn })
  onTestFinished(() => mai.shutdown())
  return mai
}

async function built<T>(file: string): Promise<T> {
  return (await import(/* @vite-ignore */ pathToFileURL(path.resolve('dist', file)).href)) as T
}

let written: Promise<string> | undefined

/** Four files in a folder of this test's own. */
export async function recitingModels(): Promise<string> {
  written ??= (async () => {
    const folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-chaos-models-'))
    process.once('exit', () => execFileSync('rm', ['-rf', folder]))
    const sizes = MODELS.map((name, n) => ({ file: path.join(folder, `${name}.gguf`), layers: MODELS.length - n }))
    await Promise.all(
      sizes.map(({ file, layers }) => writeRecitingModel(file, { text: TALE, sizeBytes: 2_000_000 + layers * 500_000, layers })),
    )
    return folder
  })()
  const folder = await temporaryFolder()
  cpSync(await written, folder, { recursive: true })
  return folder
}

/** The stand-in server as a process of its own, with the model `best`. */
async function serverProcess(): Promise<{ readonly process: ChildProcess; readonly baseUrl: string }> {
  const program = `
    const { startOpenAiServer } = await import(${JSON.stringify(pathToFileURL(path.resolve('dist', 'testing', 'index.js')).href)})
    const server = await startOpenAiServer({ models: [{ id: 'best', answer: ${JSON.stringify(CANON)} }], everyMs: 1 })
    console.log(server.baseUrl)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [baseUrl] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
  return { process: child, baseUrl: baseUrl.trim() }
}

/** The engines that run now. */
export function engines(parent: number = process.pid): number[] {
  const out = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(parent)], { encoding: 'utf8' })
  return out.split('\n').flatMap((line) => (/llamacpp.child/.test(line) ? [Number.parseInt(line, 10)] : []))
}

export function signalEngines(signal: NodeJS.Signals, parent: number = process.pid): void {
  for (const pid of engines(parent)) process.kill(pid, signal)
}
