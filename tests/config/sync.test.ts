import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createMai } from '../../src/chat/mai.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { resources } from '../../src/plugins/resources/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import { type LmStudioServer, startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'

const LIBRARY = pathToFileURL(path.resolve('dist/index.js')).href

let folder: string
let server: LmStudioServer

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-sync-'))
  server = await startLmStudioServer({
    models: [
      scriptedEngine({
        key: 'echo',
        answer: (_, messages) => {
          const asked = messages?.filter(({ role }) => role === 'user').map(({ text }) => text) ?? []
          return asked.at(-1) === 'slow'
            ? Array.from({ length: 10_000 }, (_, n) => `word${n} `).join('')
            : `You said ${asked.join(' and ')}.`
        },
        pace: { perSecond: 200 },
      }),
    ],
  })
  await fs.writeFile(
    path.join(folder, 'mai.config.ts'),
    `import { defineConfig } from 'mai'
import { lmstudio } from 'mai/plugins/lmstudio'
export default defineConfig({ plugins: [lmstudio({ baseUrl: '${server.baseUrl}', autoStart: false })] })
`,
  )
})

afterAll(async () => {
  await server.close()
  await fs.rm(folder, { recursive: true, force: true })
})

/** Runs a script in a process of its own: a blocked thread could not serve. @returns what it printed as JSON */
function script(body: string): Promise<unknown> {
  const code = `import { openMai } from '${LIBRARY}'
const attempt = (work) => { try { return work() } catch (error) { return { code: error.code, cure: error.cure, name: error.name } } }
const mai = await openMai({ file: 'mai.config.ts' })
${body}
`
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: folder,
      env: { ...process.env, MAI_HOME: path.join(folder, 'home'), HOME: folder },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let out = ''
    child.stdout.on('data', (data: Buffer) => {
      out += data
    })
    child.on('error', reject)
    child.on('close', (status) => (status === 0 ? resolve(JSON.parse(out)) : reject(new Error(`exit ${status}: ${out}`))))
  })
}

describe('processMessageSync', () => {
  it('answers before the next line runs, on the same session as the asynchronous calls', async () => {
    const result = await script(`
const order = []
setImmediate(() => order.push('event loop'))
const first = mai.processMessageSync('one')
order.push('answered')
const second = await mai.processMessage('two')
const third = mai.processMessageSync('three')
const history = await mai.getConversationHistory()
await mai.shutdown()
console.log(JSON.stringify({ order: order[0], texts: [first.text, second.text, third.text], model: third.model,
  sessions: new Set([first.sessionId, second.sessionId, third.sessionId]).size, stored: history.length }))`)
    expect(result).toEqual({
      order: 'answered',
      texts: ['You said one.', 'You said one and two.', 'You said one and two and three.'],
      model: 'lmstudio/echo',
      sessions: 1,
      stored: 6,
    })
  })

  it('is refused while the session answers, and goes on after it', async () => {
    const result = await script(`
const running = mai.streamMessage('slow')
await running[Symbol.asyncIterator]().next()
const busy = attempt(() => mai.processMessageSync('too early'))
running.cancel()
await running.reply
const { id } = await mai.store.createSession({ id: 'other', title: '', time: 1 })
const texts = [mai.processMessageSync('hello', { sessionId: id }).text, mai.processMessageSync('and now?').text]
await mai.shutdown()
console.log(JSON.stringify({ busy: busy.code, cure: typeof busy.cure, texts }))`)
    expect(result).toEqual({ busy: 'MAI_SYNC_BUSY', cure: 'string', texts: ['You said hello.', 'You said slow and and now?.'] })
  })

  it('ends at its time limit and keeps what there was', async () => {
    const result = await script(`
const { id } = await mai.openSession()
mai.processMessageSync('first')
const late = attempt(() => mai.processMessageSync('slow', { timeLimitMs: 1500 }))
const kept = await mai.getConversationHistory()
const next = mai.processMessageSync('again')
await mai.shutdown()
console.log(JSON.stringify({ late, kept: kept.map(({ role, complete }) => [role, complete]), next: next.text.includes('again') }))`)
    expect(result).toEqual({
      late: { code: 'MAI_SYNC_TIMEOUT', cure: expect.any(String), name: 'MaiError' },
      kept: [
        ['user', true],
        ['assistant', true],
        ['user', true],
        ['assistant', false],
      ],
      next: true,
    })
  })

  it('throws what processMessage would reject with', async () => {
    const result = await script(`
const codes = [
  attempt(() => mai.processMessageSync('hello', { model: 'nonsense' })).code,
  attempt(() => mai.processMessageSync('   ')).code,
  attempt(() => mai.processMessageSync('hello', { sessionId: 'nowhere' })).code,
  attempt(() => mai.processMessageSync('hello', { timeLimitMs: 0 })).code,
]
await mai.shutdown()
codes.push(attempt(() => mai.processMessageSync('hello')).code)
console.log(JSON.stringify(codes))`)
    expect(result).toEqual(['MAI_UNKNOWN_MODEL', 'MAI_EMPTY_MESSAGE', 'MAI_UNKNOWN_SESSION', 'MAI_USAGE', 'MAI_CLOSED'])
  })

  it('needs a configuration that another thread can open', async () => {
    const mai = await createMai({ plugins: [store({ file: path.join(folder, 'own.db') }), resources(), switching(), compression()] })
    expect(() => mai.processMessageSync('hello')).toThrowError(expect.objectContaining({ code: 'MAI_SYNC_UNAVAILABLE' }))
    await mai.shutdown()
  })
})
