/**
 * The embedded engine through its plugin, a process for each model, against node-llama-cpp called directly, in turn, on
 * written models: rate, time to the first token, and memory after unloading. Runs what is built, as people run it.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { getLlama, type Llama, type LlamaContextSequence, type LlamaModel } from 'node-llama-cpp'
import type { Backend } from '../src/chat/backend.ts'
import { CHAT_HOOKS, CHAT_LISTS } from '../src/chat/events.ts'
import type { LoadedInstance } from '../src/chat/model.ts'
import { createKernel } from '../src/core/kernel.ts'
import { writeRecitingModel } from '../src/testing/gguf-writer.ts'
import { alternate, median, type Report, ratio, report } from './harness.ts'

const SIZES_MB = [64, 128]
const TOKENS = 192
const ROUNDS = 9
const CONTEXT = 1024
/** Between two answers, in ms. */
const REST_MS = 100
const QUESTION = 'Tell me.'
const MESSAGES = [{ role: 'user', parts: [{ type: 'text', text: QUESTION }] }] as const

interface Run {
  /** Tokens a second, from the first to the last. */
  readonly rate: number
  /** ms to the first token. */
  readonly first: number
}

const { signal } = new AbortController()

async function builtPlugin(): Promise<typeof import('../src/plugins/llamacpp/index.ts')> {
  execFileSync(process.execPath, ['node_modules/jiti/lib/jiti-cli.mjs', 'scripts/build.ts', '--js', '--if-stale'], { stdio: 'ignore' })
  return import(pathToFileURL(path.resolve('dist/plugins/llamacpp/index.js')).href)
}

/** Tokens that come together in one message were made one after the other: time is taken where the last one arrives. */
class Clock {
  readonly #began = performance.now()
  #first = 0
  #last = 0
  #tokens = 0

  tick(tokens: number): void {
    this.#last = performance.now() - this.#began
    this.#first ||= this.#last
    this.#tokens += tokens
  }

