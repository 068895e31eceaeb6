import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { writeRecitingModel } from '../../src/testing/gguf-writer.ts'
import { noTerminal, Terminal } from './pty/terminal.ts'
import { BIN, manyRuns, type Ran } from './support.ts'

/** A machine with neither LM Studio nor a model, and a hub on this machine that has one. */

const TALE = 'Once upon a time a machine had nothing on it, and then it had a model.'

let folder: string
let model: Buffer
let hub: http.Server
let home: string
let fetched = 0

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-first-'))
  await writeRecitingModel(path.join(folder, 'model.gguf'), { text: TALE })
  model = await fs.readFile(path.join(folder, 'model.gguf'))
  const oid = createHash('sha256').update(model).digest('hex')
  hub = http.createServer((request, response) => {
    const [, listed] = /^\/api\/models\/(.*)\/tree\/main/.exec(request.url ?? '') ?? []
    if (listed !== undefined) {
      const file = { type: 'file', path: 'SmolLM2-135M-Instruct-Q4_K_M.gguf', size: model.length, lfs: { oid, size: model.length } }
      return void response.end(JSON.stringify([file]))
    }
    fetched++
    response.end(model)
  })
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve))
})

afterAll(async () => {
  hub.closeAllConnections()
  hub.close()
  await fs.rm(folder, { recursive: true, force: true })
})

beforeEach(async () => {
  fetched = 0
  home = await fs.mkdtemp(path.join(folder, 'home-'))
  // No LM Studio of the machine that runs the tests.
  await fs.writeFile(path.join(home, 'mai.config.ts'), "export default { disable: ['lmstudio'] }\n")
})

const environment = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  HOME: home,
  MAI_HOME: path.join(home, 'mai'),
  XDG_CACHE_HOME: path.join(home, 'cache'),
  HF_ENDPOINT: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`,
  HF_HOME: path.join(home, 'hf'),
  ...more,
})

function mai(args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [BIN, ...args], {
      cwd: home,
      env: { ...process.env, ...environment(more) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (data: string) => {
      out += data
    })
    child.stderr.setEncoding('utf8').on('data', (data: string) => {
      err += data
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, out, err }))
  })
}

const many = (runs: readonly (readonly string[])[]): Promise<Ran[]> => manyRuns(runs, { cwd: home, env: environment() })

describe('a machine with nothing on it', () => {
  it('is told the exact command, and nothing is fetched unasked', async () => {
    const [words, json] = await many([
      ['ask', 'hello'],
      ['ask', '--json', 'hello'],
    ])
    const { code, out, err } = words ?? {}
    expect(code).toBe(69)
    expect(out).toBe('')
    expect(err).toContain('mai models pull smollm2-135m')
    expect(err).toMatch(/SmolLM2 135M Instruct, 98\.4 MB, licence Apache-2\.0/)
    expect(fetched).toBe(0)
    expect(JSON.parse(json?.out ?? '')).toMatchObject({ error: { code: 'MAI_NOTHING_SERVES' } })
  })

  it.each([
    [['ask', '--yes', 'hello'], {}, ''],
    [['ask', 'hello'], { MAI_AUTO_PULL: '1' }, 'again'],
  ] as const)('fetches a model and answers, by %j and %j', async (args, more, next) => {
    const { code, out, err } = await mai(args, more)
    expect(err).toMatch(/fetched .* from hf:/)
    expect(err).toMatch(/answered by llamacpp\/SmolLM2-135M-Instruct-Q4_K_M/)
    expect(out).toBe(`${TALE}\n`)
    expect(code).toBe(0)
    if (next) expect(await mai(['ask', next])).toEqual({ code: 0, out: `${TALE}\n`, err: '' })
    expect(fetched).toBe(1)
  })

  it.skipIf(noTerminal !== undefined)('asks on a terminal, fetches after a yes, and goes on with the chat', async () => {
    const terminal = new Terminal([process.execPath, BIN, 'chat'], { cwd: home, env: environment() })
    await terminal.sees('Mai can fetch one: SmolLM2 135M Instruct, 98.4 MB, licence Apache-2.0.')
    await terminal.sees('[Y/n]')
    terminal.type('y\r')
    await terminal.sees('fetched')
    await terminal.sees('Ctrl-D leaves')
    terminal.type('hello\r')
    await terminal.sees('then it had a model.')
    terminal.type('\u0004')
    expect(await terminal.ended).toBe(0)
  })

  it.skipIf(noTerminal !== undefined)('takes no for an answer', async () => {
    const terminal = new Terminal([process.execPath, BIN, 'ask', 'hello'], { cwd: home, env: environment() })
    await terminal.sees('[Y/n]')
    terminal.type('n\r')
    expect(await terminal.ended).toBe(69)
    expect(fetched).toBe(0)
  })

  it('gives back the room: rm deletes what was fetched', async () => {
    const [, listed, removed] = await many([
      ['models', 'pull', 'smollm2-135m'],
      ['models', '--json'],
      ['models', 'rm', 'SmolLM2-135M-Instruct-Q4_K_M'],
    ])
    const rows = JSON.parse(listed?.out ?? '') as { key: string; path: string }[]
    expect(rows.map(({ key }) => key)).toEqual(['llamacpp/SmolLM2-135M-Instruct-Q4_K_M'])
    expect(removed?.out).toContain('deleted')
    await expect(fs.access(rows[0]?.path ?? '')).rejects.toThrow()
  })

  it('does not delete models of others', async () => {
    const place = path.join(home, 'hf', 'hub', 'models--x--y', 'snapshots', 'abc')
    await fs.mkdir(place, { recursive: true })
    await fs.writeFile(path.join(place, 'other.gguf'), model)
    const { code, err } = await mai(['models', 'rm', 'other'])
    expect(err).toMatch(/not fetched by Mai/)
    expect(code).toBe(2)
    await fs.access(path.join(place, 'other.gguf'))
  })

  it('recommends models by the memory that is free', async () => {
    const rows = JSON.parse((await mai(['models', 'recommend', '--json'])).out) as { name: string; fits: boolean; best: boolean }[]
    expect(rows[0]?.name).toBe('smollm2-135m')
    expect(rows.filter(({ best }) => best).length).toBeLessThanOrEqual(1)
  })
})
