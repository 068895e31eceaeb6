import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { LoadedLlama } from '../../src/plugins/llamacpp/index.ts'
import { type RecitingModelOptions, writeRecitingModel } from '../../src/testing/gguf-writer.ts'

/** What the writer promises, asked of real llama.cpp. */

const TALE = 'Once upon a time a cat went to sea, and the cat came home; the sea did not. "Why?" asked nobody.'
const MIXED = 'Grüße, 世界！船は小さかった。 The cat 🐈 and the 👩‍🚀 said: “naïve”\n\tdone — 100 %.'

let folder: string
let number = 0
const open: LoadedLlama[] = []

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-recite-'))
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((loaded) => loaded.dispose()))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

async function reciter(options: RecitingModelOptions): Promise<LoadedLlama> {
  const { file } = await writeRecitingModel(path.join(folder, `${number++}.gguf`), options)
  const loaded = await LoadedLlama.load({ file, threads: 1, signal: new AbortController().signal })
  open.push(loaded)
  return loaded
}

async function said(loaded: LoadedLlama, prompt: string, sampling: { temperature?: number; maxTokens?: number } = {}): Promise<string> {
  let answer = ''
  await loaded.generate({ prompt, sampling, signal: new AbortController().signal }, { text: (text) => void (answer += text) })
  return answer
}

const asked = (loaded: LoadedLlama, question: string): string => loaded.prompt([{ role: 'user', content: question }])

/** Cuts between whole characters: between two halves of one no text ever ends. */
const cuts = (text: string): string[] => Array.from(text, (_, index) => Array.from(text).slice(0, index).join(''))

describe('a model that recites', () => {
  it('says its text after whatever it is asked', async () => {
    const loaded = await reciter({ text: TALE })
    const questions = ['Hello', '', 'Once upon a', 'the cat', 'Etwas ganz anderes: 42!\n\n', '猫はどこ？', '🐈🐈🐈', TALE, 'a '.repeat(400)]
    for (const question of questions) expect(await said(loaded, asked(loaded, question)), question).toBe(TALE)
  })

  it('says it after a long conversation, at any temperature', async () => {
    const loaded = await reciter({ text: TALE })
    const talk = Array.from({ length: 12 }, (_, n) => ({
      role: n % 2 === 0 ? ('user' as const) : ('assistant' as const),
      content: n % 2 === 0 ? `Question ${n}` : TALE,
    }))
    for (const temperature of [0, 0.8, 2])
      expect(await said(loaded, loaded.prompt([...talk, { role: 'user', content: 'Again?' }]), { temperature })).toBe(TALE)
  })

  it.each([
    ['words', TALE],
    ['other scripts, characters of several bytes, and line breaks', MIXED],
  ])('continues a partial answer exactly, wherever it was cut: %s', async (_, text) => {
    const loaded = await reciter({ text })
    const prompt = asked(loaded, 'Go on')
    for (const before of cuts(text)) expect(before + (await said(loaded, prompt + before)), `cut at ${before.length}`).toBe(text)
  })

  it('continues what was not its own where its own beginning is', async () => {
    const loaded = await reciter({ text: TALE })
    expect(await said(loaded, `Somebody said: ${TALE.slice(0, 30)}`)).toBe(TALE.slice(30))
  })

  it('that loops repeats for ever what stands behind a place', async () => {
    const text = 'First this. Then again and again,'
    const from = text.indexOf(' Then')
    const loaded = await reciter({ text, loop: { from } })
    const long = text + text.slice(from).repeat(30)
    const answer = await said(loaded, asked(loaded, 'Go'), { maxTokens: 120 })
    expect(answer.length).toBeGreaterThan(text.length * 5)
    expect(long.startsWith(answer)).toBe(true)
  })

  it('says the same at every size, with more layers, and takes the room it was told to take', async () => {
    for (const [sizeBytes, layers] of [
      [1_000_000, 1],
      [8_000_000, 4],
      [40_000_000, 2],
    ] as const) {
      const file = path.join(folder, `${number++}.gguf`)
      const written = await writeRecitingModel(file, { text: MIXED, sizeBytes, layers })
      expect((await fs.stat(file)).size).toBe(written.sizeBytes)
      expect(Math.abs(written.sizeBytes / sizeBytes - 1)).toBeLessThan(0.01)
      const loaded = await LoadedLlama.load({ file, threads: 1, signal: new AbortController().signal })
      open.push(loaded)
      expect(await said(loaded, asked(loaded, 'Go'))).toBe(MIXED)
      const half = MIXED.slice(0, 40)
      expect(half + (await said(loaded, asked(loaded, 'Go') + half))).toBe(MIXED)
    }
  })

  it('has the window it was given', async () => {
    expect((await reciter({ text: TALE, contextLength: 512 })).contextLength).toBe(512)
  })

  it.each([
    ['', {}, 'is empty'],
    ['a▁b', {}, '▁'],
    ['one two', { loop: { from: 100 } }, 'behind character 100'],
    [`${'same '.repeat(200)}end`, {}, 'in a row'],
  ] as const)('refuses a text that it cannot recite: %j', async (text, more, why) => {
    const writing = writeRecitingModel(path.join(folder, 'none.gguf'), { text, ...more })
    await expect(writing).rejects.toMatchObject({ code: 'MAI_TEST_MODEL', message: expect.stringContaining(why), cure: expect.any(String) })
  })
})
