import fs from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Machine } from '../../../src/plugins/lmstudio/home.ts'
import { bareMachine, failure, never, open, ROOT, temporaryFolder } from './harness.ts'

const JITI = path.join(ROOT, 'node_modules', 'jiti', 'lib', 'jiti-cli.mjs')
const SERVE = path.join(ROOT, 'tests', 'plugins', 'lmstudio', 'server-child.ts')

/** Long enough for a stand-in server to start on a busy machine: half of it is for the daemon, half for the server. */
const PATIENT = { startMs: 50_000 }

/**
 * What a fake `lms` does for `lms daemon up` and `lms server start`; the body of a script, with `args` and `serve()`, and
 * `endWithServer(said)`: the real one ends when what it has started is there, however long that takes.
 */
async function machineWith(body: string, inHome = false): Promise<{ machine: Machine; calls: () => Promise<string[]> }> {
  const machine = await bareMachine()
  const folder = inHome ? path.join(machine.home, '.lmstudio', 'bin') : await temporaryFolder()
  const log = path.join(machine.home, 'calls')
  const file = path.join(folder, 'lms')
  await fs.mkdir(folder, { recursive: true })
  await fs.writeFile(
    file,
    `#!${process.execPath}
const { spawn } = require('node:child_process')
const fs = require('node:fs')
const args = process.argv.slice(2).join(' ')
fs.appendFileSync(${JSON.stringify(log)}, args + '\\n')
const serve = () => spawn(process.execPath, ${JSON.stringify([JITI, SERVE, machine.home])}, { cwd: ${JSON.stringify(ROOT)}, detached: true, stdio: 'inherit' }).unref()
const endWithServer = (said) => setInterval(() => {
  if (!fs.existsSync(${JSON.stringify(path.join(machine.home, 'pid'))})) return
  console.log(said)
  process.exit(0)
}, 20)
${body}
`,
  )
  await fs.chmod(file, 0o755)
  onTestFinished(async () => {
    const pid = Number(await fs.readFile(path.join(machine.home, 'pid'), 'utf8').catch(() => 0))
    // 0 would be this process and all its kin.
    if (pid > 1 && lives(pid)) process.kill(pid, 'SIGKILL')
  })
  const calls = async (): Promise<string[]> => (await fs.readFile(log, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')
  return { machine: { ...machine, path: inHome ? '' : folder }, calls }
}

/** An `lms` that starts in no time, for limits that are short. */
async function machineWithShell(body: string): Promise<{ machine: Machine; calls: () => Promise<string[]> }> {
  const { machine, calls } = await machineWith('')
  await fs.writeFile(path.join(machine.path, 'lms'), `#!/bin/sh\necho "$*" >> '${path.join(machine.home, 'calls')}'\n${body}\n`)
  return { machine, calls }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('LM Studio that is down', () => {
  it('is started with the `lms` on the search path, once for all who ask', { timeout: 60_000 }, async () => {
    const { machine, calls } = await machineWith(`if (args === 'daemon up --json') { serve(); endWithServer('{"status":"running"}') }`)
    const { backend, events } = await open(PATIENT, machine)
    const lists = await Promise.all([backend.list(never()), backend.list(never()), backend.list(never())])
    expect(lists.map((models) => models.map(({ id }) => id))).toEqual([['a'], ['a'], ['a']])
    expect(await calls()).toEqual(['daemon up --json'])
    expect(events).toEqual(['connected'])
  })

  it('is started with the `lms` in its own home, by its server where there is no daemon', { timeout: 60_000 }, async () => {
    const { machine, calls } = await machineWith(
      `if (args === 'server start') { serve(); endWithServer('running') } else process.exit(1)`,
      true,
    )
    const { backend } = await open(PATIENT, machine)
    expect(await backend.list(never())).toHaveLength(1)
    expect(await calls()).toEqual(['daemon up --json', 'server start'])
  })

  it('is used as soon as it answers, although `lms` does not end', { timeout: 60_000 }, async () => {
    const { machine } = await machineWith('serve(); setInterval(() => {}, 1000)')
    const { backend } = await open(PATIENT, machine)
    expect(await backend.list(never())).toHaveLength(1)
  })
})

describe('an `lms` that does not help', () => {
  it('because it hangs is ended in bounded time, with one error that says what was tried', async () => {
    const { machine, calls } = await machineWithShell('exec sleep 600')
    const { backend } = await open({ startMs: 1000 }, machine)
    const error = await failure(backend.list(never()))
    expect(error.code).toBe('MAI_BACKEND_UNREACHABLE')
    expect(error.problem).toMatch(/starting it failed: `lms daemon up --json` did not end.*; `lms server start` did not end/)
    expect(error.cure).toBe('Run `lms server start` to see why.')
    expect(await calls()).toEqual(['daemon up --json', 'server start'])
  })

  it('because it fails is quoted, without its colours', async () => {
    const { machine } = await machineWith(`console.error('\\x1b[31mNo such thing\\x1b[0m'); process.exit(3)`)
    const { backend } = await open({}, machine)
    const error = await failure(backend.list(never()))
    expect(error.problem).toContain('`lms server start`: ended with 3 (it said: No such thing)')
  })

  it('because it says rubbish and starts nothing is not believed', async () => {
    const { machine } = await machineWithShell(`yes '{"status": tru' | head -n 10000`)
    const { backend } = await open({ startMs: 1000 }, machine)
    const error = await failure(backend.list(never()))
    expect(error.problem).toMatch(/`lms server start` ended, and nothing answers/)
    expect(error.problem.length).toBeLessThan(1500)
  })

  it('because it is no program is told like any failure', async () => {
    const { machine } = await machineWith('')
    await fs.writeFile(path.join(machine.path, 'lms'), '#!/nowhere/at/all\n')
    const { backend } = await open({}, machine)
    expect((await failure(backend.list(never()))).problem).toMatch(/starting it failed: `lms daemon up --json`: .*ENOENT/)
  })

  it('is not called again at once', async () => {
    const { machine, calls } = await machineWith('process.exit(1)')
    const { backend } = await open({}, machine)
    await failure(backend.list(never()))
    await expect.poll(() => failure(backend.list(never())).then(({ problem }) => problem)).toContain('starting it failed a moment ago')
    expect(await calls()).toHaveLength(2)
  })

  it('is ended when the plugin closes', async () => {
    const { machine } = await machineWith(`fs.writeFileSync(process.argv[1] + '-pid', String(process.pid)); setInterval(() => {}, 1000)`)
    const { backend, kernel } = await open({}, machine)
    const listing = failure(backend.list(never()))
    const pid = (): Promise<number> => fs.readFile(path.join(machine.path, 'lms-pid'), 'utf8').then(Number, () => 0)
    await expect.poll(pid, { timeout: 10_000 }).toBeGreaterThan(0)
    const lms = await pid()
    await kernel.close()
    await expect.poll(() => lives(lms)).toBe(false)
    expect((await listing).code).toBe('MAI_SCOPE_CLOSED')
  })
})

describe('`lms` is left alone', () => {
  it('when autoStart is off', async () => {
    const { machine, calls } = await machineWith('process.exit(1)')
    const { backend } = await open({ autoStart: false }, machine)
    const error = await failure(backend.list(never()))
    expect(error.message).toMatch(/autoStart is off\. Run `lms server start`\./)
    expect(await calls()).toEqual([])
  })

  it('when LM Studio is on another machine', async () => {
    const { machine, calls } = await machineWith('process.exit(1)')
    const { backend } = await open({ baseUrl: 'ws://lm-studio.invalid:1234', probeMs: 500 }, machine)
    const error = await failure(backend.list(never()))
    expect(error.code).toBe('MAI_BACKEND_UNREACHABLE')
    expect(error.message).toContain('lm-studio.invalid:1234; it is on another machine. Start it there')
    expect(await calls()).toEqual([])
  })
})
