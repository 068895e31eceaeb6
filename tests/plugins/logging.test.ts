import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from '../../src/chat/events.ts'
import type { ResourceSample } from '../../src/chat/resources.ts'
import { toErrorFact } from '../../src/core/errors.ts'
import type { MaiEvents } from '../../src/core/events.ts'
import { createKernel, type Kernel } from '../../src/core/kernel.ts'
import { definePlugin } from '../../src/core/plugin.ts'
import { type LoggingOptions, logging } from '../../src/plugins/logging/index.ts'

let folder: string
let kernel: Kernel | undefined
let stderr: string[]

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-logging-'))
  stderr = []
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr.push(String(text))
    return true
  })
})
afterEach(async () => {
  await kernel?.close()
  kernel = undefined
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  fs.rmSync(folder, { recursive: true, force: true })
})

const logFile = () => path.join(folder, 'log', 'mai.log')

async function boot(options: LoggingOptions = {}): Promise<Kernel> {
  kernel = createKernel({
    plugins: [logging({ file: logFile(), ...options })],
    lists: CHAT_LISTS,
    hooks: CHAT_HOOKS,
    mailboxes: CHAT_MAILBOXES,
  })
  await kernel.start()
  return kernel
}

type Line = Record<string, unknown> & { readonly level: number; readonly event: string; readonly msg: string; readonly time: number }

