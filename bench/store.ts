/**
 * A session of a million messages: what the store's questions and a whole turn take, and how much memory the process has,
 * beside the same for a short session. `-- --messages 100000`.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createMai } from '../src/chat/mai.ts'
import { compression } from '../src/plugins/compression/index.ts'
import { ledger } from '../src/plugins/ledger/index.ts'
import { store as storePlugin } from '../src/plugins/store/index.ts'
import { Connection } from '../src/plugins/store/sqlite.ts'
import { createStore } from '../src/plugins/store/store.ts'
import { switching } from '../src/plugins/switching/index.ts'
import { resourceTrace } from '../src/testing/resource-trace.ts'
import { scriptedBackend } from '../src/testing/scripted-backend.ts'
import { median, report } from './harness.ts'

const { values } = parseArgs({
  options: { messages: { type: 'string', default: '1000000' }, json: { type: 'boolean' }, measure: { type: 'string' } },
})
const RUNS = 50
const SHORT = 100
const WORDS = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta', 'iota', 'kappa']
const LIMIT_MB = 200
/** People take longer between an answer and their next message, in ms; what was said is indexed after 100. */
const READING_MS = 200

type Figures = Record<string, number>

if (values.measure !== undefined) process.stdout.write(JSON.stringify(await measured(values.measure, Number(values.messages))))
else {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-bench-'))
  try {
    const short = await run(folder, SHORT)
    const long = await run(folder, Number(values.messages))
    report({
      title: `The store with a session of ${Number(values.messages).toLocaleString('en')} messages`,
      columns: [
        { key: 'what', heading: 'what' },
        { key: 'short', heading: `${SHORT} messages` },
        { key: 'long', heading: `${Number(values.messages).toLocaleString('en')} messages` },
      ],
      rows: Object.keys(long).map((what) => ({ what, short: short[what] ?? Number.NaN, long: long[what] ?? Number.NaN })),
      notes: [
        `Median of ${RUNS}. Goal: memory of the process below ${LIMIT_MB} MB, and nothing that grows with the session.`,
        `Turns after a rest are the first ${RUNS} of their process, those right after another the next: by then their code is compiled.`,
      ],
    })
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** In a process of its own, so that filling the file leaves no memory behind. */
async function run(folder: string, messages: number): Promise<Figures> {
  const file = path.join(folder, `${messages}.db`)
  await fill(file, messages)
  const [program = '', script = ''] = process.argv
  const { status, stdout, stderr } = spawnSync(program, [script, '--measure', file, '--messages', String(messages)], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Figures
}

/** Directly: a transaction a message would take minutes. */
async function fill(file: string, messages: number): Promise<void> {
  const store = createStore({ file, ownFolder: false })
  await store.createSession({ id: 'long', title: '', time: 1 })
  await store.close()
  const db = await Connection.open(file, 10)
  for (let from = 0; from < messages; from += 50_000) {
    db.transaction(() => {
      for (let index = from; index < Math.min(messages, from + 50_000); index++) {
        const text = `${WORDS[index % 10]} ${WORDS[(index * 7) % 10]} rare${index} with some more words of a talk that goes on and on for ever`
        const role = index % 2 === 0 ? 'user' : 'assistant'
        db.run('INSERT INTO messages (id, session, turn_id, role, time, complete, parts) VALUES (?, 1, ?, ?, ?, 1, ?)', [
          `id${index}`,
          `t${index >> 1}`,
          role,
          index,
          JSON.stringify([{ type: 'text', text }]),
        ])
        db.run('INSERT INTO unindexed (seq) VALUES (?)', [index + 1])
      }
    })
  }
  db.run('UPDATE sessions SET message_count = ? WHERE num = 1', [messages])
  db.close()
  // Searching indexes what is left to index.
  const filled = createStore({ file, ownFolder: false })
  await filled.search('alpha')
  await filled.close()
}

async function measured(file: string, messages: number): Promise<Figures> {
  const opening = performance.now()
  const store = createStore({ file, ownFolder: false })
  await store.getSession('long')
  const openMs = performance.now() - opening
  const timed = async (work: (index: number) => Promise<unknown>, restMs = 0): Promise<number> => {
    const times: number[] = []
    for (let index = 0; index < RUNS; index++) {
      if (restMs > 0) await pause(restMs)
      const began = performance.now()
      await work(index)
      times.push(performance.now() - began)
    }
    return median(times)
  }
  const middle = messages >> 1
  const figures: Figures = {
    'open, ms': openMs,
    'newest 50, ms': await timed(() => store.messages('long', { limit: 50 })),
    '50 in the middle, ms': await timed((index) => store.messages('long', { limit: 50, before: middle - (index % 40) })),
    'oldest 50, ms': await timed(() => store.messages('long', { limit: 50, after: 0 })),
    'count, ms': await timed(() => store.countMessages('long')),
    'list of sessions, ms': await timed(() => store.listSessions()),
    'search a rare word, ms': await timed((index) => store.search(`rare${(index * 997) % messages}`, { sessionId: 'long' })),
    'append, ms': await timed((index) =>
      store.appendMessage({
        id: `new${index}`,
        sessionId: 'long',
        turnId: `n${index}`,
        role: 'user',
        parts: [{ type: 'text', text: `one more ${index}` }],
        time: index,
        complete: true,
      }),
    ),
  }
  await store.close()
  const storeMb = process.resourceUsage().maxRSS / 1024
  const { plugin } = scriptedBackend([{ id: 'model', maxContextLength: 4096, answer: 'Here you are.' }])
  const mai = await createMai({
    plugins: [storePlugin({ file }), resourceTrace().plugin, switching(), compression(), ledger(), plugin],
  })
  await mai.openSession({ id: 'long' })
  const ask = (): Promise<unknown> => mai.processMessage('What was said about rare4711?')
  const turnMs = await timed(ask, READING_MS)
  const hastyMs = await timed(ask)
  await mai.shutdown()
  const wholeMb = process.resourceUsage().maxRSS / 1024
  return {
    ...figures,
    'a whole turn, scripted model, ms': turnMs,
    'the same right after another, ms': hastyMs,
    'memory with the store, MB': storeMb,
    'memory with all of Mai, MB': wholeMb,
  }
}
