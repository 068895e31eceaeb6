import fs from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { type Desk, openDesk } from './support.ts'

let desk: Desk

beforeAll(async () => {
  const answer = (_: string, messages: readonly { text: string }[] | undefined): string => `You said ${messages?.at(-1)?.text}.`
  desk = await openDesk([
    scriptedEngine({ key: 'big', answer, sizeBytes: 2e9, paramsString: '4B' }),
    scriptedEngine({ key: 'small', answer, sizeBytes: 1e8, paramsString: '1B' }),
  ])
})
afterAll(() => desk.close())

describe('the program', () => {
  it('answers a question on standard output, and nothing else', async () => {
    expect(await desk.mai(['ask', 'hello', 'there'])).toEqual({ code: 0, out: 'You said hello there.\n', err: '' })
  })

  it('gives one JSON value with text, model, usage and attempts, and goes on with the latest session', async () => {
    const { out, code } = await desk.mai(['ask', '--json', 'hello'])
    expect(code).toBe(0)
    const first = JSON.parse(out) as { sessionId: string }
    expect(first).toMatchObject({ text: 'You said hello.', model: 'lmstudio/big', finishReason: 'stop', switches: [] })
    const second = JSON.parse((await desk.again(['ask', '--json', '--continue', 'second'])).out) as { sessionId: string }
    expect(second.sessionId).toBe(first.sessionId)
    const shown = await desk.again(['sessions', 'show', second.sessionId])
    expect(shown.out).toContain('user: hello')
    expect(shown.out).toContain('user: second')
  })

  it('answers each line of a pipe', async () => {
    expect((await desk.mai(['chat'], 'one\ntwo\n')).out).toBe('You said one.\nYou said two.\n')
  })

  it('lists models and says what is in use', async () => {
    const [models, used] = await desk.many([
      ['models', '--json'],
      ['status', '--json'],
    ])
    const rows = JSON.parse(models?.out ?? '') as { key: string; fits: boolean }[]
    expect(rows.map((row) => row.key)).toEqual(['lmstudio/big', 'lmstudio/small'])
    const status = JSON.parse(used?.out ?? '') as {
      model: string
      reason: string
      resources: { memory: { totalBytes: number } }
    }
    expect(status.model).toBe('lmstudio/big')
    expect(status.reason).not.toBe('')
    expect(status.resources.memory.totalBytes).toBeGreaterThan(0)
  })

  it('pins a model for the next message of every process', async () => {
    expect((await desk.again(['switch', 'small'])).out).toBe('pinned lmstudio/small\n')
    expect(JSON.parse((await desk.mai(['ask', '--json', 'hello'])).out)).toMatchObject({ model: 'lmstudio/small' })
    expect((await desk.again(['switch', '--auto'])).code).toBe(0)
  })

  it('ends with 2 and a cure for what it cannot do', async () => {
    const refused: readonly [args: readonly string[], said: RegExp][] = [
      [['switch', 'smal'], /Did you mean lmstudio\/small\?/],
      [['statsu'], /Did you mean status\?/],
      [['sessions', 'show', 'nowhere'], /no session/],
      [['ask', '   '], /empty/],
      [['ask', '--temperature', 'warm', 'hello'], /wants a number/],
      [['ask', '--nonsense', 'hello'], /./],
    ]
    const ran = await desk.many(refused.map(([args]) => args))
    for (const [index, { code, err, out }] of ran.entries()) {
      const [args, said] = refused[index] ?? []
      expect(code, args?.join(' ')).toBe(2)
      expect(err + out).toMatch(said ?? /$^/)
    }
  })

  it('ends with 69 and the command that cures it when nothing is running', async () => {
    await desk.config('nothing.config.ts', { baseUrl: 'ws://127.0.0.1:9' })
    const { code, err } = await desk.again(['ask', '--config', 'nothing.config.ts', 'hello'])
    expect(code).toBe(69)
    expect(err).toMatch(/127\.0\.0\.1:9/)
    expect(err).toMatch(/lms server start/)
  })

  it('ends with 78 and one error for each way in which a configuration is broken', async () => {
    const broken: readonly [name: string, text: string, said: RegExp][] = [
      ['syntax.config.ts', 'export default {', /syntax\.config\.ts/],
      ['throws.config.ts', 'throw new Error("on purpose")', /on purpose/],
      ['unknown.config.ts', 'export default { plugin: [] }', /unknown\.config\.ts.*plugin/],
      [
        'option.config.ts',
        "import { switching } from 'mai/plugins/switching'\nexport default { plugins: [switching({ dwell: 1 })] }",
        /switching.*dwell/,
      ],
      ['import.config.ts', "import './missing.ts'\nexport default {}", /missing\.ts/],
    ]
    for (const [name, text] of broken) await fs.writeFile(path.join(desk.folder, name), text)
    const ran = await desk.many(broken.map(([name]) => ['ask', '--config', name, 'hello']))
    for (const [index, { code, err }] of ran.entries()) {
      const [name, , said] = broken[index] ?? []
      expect(err).toMatch(said ?? /$^/)
      expect(code, name).toBe(78)
    }
  })

  it('runs a third-party plugin and another policy from a configuration', async () => {
    const example = path.resolve('examples')
    const text = `import { lmstudio } from 'mai/plugins/lmstudio'
import example from '${example}/mai.config.ts'
export default { plugins: [...example.plugins, lmstudio({ baseUrl: '${desk.server.baseUrl}' })] }
`
    await fs.writeFile(path.join(desk.folder, 'example.config.ts'), text)
    const plugins = JSON.parse((await desk.again(['plugins', '--json', '--config', 'example.config.ts'])).out) as { name: string }[]
    const names = plugins.map((plugin) => plugin.name)
    expect(names).toContain('loyal-policy')
    expect(names).toContain('word-count')
    expect(names).not.toContain('switching')
    expect((await desk.again(['ask', '--config', 'example.config.ts', 'hello'])).out).toBe('You said hello.\n')
  })

  it('runs the commands that plugins contribute, and names them to whoever mistypes one', async () => {
    const text = `import { definePlugin, MaiError } from 'mai'
const greeter = definePlugin({
  name: 'greeter', apiVersion: 1,
  setup(ctx) {
    ctx.contribute('command', { name: 'greet', summary: 'Says hello', run: async (args, { mai, stdout }) => {
      if (args[0] === 'fail') throw new MaiError('MAI_UNKNOWN_GREETING', 'There is no such greeting.', { cure: 'Try another.' })
      stdout.write(['hello', ...args, mai.getStatus().state].join(' ') + '\\n')
      return 3
    } })
  },
})
export default { plugins: [greeter()] }
`
    await fs.writeFile(path.join(desk.folder, 'greeter.config.ts'), text)
    const config = ['--config', 'greeter.config.ts']
    expect(await desk.again(['greet', ...config, 'you', '--loudly'])).toEqual({ code: 3, out: 'hello you --loudly idle\n', err: '' })
    const [failed, mistyped, plugins] = await desk.many([
      ['greet', 'fail', ...config],
      ['gret', ...config],
      ['plugins', ...config],
    ])
    expect(failed).toMatchObject({ code: 2, err: expect.stringContaining('Try another.') })
    expect(mistyped).toMatchObject({ code: 2, err: expect.stringContaining('Did you mean greet?') })
    expect(plugins?.out).toContain('mai greet')
  })

  it('writes no escape sequences where nobody looks', async () => {
    expect((await desk.again(['--help'])).out).not.toContain('\u001b')
  })
})
