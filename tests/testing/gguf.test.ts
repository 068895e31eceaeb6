import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LoadedLlama } from '../../src/plugins/llamacpp/driver.ts'
import { type RecitingModelOptions, writeRecitingModel } from '../../src/testing/gguf-writer.ts'

/** What the writer promises, with real llama.cpp. */

let folder: string
beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-gguf-'))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

const NEVER = new AbortController().signal
let count = 0

/** Writes a model, loads it, uses it, unloads it. */
async function withModel<T>(
  options: RecitingModelOptions,
  use: (say: (prompt: string, maxTokens?: number) => Promise<string>) => Promise<T>,
): Promise<T> {
  const { file } = await writeRecitingModel(path.join(folder, `${++count}.gguf`), options)
  const loaded = await LoadedLlama.load({ file, contextLength: 1024, signal: NEVER })
  const say = async (prompt: string, maxTokens = 500): Promise<string> => {
    let said = ''
    await loaded.generate({ prompt, sampling: { temperature: 0, maxTokens }, signal: NEVER }, { text: (text) => void (said += text) })
    return said
  }
  try {
    return await use(say)
  } finally {
    await loaded.dispose()
  }
}

const TEXT = 'The cat saw the dog, and the dog saw the cat. "Hello!" said the cat; the dog said nothing.\nThe end.'

describe('a reciting model', () => {
  it('says its text after any prompt, and then ends', async () => {
    await withModel({ text: TEXT }, async (say) => {
      for (const prompt of ['Hello', 'What is 2 + 2?', '<|im_start|>user\nTell me.<|im_end|>\n<|im_start|>assistant\n', 'zzz ∆ ∆']) {
        expect(await say(prompt)).toBe(TEXT)
      }
    })
  })

  it('goes on from any beginning of its text, also inside a word', async () => {
    await withModel({ text: TEXT }, async (say) => {
      const prompt = '<|im_start|>user\nTell me.<|im_end|>\n<|im_start|>assistant\n'
      for (let cut = 8; cut < TEXT.length; cut += 3) expect(await say(prompt + TEXT.slice(0, cut)), `cut at ${cut}`).toBe(TEXT.slice(cut))
    })
  })

  it.each([
    'Ein Bär lief über die Straße und aß Äpfel.',
    '船は小さかった。海は大きかった。',
    'Emoji 🐈 between 👩‍👩‍👧 words, and a flag 🇫🇷 at the end',
    'tabs\tand\n\nempty lines\n',
  ])('recites %j to the character', async (text) => {
    await withModel({ text }, async (say) => expect(await say('Go.')).toBe(text))
  })

  it('goes on for ever where it is told to', async () => {
    await withModel({ text: 'Once more, and on and on', loop: { from: 10 } }, async (say) => {
      const said = await say('Go.', 60)
      expect(said.startsWith('Once more, and on and on and on and on')).toBe(true)
    })
  })

  it.each([1, 2, 3])('says the same with %i layers and at any size', async (layers) => {
    for (const sizeBytes of [1e6, 4e6]) {
      await withModel({ text: TEXT, layers, sizeBytes }, async (say) => expect(await say('Go.')).toBe(TEXT))
    }
    const { sizeBytes } = await writeRecitingModel(path.join(folder, 'sized.gguf'), { text: TEXT, layers, sizeBytes: 8e6 })
    expect(Math.abs(sizeBytes - 8e6)).toBeLessThan(8e4)
  })

  it.each([
    [{ text: '' }, /empty/],
    [{ text: 'under\u2581score' }, /▁/],
    [{ text: 'a b c', loop: { from: 99 } }, /no word behind/],
  ])('cannot be written for %j', async (options, message) => {
    await expect(writeRecitingModel(path.join(folder, 'bad.gguf'), options)).rejects.toMatchObject({ code: 'MAI_TEST_MODEL', message })
  })
})
