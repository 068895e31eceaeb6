/**
 * The gap that a switch in the middle of an answer makes, on the embedded engine: to a model that is loaded, beside that
 * model's own time to its first token, and to one that is not, beside the bare time to load it, without and with its own
 * first token; and where the time of the latter goes. Runs what is built.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Backend, GenerateRequest } from '../src/chat/backend.ts'
import type { Mai } from '../src/chat/mai.ts'
import type { LoadedInstance } from '../src/chat/model.ts'
import type { Verdict } from '../src/chat/watcher.ts'
import { writeRecitingModel } from '../src/testing/gguf-writer.ts'
import { alternate, median, type Report, report } from './harness.ts'

const ROUNDS = 5
const SIZE_BYTES = 16_000_000
const CONTEXT = 4096
/** Tokens that the conversation has when it switches. */
const PROMPT_TOKENS = 1000
/** Characters of the answer after which the first model is taken for struggling. */
const STRUGGLE_AT = 120
/** Between two measurements, in ms. */
const REST_MS = 150
/** Until the plugin has a process ahead of the next load, in ms. */
const AHEAD_MS = 4000
const TEXT = Array.from({ length: 20 }, (_, n) => `In year ${n + 1} the cat went to sea for the ${n}th time.`).join(' ')

/** Times of one switch, in ms: `performance.now()`. */
interface Marks {
  struggled: number
  loading: number
  loaded: number
  asked: number
  firstPiece: number
  request: GenerateRequest | undefined
}

/** Of one switch, in ms. */
type SwitchTimes = Readonly<Record<'gap' | 'first' | 'load' | 'before' | 'between', number>>

async function built<T>(file: string): Promise<T> {
  return (await import(pathToFileURL(path.resolve('dist', file)).href)) as T
}

interface World {
  readonly mai: Mai
  readonly backend: Backend
  readonly marks: Marks
}

async function open(folder: string, spareProcess: boolean): Promise<World> {
  execFileSync(process.execPath, ['node_modules/jiti/lib/jiti-cli.mjs', 'scripts/build.ts', '--js', '--if-stale'], { stdio: 'ignore' })
  const { createMai, definePlugin } = await built<typeof import('../src/index.ts')>('index.js')
  const { llamacpp } = await built<typeof import('../src/plugins/llamacpp/index.ts')>('plugins/llamacpp/index.js')
  const { store } = await built<typeof import('../src/plugins/store/index.ts')>('plugins/store/index.js')
  const { switching } = await built<typeof import('../src/plugins/switching/index.ts')>('plugins/switching/index.js')
  const { compression } = await built<typeof import('../src/plugins/compression/index.ts')>('plugins/compression/index.js')
  const { resourceTrace } = await built<typeof import('../src/testing/index.ts')>('testing/index.js')
  const marks: Marks = { struggled: 0, loading: 0, loaded: 0, asked: 0, firstPiece: 0, request: undefined }
  const struggling = definePlugin({
    name: 'struggling',
    apiVersion: 1,
    setup(ctx) {
      ctx.contribute('watcher', {
        name: 'struggling',
        start: ({ model }) => {
          let seen = 0
          const clear: Verdict = { state: 'clear' }
          const push = (text: string): Verdict => {
            seen += text.length
            if (model !== 'llamacpp/first' || seen < STRUGGLE_AT) return clear
            marks.struggled = performance.now()
            return { state: 'struggle', kind: 'loop', evidence: 'the benchmark says so', cutAt: seen }
          }
          return { push, tick: () => clear, end: () => clear }
        },
      })
    },
  })
  const paths = ['first.gguf', 'second.gguf'].map((name) => path.join(folder, name))
  const mai = await createMai({
    plugins: [
      store({ file: path.join(folder, `mai-${spareProcess}.db`) }),
      resourceTrace().plugin,
      switching({ cooldownMs: 0 }),
      compression(),
      llamacpp({ paths, discover: false, threads: 1, idleMs: 600_000, spareProcess }),
      struggling(),
    ],
    models: { '*': { contextLength: CONTEXT } },
  })
  const [backend] = mai.kernel.context.all('backend')
  if (!backend) throw new Error('no backend')
  const generate = backend.generate.bind(backend)
  // The engine's own times are taken at its door.
  const load = backend.load.bind(backend)
  backend.load = async (...order) => {
    marks.loading = performance.now()
    const instance = await load(...order)
    marks.loaded = performance.now()
    return instance
  }
  backend.generate = (request, sink) => {
    marks.asked = performance.now()
    marks.firstPiece = 0
    marks.request = request
    return generate(request, (piece) => {
      if (piece.type === 'text') marks.firstPiece ||= performance.now()
      sink(piece)
    })
  }
  return { mai, backend, marks }
}