function linesOf(file: string = logFile()): Line[] {
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

/** Emits one event in a kernel of its own, and gives its line. */
async function lineFor<T extends keyof MaiEvents>(type: T, payload: MaiEvents[T], options: LoggingOptions = {}): Promise<Line | undefined> {
  const { context, close } = await boot(options).then((k) => ({ context: k.context, close: () => k.close() }))
  context.emit(type, payload)
  await close()
  return fs.existsSync(logFile()) ? linesOf().find((line) => line.event === type) : undefined
}

const ids = { sessionId: 's1', turnId: 't1' }
const usage = { promptTokens: 900, completionTokens: 120 }
const error = { code: 'MAI_LOAD_REFUSED', message: 'The model did not fit.' }
const sample: ResourceSample = {
  time: 1,
  memory: { totalBytes: 32 * 2 ** 30, availableBytes: 8 * 2 ** 30, swapUsedBytes: 0 },
  cpu: { cores: 4, load: 0.5 },
  gpus: [],
  memoryStall: 0,
  battery: undefined,
  level: 'normal',
}
const selection: MaiEvents['model.selected'] = {
  request: {
    time: 1,
    purpose: 'rescue',
    ...ids,
    current: 'lmstudio/a',
    needs: { contextTokens: 4096, vision: false, tools: false },
    resources: sample,
    candidates: [],
    failed: ['lmstudio/a'],
    requested: undefined,
  },
  decision: {
    model: 'lmstudio/b',
    contextLength: 8192,
    reason: 'most-efficient',
    fallbacks: ['lmstudio/c'],
    candidates: [{ model: 'lmstudio/a', score: 1, excluded: 'failed' }],
  },
}

const INFO = 30
const WARN = 40
const ERROR = 50

/** One event, the level of its line, and words of its sentence. */
type Row = { [T in keyof MaiEvents]: readonly [T, MaiEvents[T], number, string] }[keyof MaiEvents]
const ROWS: readonly Row[] = [
  ['session.started', { sessionId: 's1', resumed: true }, INFO, 'session s1 resumed'],
  ['message.received', { ...ids, text: 'the secret plan' }, INFO, '15 characters'],
  [
    'message.completed',
    { ...ids, text: 'an answer', model: 'lmstudio/a', finish: 'stop', usage, switches: 1, ms: 2500 },
    INFO,
    'answered by lmstudio/a in 2.5 s',
  ],
  ['message.failed', { ...ids, error, releasedChars: 7 }, ERROR, 'no answer: MAI_LOAD_REFUSED'],
  [
    'resources.pressured',
    { level: 'critical', availableBytes: 2 ** 29, totalBytes: 2 ** 34 },
    WARN,
    'memory is critical: 0.5 GiB of 16.0 GiB free',
  ],
  ['resources.recovered', { availableBytes: 2 ** 33, totalBytes: 2 ** 34 }, INFO, '8.0 GiB of 16.0 GiB free'],
  ['backend.connected', { backend: 'lmstudio', endpoint: 'ws://127.0.0.1:1234' }, INFO, 'connected at ws://127.0.0.1:1234'],
  ['backend.lost', { backend: 'lmstudio', error }, WARN, 'backend lmstudio lost'],
  ['models.discovered', { backend: 'lmstudio', models: ['lmstudio/a', 'lmstudio/b'] }, INFO, '2 models at lmstudio'],
  ['model.selected', selection, INFO, 'selected lmstudio/a → lmstudio/b: most-efficient'],
  ['model.loading', { model: 'lmstudio/a', contextLength: 4096, fraction: 0 }, INFO, 'loading lmstudio/a'],
  ['model.loaded', { model: 'lmstudio/a', contextLength: 4096, ms: 800 }, INFO, 'loaded lmstudio/a in 800 ms'],
  ['model.load.failed', { model: 'lmstudio/a', error }, WARN, 'could not load lmstudio/a: MAI_LOAD_REFUSED'],
  ['model.unloaded', { model: 'lmstudio/a', reason: 'idle' }, INFO, 'unloaded lmstudio/a: idle'],
  ['model.preloaded', { model: 'lmstudio/a', ms: 10 }, INFO, 'prepared lmstudio/a'],
  [
    'model.struggling',
    { ...ids, model: 'lmstudio/a', kind: 'loop', evidence: '4 times', atChar: 300, error: undefined },
    WARN,
    'loop (4 times)',
  ],
  [
    'model.switched',
    { sessionId: 's1', turnId: 't1', from: 'lmstudio/a', to: 'lmstudio/b', reason: 'load refused (memory)', rescue: false, atChar: 0 },
    INFO,
    'switched lmstudio/a → lmstudio/b: load refused (memory)',
  ],
  ['pin.changed', { model: 'lmstudio/a' }, INFO, 'pinned lmstudio/a'],
  ['pin.changed', { model: null }, INFO, 'unpinned'],
  ['circuit.opened', { model: 'lmstudio/a', reason: 'three failures' }, WARN, 'three failures'],
  ['circuit.closed', { model: 'lmstudio/a' }, INFO, 'lmstudio/a may be used again'],
  ['generation.finished', { ...ids, model: 'lmstudio/a', finish: 'stop', usage, ms: 7000, firstTokenMs: 1000 }, INFO, '20.0 tokens/s'],
  ['generation.failed', { ...ids, model: 'lmstudio/a', kind: 'crashed', error }, WARN, 'lmstudio/a failed (crashed)'],
  ['context.compressed', { ...ids, model: 'lmstudio/a', verbatimMessages: 5, totalMessages: 40 }, INFO, '5 of 40 messages verbatim'],
  ['context.transferred', { ...ids, from: 'lmstudio/a', to: 'lmstudio/b', tokens: 10, usableTokens: 20 }, INFO, 'lmstudio/a → lmstudio/b'],
  ['plugin.failed', { plugin: 'memory', during: 'listener of message.completed', error }, ERROR, 'plugin "memory" failed in its listener'],
]

describe('the line of an event', () => {
  it.each(ROWS)('%s', async (type, payload, level, words) => {
    const line = await lineFor(type, payload)
    expect(line).toMatchObject({ level, event: type, pid: process.pid })
    expect(line?.msg).toContain(words)
    expect(Math.abs((line?.time ?? 0) - Date.now())).toBeLessThan(60_000)
    expect(line?.seq).toBeGreaterThan(0)
    if (typeof payload === 'object' && 'sessionId' in payload && payload.sessionId !== undefined)
      expect(line?.sessionId).toBe(payload.sessionId)
  })

  it('sums a decision up without the whole question', async () => {
    const line = await lineFor('model.selected', selection)
    expect(line).toMatchObject({
      from: 'lmstudio/a',
      to: 'lmstudio/b',
      reason: 'most-efficient',
      purpose: 'rescue',
      fallbacks: ['lmstudio/c'],
    })
    expect(line).toMatchObject({ candidates: [{ model: 'lmstudio/a', score: 1, excluded: 'failed' }], pressure: 'normal' })
    expect(line).not.toHaveProperty('request')
    expect(line).not.toHaveProperty('needs')
  })

  it('warns when nothing can serve', async () => {
    const decision = { ...selection.decision, model: undefined, reason: 'nothing-fits' }
    expect(await lineFor('model.selected', { ...selection, decision })).toMatchObject({
      level: WARN,
      msg: 'no model can serve (rescue): nothing-fits',
    })
  })

  it('logs the beginning of each load once, not its progress', async () => {
    const { context, close } = await boot().then((k) => ({ context: k.context, close: () => k.close() }))
    for (let load = 0; load < 2; load++) {
      for (const fraction of [0, 0.5, 1]) context.emit('model.loading', { model: 'lmstudio/a', contextLength: 1, fraction })
      context.emit('model.loaded', { model: 'lmstudio/a', contextLength: 1, ms: 1 })
    }
    await close()
    expect(linesOf().map((line) => line.event)).toEqual(['model.loading', 'model.loaded', 'model.loading', 'model.loaded'])
  })

  it('keeps quiet about samples, and never listens to the text of an answer', async () => {
    expect(await lineFor('resources.sampled', sample)).toBeUndefined()
    expect(kernel?.context.listening('generation.chunk')).toBe(false)
  })

  it('logs samples at debug, and gives the order and cause of each event', async () => {
    expect(await lineFor('resources.sampled', sample, { level: 'debug' })).toMatchObject({
      level: 20,
      msg: '8.0 GiB of 32.0 GiB free, CPU 50 %',
    })
    expect((await boot({ level: 'debug' })).context.listening('generation.chunk')).toBe(false)
  })

  it('drops what is less grave than the level', async () => {
    expect(await lineFor('session.started', { sessionId: 's', resumed: false }, { level: 'error' })).toBeUndefined()
    expect(await lineFor('plugin.failed', { plugin: 'p', during: 'd', error }, { level: 'error' })).toBeDefined()
  })
})

describe('what must not be in a log', () => {
  it('leaves out what is said, unless asked for it', async () => {
    const said = { ...ids, text: 'the plan is blue' }
    expect(JSON.stringify(await lineFor('message.received', said))).not.toContain('blue')
    fs.rmSync(logFile())
    expect(await lineFor('message.received', said, { messageText: true })).toMatchObject({ text: 'the plan is blue', chars: 16 })
  })

  it('redacts secrets by their keys, at any depth', async () => {
    const decision = {
      ...selection.decision,
      candidates: [
        { model: 'x/y', score: 1, apiKey: 'AAA', nested: { Authorization: 'BBB', 'client-passkey': 'CCC', accessToken: 'DDD' } },
      ],
    }
    const text = JSON.stringify(await lineFor('model.selected', { ...selection, decision }))
    for (const secret of ['AAA', 'BBB', 'CCC', 'DDD']) expect(text).not.toContain(secret)
    expect(text).toContain('x/y')
  })

  it.each([
    ['Refused: Authorization: Bearer abc.DEF-123', 'abc.DEF'],
    ['key sk-proj-1234567890abcdef is wrong', '1234567890'],
    ['GET http://me:hunter2@10.0.0.1/v1', 'hunter2'],
    ['POST /v1?api_key=hunter22&x=1', 'hunter22'],
    ['{"password": "hunter2"}', 'hunter2'],
    ['bearer: Bearer QUJDREVGRw==', 'QUJDREVG'],
    ['lmstudio refused passkey=abcdef', 'abcdef'],
    [`${'x'.repeat(1990)} sk-abcdefghijklmnop`, 'abcdef'],
  ])('redacts secrets inside text: %s', async (message, secret) => {
    const line = await lineFor('backend.lost', { backend: 'lmstudio', error: toErrorFact(new Error(message)) })
    expect(line).toBeDefined()
    expect(JSON.stringify(line)).not.toContain(secret)
  })

  it('leaves counts of tokens alone', async () => {
    const line = await lineFor('generation.finished', { ...ids, model: 'lmstudio/a', finish: 'stop', usage, ms: 10, firstTokenMs: 1 })
    expect(line).toMatchObject({ usage, firstTokenMs: 1 })
    expect(line?.msg).toContain('wrote 120 tokens in')
  })

  it('cuts an error that carries a whole page', async () => {
    const line = await lineFor('backend.lost', { backend: 'b', error: { code: 'X', message: 'p'.repeat(1e6) } })
    expect(JSON.stringify(line).length).toBeLessThan(5000)
  })

  it('holds nothing that a terminal would act on, and loses nothing', async () => {
    const model = 'evil/\u001b[2J\u009b31m\u202Etxt.exe\u2028\u0007\r\nfake line'
    const line = await lineFor('pin.changed', { model })
    expect(line?.model).toBe(model)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(fs.readFileSync(logFile(), 'utf8').trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u202e]/)
  })
})