  run(): Run {
    if (this.#tokens !== TOKENS) throw new Error(`${this.#tokens} tokens instead of ${TOKENS}`)
    return { rate: ((TOKENS - 1) * 1000) / (this.#last - this.#first), first: this.#first }
  }
}

async function direct(model: LlamaModel, sequence: LlamaContextSequence, prompt: string): Promise<Run> {
  await pause(REST_MS)
  const clock = new Clock()
  const tokens = model.tokenize(prompt, true)
  await sequence.adaptStateToTokens(tokens.slice(0, -1), false)
  let count = 0
  const options = { temperature: 0.2, topK: 40, topP: 0.95, minP: 0.05 }
  for await (const token of sequence.evaluate(tokens.slice(sequence.nextTokenIndex), options)) {
    model.detokenize([token])
    clock.tick(1)
    if (++count >= TOKENS) break
  }
  return clock.run()
}

async function plugin(backend: Backend, instance: LoadedInstance): Promise<Run> {
  await pause(REST_MS)
  const clock = new Clock()
  // The same sampler as the other side's.
  const sampling = { maxTokens: TOKENS, temperature: 0.2, repeatPenalty: 1 }
  await backend.generate({ instance, messages: MESSAGES, sampling, signal }, (piece) => {
    if (piece.type === 'text') clock.tick(piece.tokens)
  })
  return clock.run()
}

/** Resident memory of this process and all that it has started, in MB; NaN where `/proc` does not tell. */
async function resident(): Promise<number> {
  const rss = async (pid: string): Promise<number> => {
    const status = await fs.readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0)
  }
  const children = await fs.readFile(`/proc/self/task/${process.pid}/children`, 'utf8').catch(() => undefined)
  if (children === undefined) return Number.NaN
  const all = await Promise.all([String(process.pid), ...children.split(' ').filter(Boolean)].map(rss))
  return all.reduce((sum, kB) => sum + kB, 0) / 1000
}

/** The same for both, and given, so that the plugin does not begin to measure while the other one runs. */
const threadsOn = ({ cpuMathCores }: Llama): number => Math.max(1, cpuMathCores - 1)

interface Row {
  readonly [key: string]: string | number
}

async function compared(
  llama: Llama,
  folder: string,
  backend: Backend,
  id: string,
): Promise<{ readonly rows: Row[]; readonly note: string }> {
  const model = (await backend.list(signal)).find((each) => each.id === id)
  if (!model?.path) throw new Error(`no model ${id}`)
  const before = await resident()
  const instance = await backend.load(model, { contextLength: CONTEXT }, () => {}, signal)
  const runs: Record<'direct' | 'plugin', Run[]> = { direct: [], plugin: [] }
  const taken = (who: 'direct' | 'plugin', run: Run): number => runs[who].push(run) && run.rate

  await plugin(backend, instance)
  const held = (await resident()) - before
  const own = await llama.loadModel({ modelPath: path.join(folder, `${id}.gguf`) })
  const context = await own.createContext({ contextSize: CONTEXT, threads: threadsOn(llama) })
  const sequence = context.getSequence()
  const prompt = `<|im_start|>user\n${QUESTION}<|im_end|>\n<|im_start|>assistant\n`
  const rates = await alternate(
    {
      plugin: async () => taken('plugin', await plugin(backend, instance)),
      direct: async () => taken('direct', await direct(own, sequence, `<s>${prompt}`)),
    },
    ROUNDS,
  )
  await context.dispose()
  await own.dispose()
  const full = await resident()
  await backend.unload(instance, signal)
  const returned = full - (await resident())

  const middle = (who: 'direct' | 'plugin', key: keyof Run): number => median(runs[who].slice(1).map((run) => run[key]))
  const row = (who: 'direct' | 'plugin'): Row => ({ model: id, through: who, rate: middle(who, 'rate'), first: middle(who, 'first') })
  const more = (middle('plugin', 'first') - middle('direct', 'first')).toFixed(1)
  return {
    rows: [row('direct'), row('plugin')],
    note: `${id}: ${ratio(rates, 'plugin', 'direct').toFixed(3)} of the direct rate, ${more} ms more to the first token; loading took ${held.toFixed(0)} MB, unloading gave ${returned.toFixed(0)} MB back.`,
  }
}

async function measured(): Promise<Report> {
  const folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-bench-'))
  // What lies in the caches of this person is of no concern here.
  process.env.MAI_HOME = folder
  const text = 'Round and round it goes and where it stops nobody knows,'
  for (const size of SIZES_MB) {
    await writeRecitingModel(path.join(folder, `${size}MB.gguf`), { text, loop: { from: 5 }, sizeBytes: size * 1e6, layers: 4 })
  }
  const { llamacpp } = await builtPlugin()
  const llama = await getLlama({ gpu: 'auto', build: 'never', skipDownload: true, progressLogs: false })
  const kernel = createKernel({
    plugins: [llamacpp({ paths: [folder], discover: false, threads: threadsOn(llama), idleMs: 600_000 })],
    lists: CHAT_LISTS,
    hooks: CHAT_HOOKS,
  })
  await kernel.start()
  const [backend] = kernel.context.all('backend')
  if (!backend) throw new Error('no backend')
  const results: Awaited<ReturnType<typeof compared>>[] = []
  for (const size of SIZES_MB) results.push(await compared(llama, folder, backend, `${size}MB`))
  await kernel.close()
  await fs.rm(folder, { recursive: true, force: true })
  return {
    title: `The embedded engine, ${TOKENS} tokens an answer`,
    columns: [
      { key: 'model', heading: 'model' },
      { key: 'through', heading: 'through' },
      { key: 'rate', heading: 'tokens/s' },
      { key: 'first', heading: 'ms to first' },
    ],
    rows: results.flatMap(({ rows }) => rows),
    notes: [
      ...results.map(({ note }) => note),
      `Median of ${ROUNDS}, in turn. Goals: at least 0.95 of the rate, at most 10 ms more to the first token, all memory given back.`,
    ],
  }
}

report(await measured())