/** A switch in the middle of an answer, with a conversation that neither model has seen. */
async function switched({ mai, marks }: World, round: number): Promise<SwitchTimes> {
  const { id: sessionId } = await mai.openSession()
  const question = `${round}. ${'word '.repeat(PROMPT_TOKENS / 5)}`
  let shown = 0
  let text = ''
  const stream = mai.streamMessage(question, { sessionId, model: 'first' })
  for await (const piece of stream) {
    text += piece.text
    if (marks.struggled > 0 && marks.firstPiece > marks.struggled) shown ||= performance.now()
  }
  const reply = await stream.reply
  if (reply.switches.length !== 1 || text !== TEXT) throw new Error(`No clean switch: ${JSON.stringify(reply.attempts)} ${text.length}`)
  const { struggled, loading, loaded, asked, firstPiece } = marks
  const cold = loading > struggled
  marks.struggled = 0
  return {
    gap: shown - struggled,
    first: firstPiece - asked,
    load: cold ? loaded - loading : 0,
    before: (cold ? loading : asked) - struggled,
    between: cold ? asked - loaded : 0,
  }
}

/** The target's own time to its first token for the same kind of request, asked for directly. */
async function bareFirstToken({ backend, marks }: World, instance: LoadedInstance, round: number): Promise<number> {
  const { request } = marks
  if (!request) throw new Error('nothing was asked yet')
  const parts = [{ type: 'text', text: `${round}b ${'word '.repeat(PROMPT_TOKENS / 5)}` }] as const
  const stop = new AbortController()
  const began = performance.now()
  let first = 0
  await backend.generate({ ...request, instance, messages: [{ role: 'user', parts }], signal: stop.signal }, (piece) => {
    if (piece.type !== 'text') return
    first ||= performance.now() - began
    stop.abort()
  })
  return first
}

/** Loads it directly, and takes its first token. */
async function bareLoad(world: World, round: number): Promise<{ readonly load: number; readonly first: number }> {
  const { mai, backend } = world
  const model = (await mai.models.list()).find(({ id }) => id === 'second')
  if (!model) throw new Error('no model')
  const { signal } = new AbortController()
  const began = performance.now()
  const instance = await backend.load(model, { contextLength: CONTEXT }, () => {}, signal)
  const load = performance.now() - began
  const first = await bareFirstToken(world, instance, round)
  await backend.unload(instance, signal)
  return { load, first }
}

