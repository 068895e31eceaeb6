import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { openStore } from '../plugins/store/harness.ts'
import { BIN, type Desk, openDesk } from './support.ts'

/** 10 MB. */
const HUGE = 10_000_000
const EVIL = 'a\u001b[2J\u202eb\ud83d\udc00'

let desk: Desk

beforeAll(async () => {
  desk = await openDesk([
    scriptedEngine({
      key: 'echo',
      // How long what it was asked is, and how it begins.
      answer: (_, messages) => {
        const text = messages?.at(-1)?.text ?? ''
        return text.startsWith('evil') ? 'a\u001b[2J\u009b31m\u202eb' : `${text.length}: ${text.slice(0, 20)}`
      },
      displayName: 'echo\u001b[2J\u202e',
    }),
  ])
})
afterAll(() => desk.close())

/** What is in the store of the session that was used last. */
async function lastSession(): Promise<readonly { readonly role: string; readonly complete: boolean; readonly texts: readonly string[] }[]> {
  const store = await openStore({ file: path.join(desk.folder, 'home', 'mai.db') })
  const [session] = await store.listSessions()
  const messages = await store.messages(session?.id ?? '')
  return messages.map(({ role, complete, parts }) => ({
    role,
    complete,
    texts: parts.map((part) => (part.type === 'text' ? part.text : '')),
  }))
}

/** Exactly one JSON value. */
const value = (out: string): Record<string, unknown> => JSON.parse(out) as Record<string, unknown>

describe('a message of 10 MB', () => {
  it.each([
    ['as material', ['ask', '--json', 'What is this?'], 'word '.repeat(HUGE / 5)],
    ['as material without a space', ['ask', '--json', 'What is this?'], 'x'.repeat(HUGE)],
  ])('%s is answered or refused in words, and is kept', async (_, args, input) => {
    const { code, out, err } = await desk.mai(args, input)
    const { text, error } = value(out) as { text?: string; error?: { code: string; cure?: string } }
    if (code === 0) expect(text).not.toBe('')
    else expect(error).toMatchObject({ code: expect.stringMatching(/^MAI_/) as string, cure: expect.stringMatching(/\w/) as string })
    expect(err).toBe('')
    const [asked] = await lastSession()
    expect(asked?.texts.map((text) => text.length)).toContain(input.length)
  })

  it('typed into a chat is answered or refused, and the next message too', async () => {
    const { code, out, err } = await desk.mai(['chat'], `${'y'.repeat(HUGE)}\nhello\n`)
    const messages = await lastSession()
    const asked = messages.flatMap(({ role, texts: [text = ''] }) => (role === 'user' ? [text] : []))
    expect(asked[0]?.length).toBe(HUGE)
    expect(asked.slice(1)).toEqual(['hello'])
    // The prompt may hold excerpts of the long one, so the answer is not to the letter that of "hello" alone.
    expect(messages.at(-1)).toMatchObject({ role: 'assistant', complete: true, texts: [expect.stringMatching(/^\d+: ./)] })
    expect(out).toContain(messages.at(-1)?.texts[0])
    if (code !== 0) expect(err).toMatch(/^mai: .+\n {5}\w/)
    else expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
  })
})

describe('standard input', () => {
  it('that never ends is refused, and let go', async () => {
    await desk.config('small.config.ts', { more: 'turn: { maxMessageBytes: 1_000_000 }' })
    const { child, ended } = desk.start(['ask', '--config', 'small.config.ts', '--json', 'What is this?'])
    const pour = (): void => {
      while (child.stdin?.writable && child.stdin.write('y\n'.repeat(10_000)));
    }
    child.stdin?.on('drain', pour)
    pour()
    const { code, out } = await ended
    expect(code).toBe(2)
    expect(value(out)).toMatchObject({ error: { code: 'MAI_MESSAGE_TOO_LARGE' } })
  })

  it('that is binary is refused with a cure', async () => {
    const { code, err, out } = await desk.mai(['ask', 'What is this?'], Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0]))
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toMatch(/not text/)
  })

  it('that is not quite text is used, with a word about it', async () => {
    const { code, err, out } = await desk.mai(['ask', 'Q'], Buffer.from('caf\u00e9', 'latin1'))
    expect(code).toBe(0)
    expect(out).toContain('Q')
    expect(err).toMatch(/replaced/)
    expect((await desk.mai(['ask', '--quiet', 'Q'], Buffer.from('caf\u00e9', 'latin1'))).err).toBe('')
  })

  it.skipIf(process.platform === 'win32')('that is closed is none', async () => {
    const script = `"${process.execPath}" "${BIN}" models --json <&-`
    // The server that it asks is in this process.
    const { stdout } = await promisify(execFile)('sh', ['-c', script], { cwd: desk.folder, env: { ...process.env, ...desk.env } })
    expect(JSON.parse(stdout)).toMatchObject([{ key: 'lmstudio/echo' }])
  })
})

