import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { writeRecitingModel } from '../../src/testing/gguf-writer.ts'
import { llamaEngine } from '../../src/testing/llama-engine.ts'
import { type Desk, openDesk } from '../cli/support.ts'

/** The program as people run it, the real SDK, the stand-in server, and real llama.cpp behind it. */

const TALE =
  'Once upon a time there was a cat who went to sea in a basket. She met a whale, a storm and a very small island, ' +
  'and when she came home nobody believed a word of it, although her coat was full of salt. 船は小さかった 🐈 The end.'

let folder: string
let desk: Desk

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-real-'))
  const write = (name: string, sizeBytes?: number): Promise<{ file: string }> =>
    writeRecitingModel(path.join(folder, `${name}.gguf`), { text: TALE, ...(sizeBytes === undefined ? {} : { sizeBytes }) })
  const [small, large] = await Promise.all([write('teller-small'), write('teller-large', 24_000_000)])
  desk = await openDesk(await Promise.all([llamaEngine({ file: small.file }), llamaEngine({ file: large.file })]))
})

afterAll(async () => {
  await desk.close()
  await fs.rm(folder, { recursive: true, force: true })
})

beforeEach(() => desk.server.faults.clear())

const json = async (args: readonly string[]): Promise<unknown> => JSON.parse((await desk.again([...args, '--json'])).out)

interface Told {
  readonly text: string
  readonly model: string
  readonly sessionId: string
  readonly attempts: readonly { readonly outcome: string }[]
  readonly switches: readonly { readonly from: string; readonly to: string; readonly atChar: number }[]
}

describe('with real llama.cpp behind the server', () => {
  it('lists its models', async () => {
    const keys = ((await json(['models'])) as { key: string }[]).map(({ key }) => key)
    expect(keys.sort()).toEqual(['lmstudio/teller-large', 'lmstudio/teller-small'])
  })

  it('streams real tokens', async () => {
    desk.server.faults.add({ kind: 'slow-answer', everyMs: 5 })
    const times: number[] = []
    const { child, ended } = desk.start(['ask', 'Once upon a time'])
    child.stdin?.end()
    child.stdout?.on('data', () => times.push(performance.now()))
    expect(await ended).toEqual({ code: 0, out: `${TALE}\n`, err: '' })
    expect(times.length).toBeGreaterThan(5)
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(50)
  })

  it('says which model answers, why, and what the machine has', async () => {
    const status = await json(['status'])
    expect(status).toMatchObject({ model: expect.stringMatching(/^lmstudio\/teller/), reason: expect.stringMatching(/\w/) })
    expect(status).toMatchObject({ resources: { memory: { totalBytes: expect.any(Number), availableBytes: expect.any(Number) } } })
  })

  it('moves a running chat to the model that is pinned meanwhile', async () => {
    await desk.again(['switch', 'teller-large'])
    const chat = desk.start(['chat', '--verbose'])
    chat.child.stdin?.write('first\n')
    await chat.saw('The end.\n')
    expect((await desk.again(['switch', 'teller-small'])).out).toContain('lmstudio/teller-small')
    chat.child.stdin?.write('/model\nsecond\n/model\n')
    chat.child.stdin?.end()
    const { out, code } = await chat.ended
    expect(code).toBe(0)
    expect(out.split(TALE)).toHaveLength(3)
    expect(out).toMatch(/lmstudio\/teller-large[\s\S]*lmstudio\/teller-small/)
    await desk.again(['switch', '--auto'])
  })

  it('stops an answer with Ctrl-C and keeps the session', async () => {
    desk.server.faults.add({ kind: 'slow-answer', everyMs: 60 })
    const asked = desk.start(['ask', 'tell me'])
    asked.child.stdin?.end()
    await asked.saw('Once upon')
    asked.child.kill('SIGINT')
    const { code, out } = await asked.ended
    expect(code).toBe(130)
    expect(TALE.startsWith(out.trimEnd())).toBe(true)
    desk.server.faults.clear()
    const { sessionId } = (await json(['ask', '--continue', 'go on'])) as Told
    const shown = (await desk.again(['sessions', 'show', sessionId])).out
    expect(shown).toContain('tell me')
    expect(shown).toContain(out.trimEnd())
    expect(shown).toContain('go on')
  })

  it('loses no message of the person by kill −9 in the middle of an answer', async () => {
    desk.server.faults.add({ kind: 'slow-answer', everyMs: 60 })
    const asked = desk.start(['ask', 'remember the number 4711'])
    asked.child.stdin?.end()
    await asked.saw('Once upon')
    asked.child.kill('SIGKILL')
    await asked.ended
    desk.server.faults.clear()
    const { sessionId, text } = (await json(['ask', '--continue', 'and now?'])) as Told
    expect(text).toBe(TALE)
    expect((await desk.again(['sessions', 'show', sessionId])).out).toContain('remember the number 4711')
  })

  it.each([1, 7, 23, 41])(
    'joins an answer whose line was dropped after %i fragments, without losing or repeating a character',
    async (afterFragments) => {
      desk.server.faults.add({ kind: 'drop-socket', afterFragments })
      const { text, attempts } = (await json(['ask', 'tell me'])) as Told
      expect(text).toBe(TALE)
      expect(attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'completed'])
    },
  )

  it('goes on with the other model, in the middle of the answer, when the first crashes', async () => {
    desk.server.faults.add({ kind: 'crash', afterFragments: 20 })
    const { text, model, switches } = (await json(['ask', 'tell me'])) as Told
    expect(text).toBe(TALE)
    expect(switches).toMatchObject([{ to: model }])
    expect(switches[0]?.from).not.toBe(model)
    expect(switches[0]?.atChar).toBeGreaterThan(0)
  })
})