async function measured(): Promise<readonly Report[]> {
  const folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'mai-bench-'))
  process.env.MAI_HOME = folder
  await writeRecitingModel(path.join(folder, 'first.gguf'), { text: TEXT, sizeBytes: SIZE_BYTES, contextLength: 8192 })
  await writeRecitingModel(path.join(folder, 'second.gguf'), {
    text: TEXT,
    sizeBytes: SIZE_BYTES + 2_000_000,
    contextLength: 8192,
    layers: 2,
  })
  const world = await open(folder, true)
  const plain = await open(folder, false)
  const warmOwn: number[] = []
  let round = 0
  let target = await world.mai.models.loadModel('second')
  const warm = await alternate(
    {
      gap: async () => {
        await pause(REST_MS)
        target = await world.mai.models.loadModel('second')
        const { gap, first } = await switched(world, ++round)
        warmOwn.push(gap - first)
        return gap
      },
      first: async () => {
        await pause(REST_MS)
        return bareFirstToken(world, target, ++round)
      },
    },
    ROUNDS,
  )
  await world.mai.models.unloadModel('second')
  await plain.mai.models.loadModel('first')
  const colds = { ahead: [] as SwitchTimes[], none: [] as SwitchTimes[] }
  const bares: Awaited<ReturnType<typeof bareLoad>>[] = []
  const coldSwitch = async (who: World, times: SwitchTimes[], restMs: number): Promise<number> => {
    await pause(restMs)
    const time = await switched(who, ++round)
    times.push(time)
    await who.mai.models.unloadModel('second')
    return time.gap
  }
  const cold = await alternate(
    {
      ahead: () => coldSwitch(world, colds.ahead, AHEAD_MS),
      none: () => coldSwitch(plain, colds.none, REST_MS),
      load: async () => {
        await pause(REST_MS)
        const times = await bareLoad(plain, ++round)
        bares.push(times)
        return times.load
      },
    },
    ROUNDS,
  )
  await plain.mai.shutdown()
  await world.mai.shutdown()
  await fs.rm(folder, { recursive: true, force: true })
  const of = (figures: typeof warm, name: string): number => figures.get(name)?.median ?? Number.NaN
  const middle = <T>(rounds: readonly T[], figure: (times: T) => number): number => median(rounds.slice(1).map(figure))
  const row = (to: string, gap: number, bare: number, goal: string): Report['rows'][number] => ({ to, gap, bare, beyond: gap - bare, goal })
  const part = (what: string, figure: (times: SwitchTimes) => number, bare: number): Report['rows'][number] => ({
    what,
    ahead: middle(colds.ahead, figure),
    none: middle(colds.none, figure),
    bare,
  })
  const own = ({ gap, first, load }: SwitchTimes): number => gap - first - load
  const bareWithFirst = middle(bares, ({ load, first }) => load + first)
  return [
    {
      title: `A switch in the middle of an answer, ${PROMPT_TOKENS} tokens of context`,
      columns: [
        { key: 'to', heading: 'to a model that is' },
        { key: 'gap', heading: 'gap in ms' },
        { key: 'bare', heading: 'bare ms' },
        { key: 'beyond', heading: 'beyond it' },
        { key: 'goal', heading: 'goal' },
      ],
      rows: [
        row('loaded, beside its own first token', of(warm, 'gap'), of(warm, 'first'), '≤ 300'),
        row('not loaded, beside its bare load', of(cold, 'ahead'), of(cold, 'load'), '≤ 200'),
        row('the same with no process ahead', of(cold, 'none'), of(cold, 'load'), ''),
        row('the same, beside its bare load and own first token', of(cold, 'none'), bareWithFirst, ''),
        row('loaded, Mai’s own part', median(warmOwn.slice(1)), 0, '≤ 20'),
        row('not loaded, Mai’s own part', middle(colds.ahead, own), 0, ''),
      ],
      notes: [
        'Gap: from the verdict that the first model struggles to the first new character for the person.',
        'Bare: the target’s own time to its first token, asked for directly; for one that is not loaded, the time of its load alone, or with its first token.',
        `A process ahead: what the plugin starts while the engine rests, a second after an answer. Without it, as in the first answer of all, the gap is a load and the reading of ${PROMPT_TOKENS} tokens, which the fourth row takes off.`,
        'Mai’s own part: the gap less the time the engine itself took in the same switch, from its call to its first token, and of the load.',
        `Median of ${ROUNDS}, in turn; each with a conversation that no model has seen.`,
      ],
    },
    {
      title: 'Where the time goes when it is not loaded',
      columns: [
        { key: 'what', heading: 'part' },
        { key: 'ahead', heading: 'a process ahead, ms' },
        { key: 'none', heading: 'none, ms' },
        { key: 'bare', heading: 'asked directly' },
      ],
      rows: [
        part('stopping the first model, deciding, planning', ({ before }) => before, 0),
        part(
          'the load: process, library, weights, context',
          ({ load }) => load,
          middle(bares, ({ load }) => load),
        ),
        part('noting the load, composing the prompt', ({ between }) => between, 0),
        part(
          'reading the prompt, to the first token',
          ({ first }) => first,
          middle(bares, ({ first }) => first),
        ),
        part('to the person', ({ gap, first, load, before, between }) => gap - first - load - before - between, 0),
      ],
    },
  ]
}

report(await measured())