describe('a message', () => {
  it('without a word is refused', async () => {
    for (const { code, err, out } of await desk.many([['ask', '   '], ['ask', ''], ['ask']])) {
      expect({ code, out }).toEqual({ code: 2, out: '' })
      expect(err).toMatch(/empty/)
    }
  })

  it('without a word is refused before any model is looked for', async () => {
    await desk.config('nowhere.config.ts', { baseUrl: 'ws://127.0.0.1:9' })
    const { code, err } = await desk.again(['ask', '  ', '--config', 'nowhere.config.ts'])
    expect({ code, err }).toEqual({ code: 2, err: expect.stringMatching(/empty/) })
  })

  it('of spaces in a chat is passed over', async () => {
    expect(await desk.mai(['chat'], '   \n\t\nhi\n')).toEqual({ code: 0, out: '2: hi\n', err: '' })
  })

  it('with halves of characters gives valid output', async () => {
    const { code, out } = await desk.again(['ask', '--json', EVIL])
    expect(code).toBe(0)
    expect(out).not.toMatch(/\\ud[89a-f]/i)
    expect(value(out).text).toContain('a')
  })
})

describe('escape sequences of a model', () => {
  it('are data in a pipe, and harmless in JSON', async () => {
    expect((await desk.mai(['ask', 'evil'])).out).toBe('a\u001b[2J\u009b31m\u202eb\n')
    const { out } = await desk.again(['ask', '--json', 'evil'])
    expect(value(out).text).toBe('a\u001b[2J\u009b31m\u202eb')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(out).not.toMatch(/[\u001b\u009b\u202e]/)
  })

  it('are taken out of lists', async () => {
    const shown = await desk.many([['models'], ['models', 'show', 'echo'], ['sessions'], ['status']])
    for (const { code, out } of shown) {
      expect(code).toBe(0)
      expect(out).not.toBe('')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(out).not.toMatch(/[\u001b\u009b\u202e]/)
    }
  })
})

describe('errors as JSON', () => {
  const commands: readonly (readonly string[])[] = [
    ['ask', '--json', '  '],
    ['ask', '--json', '--temperature', 'warm', 'x'],
    ['ask', '--json', '--nonsense', 'x'],
    ['models', 'show', 'eco', '--json'],
    ['models', 'estimate', 'echo', '--context', 'much', '--json'],
    ['switch', 'eco', '--json'],
    ['sessions', 'show', 'nowhere', '--json'],
    ['sessions', 'export', 'nowhere', '--json'],
    ['sessions', 'import', 'nowhere.json', '--json'],
    ['sessions', 'shwo', '--json'],
    ['status', '--json', '--watch'],
    ['statsu', '--json'],
  ]

  it('are one value on standard output, nothing else, and 2, whatever the command', async () => {
    const ran = await desk.many(commands)
    for (const [index, { code, out, err }] of ran.entries()) {
      const words = commands[index]?.join(' ')
      expect({ code, err }, words).toEqual({ code: 2, err: '' })
      const error = { code: expect.stringMatching(/^MAI_/) as string, message: expect.any(String) as string }
      expect(value(out), words).toMatchObject({ error })
    }
  })

  it('are so in a process of their own', async () => {
    const { code, out, err } = await desk.mai(['switch', 'eco', '--json'])
    expect({ code, err }).toEqual({ code: 2, err: '' })
    expect(value(out)).toMatchObject({ error: { code: 'MAI_UNKNOWN_MODEL' } })
  })

  it('come as the last line of a stream', async () => {
    const { code, out } = await desk.again(['ask', '--stream-json', '--temperature', 'warm', 'x'])
    expect(code).toBe(2)
    expect(value(out)).toMatchObject({ type: 'done', error: { code: 'MAI_USAGE' } })
  })
})