describe('for people', () => {
  it('writes one harmless line to standard error, without colour where there is no terminal', async () => {
    const running = await boot({ verbose: true, file: false })
    running.context.emit('pin.changed', { model: 'evil/\u001b]0;owned\u0007\u202E\nFAKE' })
    await running.close()
    const written = stderr.join('')
    expect(written).toContain('INFO: pinned evil/\\x1b]0;owned\\x07\\u202e\\nFAKE')
    expect(written.match(/\n/g)).toHaveLength(1)
    expect(written).not.toContain('\u001b')
    expect(fs.existsSync(path.join(folder, 'log'))).toBe(false)
  })
})

describe('the file', () => {
  it('lies in the log folder of MAI_HOME, and both are private', async () => {
    vi.stubEnv('MAI_HOME', folder)
    const running = await boot({ file: undefined })
    running.context.emit('pin.changed', { model: 'a/b' })
    await running.close()
    expect(linesOf()).toHaveLength(1)
    expect(fs.statSync(logFile()).mode & 0o777).toBe(0o600)
    expect(fs.statSync(path.dirname(logFile())).mode & 0o777).toBe(0o700)
  })

  it('becomes private when it was not', async () => {
    fs.mkdirSync(path.dirname(logFile()))
    fs.writeFileSync(logFile(), '', { mode: 0o644 })
    await lineFor('pin.changed', { model: 'a/b' })
    await vi.waitFor(() => expect(fs.statSync(logFile()).mode & 0o777).toBe(0o600))
  })

  it('is not made, and nothing is loaded, when there is nothing to log', async () => {
    const running = await boot()
    await running.close()
    expect(fs.existsSync(path.dirname(logFile()))).toBe(false)
  })

  it('loses nothing on a normal end, in order, also what came before and during boot', async () => {
    const early = definePlugin({
      name: 'early',
      apiVersion: 1,
      setup: (ctx) => ctx.emit('pin.changed', { model: 'early/0' }),
    })
    kernel = createKernel({ plugins: [logging({ file: logFile() }), early()], lists: CHAT_LISTS, hooks: CHAT_HOOKS })
    await kernel.start()
    for (let i = 1; i <= 500; i++) kernel.context.emit('pin.changed', { model: `late/${i}` })
    await kernel.close()
    expect(linesOf().map((line) => line.model)).toEqual(['early/0', ...Array.from({ length: 500 }, (_, i) => `late/${i + 1}`)])
  })

  it('tells why a boot failed', async () => {
    const broken = definePlugin({
      name: 'broken',
      apiVersion: 1,
      setup: (ctx) => {
        ctx.emit('plugin.failed', { plugin: 'broken', during: 'setup', error })
        throw new Error('no')
      },
    })
    kernel = createKernel({ plugins: [logging({ file: logFile() }), broken()] })
    await expect(kernel.start()).rejects.toMatchObject({ code: 'MAI_PLUGIN_SETUP_FAILED' })
    expect(linesOf()).toMatchObject([{ event: 'plugin.failed', level: ERROR }])
  })

  it('opens by itself soon after boot, without waiting for the end', async () => {
    const running = await boot()
    running.context.emit('pin.changed', { model: 'a/b' })
    await vi.waitFor(() => expect(linesOf()).toHaveLength(1), { timeout: 20_000 })
  })

  it('rotates at its size and keeps as many as it is told, all private', async () => {
    const running = await boot({ maxBytes: 2048, keep: 2 })
    for (let i = 0; i < 100; i++) running.context.emit('pin.changed', { model: `rotation/${i}` })
    await running.close()
    const files = fs.readdirSync(path.dirname(logFile())).sort()
    expect(files).toEqual(['mai.log', 'mai.log.1', 'mai.log.2'])
    const kept = ['mai.log.2', 'mai.log.1', 'mai.log'].flatMap((file) =>
      linesOf(path.join(path.dirname(logFile()), file)).map((line) => line.model),
    )
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => `rotation/${100 - kept.length + i}`))
    for (const file of files) {
      const { mode, size } = fs.statSync(path.join(path.dirname(logFile()), file))
      expect(mode & 0o777).toBe(0o600)
      expect(size).toBeLessThan(4096)
    }
  })

  it('that cannot be written gives one warning, and nothing else breaks', async () => {
    fs.writeFileSync(path.join(folder, 'log'), 'a file where the folder should be')
    const running = await boot()
    const failures: unknown[] = []
    running.context.on('plugin.failed', (failure) => void failures.push(failure))
    for (let i = 0; i < 20; i++) running.context.emit('pin.changed', { model: `a/${i}` })
    await vi.waitFor(() => expect(stderr).toHaveLength(1), { timeout: 20_000 })
    for (let i = 0; i < 20; i++) running.context.emit('pin.changed', { model: `b/${i}` })
    await running.close()
    expect(stderr).toHaveLength(1)
    expect(stderr[0]).toMatch(/^mai: The log cannot be written: .*Mai goes on without it\.\n$/)
    expect(failures).toEqual([])
  })

  it('in whose place a folder stands gives one warning, and nothing else breaks', async () => {
    fs.mkdirSync(logFile(), { recursive: true })
    const running = await boot()
    for (let i = 0; i < 20; i++) running.context.emit('pin.changed', { model: `a/${i}` })
    await running.close()
    expect(stderr).toHaveLength(1)
  })

  it('goes on when it is moved away, as by another process that rotates', async () => {
    const running = await boot({ maxBytes: 1024, keep: 3 })
    running.context.emit('pin.changed', { model: 'before/it' })
    await vi.waitFor(() => expect(linesOf()).toHaveLength(1), { timeout: 20_000 })
    fs.rmSync(logFile())
    for (let i = 0; i < 20; i++) {
      running.context.emit('pin.changed', { model: `after/${i}` })
      await new Promise(setImmediate)
    }
    await running.close()
    expect(stderr).toEqual([])
    expect(linesOf().at(-1)?.model).toBe('after/19')
  })

  it('loses nothing when the process is ended without closing', async () => {
    const script = path.join(folder, 'exit.ts')
    const from = (file: string): string => JSON.stringify(path.resolve(import.meta.dirname, '../..', file))
    fs.writeFileSync(
      script,
      `import fs from 'node:fs'
       import { createKernel } from ${from('src/core/kernel.ts')}
       import { logging } from ${from('src/plugins/logging/index.ts')}
       const file = ${JSON.stringify(logFile())}
       const kernel = createKernel({ plugins: [logging({ file })] })
       await kernel.start()
       kernel.context.emit('pin.changed', { model: 'exit/0' })
       while (!fs.existsSync(file) || fs.statSync(file).size === 0) await new Promise((resolve) => setTimeout(resolve, 10))
       for (let i = 1; i <= 200; i++) kernel.context.emit('pin.changed', { model: 'exit/' + i })
       process.exit(0)`,
    )
    const jiti = import.meta.resolve('jiti/register')
    const code = await new Promise((resolve) =>
      spawn(process.execPath, ['--import', jiti, script], { stdio: 'ignore' }).on('close', resolve),
    )
    expect(code).toBe(0)
    expect(new Set(linesOf().map((line) => line.model)).size).toBe(201)
  })

  it('refuses options that make no sense', async () => {
    await expect(boot({ level: 'loud' } as unknown as LoggingOptions)).rejects.toMatchObject({ code: 'MAI_PLUGIN_OPTIONS' })
  })
})
