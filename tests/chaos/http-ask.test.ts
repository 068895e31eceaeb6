import { execFile } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { OpenAiFault } from '../../src/testing/openai-server/faults.ts'
import { type OpenAiServer, startOpenAiServer } from '../../src/testing/openai-server/server.ts'

/** What an outsider sees who puts two servers behind Mai and asks on the command line, with default settings. */
const CANON = Array.from({ length: 60 }, (_, index) => `word${index}`).join(' ')
const BIN = path.resolve('dist/cli/bin.js')

let folder: string
let primary: OpenAiServer
let fallback: OpenAiServer

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-ask-'))
  primary = await startOpenAiServer({ models: [{ id: 'test-model', answer: CANON }] })
  fallback = await startOpenAiServer({ models: [{ id: 'test-model', answer: CANON }], prefill: 'refuse' })
  const endpoint = (name: string, { baseUrl }: OpenAiServer): string =>
    `openaiCompatible({ name: '${name}', endpoints: [{ baseUrl: '${baseUrl}' }] })`
  const config = `import { openaiCompatible } from 'mai/plugins/openai-compatible'
export default { plugins: [${endpoint('primary', primary)}, ${endpoint('fallback', fallback)}] }
`
  await fs.writeFile(path.join(folder, 'mai.config.ts'), config)
})

afterEach(async () => {
  await Promise.all([primary.close(), fallback.close()])
  await fs.rm(folder, { recursive: true, force: true })
})

interface Ran {
  readonly code: number
  readonly json: Readonly<Record<string, unknown>>
}

function mai(...args: string[]): Promise<Ran> {
  const env = { ...process.env, MAI_HOME: path.join(folder, 'home'), HOME: folder, POOL_KEY: 'sk-very-secret' }
  return new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [BIN, ...args], { cwd: folder, env }, (error, stdout) => {
      const code = error === null ? 0 : Number(error.code)
      if (stdout === '') reject(error ?? new Error('no output'))
      else resolve({ code, json: JSON.parse(stdout) as Readonly<Record<string, unknown>> })
    })
    child.stdin?.end()
  })
}

it.each<[string, OpenAiFault]>([
  ['in the middle', { kind: 'cut', afterPieces: 17 }],
  ['before it began', { kind: 'status', status: 503, times: Infinity }],
])('mai ask --json tells of an answer that broke %s: the whole text, who ended it, and what was tried', async (_, fault) => {
  primary.faults.add(fault)
  const { code, json } = await mai('ask', '--json', 'Say your words.')
  expect(code).toBe(0)
  expect(json).toMatchObject({
    text: CANON,
    model: 'fallback/test-model',
    backend: 'fallback',
    remote: false,
    finishReason: 'stop',
    attempts: [
      { model: 'primary/test-model', outcome: 'failed' },
      { model: 'fallback/test-model', outcome: 'completed' },
    ],
    switches: [{ from: 'primary/test-model', to: 'fallback/test-model' }],
  })
  const { completionTokens, promptTokens } = json.usage as Readonly<Record<string, number>>
  expect([completionTokens, Number(promptTokens) > 0]).toEqual([60, true])
})

it('mai ask --json gives the provider reason of a filter, and asks nobody else', async () => {
  primary.faults.add({ kind: 'filter', reason: 'The prompt triggered the policy for self-harm.' })
  const { code, json } = await mai('ask', '--json', 'Say your words.')
  expect(code).not.toBe(0)
  expect(json).toMatchObject({
    error: { code: 'MAI_CONTENT_FILTERED', message: expect.stringContaining('policy for self-harm') },
    switches: [],
  })
  expect([primary.answers.length, fallback.answers.length]).toEqual([1, 0])
})

it('mai status shows a model that rests', async () => {
  primary.faults.add({ kind: 'status', status: 401, times: Infinity })
  await mai('ask', '--json', 'Say your words.')
  const { json } = await mai('status', '--json')
  expect(json.circuits).toMatchObject([{ model: 'primary/test-model', reason: 'MAI_AUTH_REFUSED' }])
})
