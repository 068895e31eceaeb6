import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeModel, engineProblem } from '../../../src/plugins/llamacpp/describe.ts'
import { readGgufHeader } from '../../../src/plugins/llamacpp/gguf-header.ts'
import { type GgufValue, writeGguf } from '../../../src/testing/gguf-file.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'

let folder: string
let file: string
let whole: Buffer
let headerBytes: number

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-header-'))
  file = path.join(folder, 'model.gguf')
  await writeRecitingModel(file, { text: 'A few words to say.', name: 'Sayer', contextLength: 2048 })
  whole = await fs.readFile(file)
  headerBytes = (await readGgufHeader(file)).headerBytes
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

async function written(data: Uint8Array): Promise<string> {
  const place = path.join(folder, 'tried.gguf')
  await fs.writeFile(place, data)
  return place
}

async function made(metadata: Record<string, GgufValue>): Promise<string> {
  const place = path.join(folder, 'made.gguf')
  await writeGguf(place, metadata, [])
  return place
}

const LLAMA: Record<string, GgufValue> = {
  'general.architecture': { string: 'llama' },
  'llama.context_length': { u32: 4096 },
  'llama.embedding_length': { u32: 64 },
  'llama.block_count': { u32: 2 },
  'llama.feed_forward_length': { u32: 128 },
  'llama.attention.head_count': { u32: 4 },
  'tokenizer.ggml.model': { string: 'llama' },
  'tokenizer.ggml.tokens': { strings: ['<unk>', '<0x00>', '<0x01>', 'hello', 'x'] },
}

describe('a header', () => {
  it('says what the model is', async () => {
    const header = await readGgufHeader(file)
    expect(header.version).toBe(3)
    expect(header.byteTokens).toBe(256)
    expect(header.fileBytes).toBe(whole.length)
    expect(describeModel(header)).toMatchObject({
      architecture: 'llama',
      name: 'Sayer',
      maxContextLength: 2048,
      hasTemplate: true,
      split: undefined,
      answers: true,
      quantisation: { bits: 16 },
    })
    expect(describeModel(header).parameters).toBeGreaterThan(1000)
    expect(engineProblem(header)).toBeUndefined()
  })

  it.each([
    ['names no architecture', (all: Record<string, GgufValue>) => delete all['general.architecture']],
    ['has no llama.feed_forward_length', (all: Record<string, GgufValue>) => delete all['llama.feed_forward_length']],
    ['has no llama.attention.head_count', (all: Record<string, GgufValue>) => delete all['llama.attention.head_count']],
    [
      'vocabulary has no byte tokens',
      (all: Record<string, GgufValue>) => {
        all['tokenizer.ggml.tokens'] = { strings: ['a', 'b'] }
      },
    ],
  ])('of a file that would abort the engine is told apart: it %s', async (problem, change) => {
    const all = { ...LLAMA }
    change(all)
    expect(engineProblem(await readGgufHeader(await made(all)))).toContain(problem)
    expect(engineProblem(await readGgufHeader(await made(LLAMA)))).toBeUndefined()
  })

  it('keeps long arrays out of memory, and counts byte tokens at the very end', async () => {
    const strings = [...Array.from({ length: 150_000 }, (_, index) => `token ${index}`), '<0x0A>', 'x', '']
    const floats = Array.from({ length: 150_003 }, () => 0)
    const header = await readGgufHeader(
      await made({ ...LLAMA, 'tokenizer.ggml.tokens': { strings }, 'tokenizer.ggml.scores': { f32s: floats }, last: { string: 'end' } }),
    )
    expect(header.metadata.get('tokenizer.ggml.tokens')).toEqual({ length: 150_003, byteTokens: 1 })
    expect(header.metadata.get('tokenizer.ggml.scores')).toEqual({ length: 150_003, byteTokens: 0 })
    expect(header.metadata.get('last')).toBe('end')
  })
})

describe('what is no whole GGUF file is one clear error', () => {
  const refused = { code: expect.stringMatching(/^MAI_MODEL_FILE/), cure: expect.any(String) }

  it.each([
    ['an empty file', Buffer.alloc(0)],
    ['a text', Buffer.from('<html>Please log in</html>')],
    ['another magic', Buffer.concat([Buffer.from('GGML'), Buffer.alloc(64)])],
    ['a version of the future', Buffer.from('GGUF\u0063\0\0\0', 'latin1')],
  ])('%s', async (_, data) => {
    await expect(readGgufHeader(await written(data))).rejects.toMatchObject(refused)
  })

  it('a folder, a device, a named pipe that nobody writes to, and what is not there', async () => {
    await expect(readGgufHeader(folder)).rejects.toMatchObject(refused)
    await expect(readGgufHeader(path.join(folder, 'nowhere.gguf'))).rejects.toMatchObject({ code: 'MAI_MODEL_FILE_UNREADABLE' })
    if (process.platform === 'win32') return
    await expect(readGgufHeader('/dev/null')).rejects.toMatchObject(refused)
    const pipe = path.join(folder, 'pipe.gguf')
    execFileSync('mkfifo', [pipe])
    await expect(readGgufHeader(pipe)).rejects.toMatchObject(refused)
  })

  it.skipIf(process.getuid?.() === 0)('a file that may not be read', async () => {
    const secret = path.join(folder, 'secret.gguf')
    await fs.writeFile(secret, whole, { mode: 0 })
    await expect(readGgufHeader(secret)).rejects.toMatchObject({ code: 'MAI_MODEL_FILE_UNREADABLE' })
  })

  it('wherever it is cut off inside its header', async () => {
    for (let length = 0; length < headerBytes; length += Math.max(1, Math.floor(headerBytes / 150))) {
      await expect(readGgufHeader(await written(whole.subarray(0, length))), `cut at ${length}`).rejects.toMatchObject(refused)
    }
  })

  it('with counts that promise more than there is, without making room for it', async () => {
    for (const at of [8, 16]) {
      for (const count of [2n ** 32n, 2n ** 62n, 2n ** 64n - 1n]) {
        const data = Buffer.from(whole)
        data.writeBigUInt64LE(count, at)
        await expect(readGgufHeader(await written(data))).rejects.toMatchObject(refused)
      }
    }
  })

  it('whatever bytes it is made of, and in bounded memory', async () => {
    const before = process.memoryUsage().rss
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(headerBytes - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), async (changes) => {
        const data = Buffer.from(whole)
        for (const [at, value] of changes) data[at] = value
        const header = await readGgufHeader(await written(data)).catch((error: { code: string }) => {
          expect(error.code).toMatch(/^MAI_MODEL_FILE/)
        })
        // What still reads can still be described.
        if (header) describeModel(header)
      }),
      { numRuns: 300 },
    )
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (bytes) => {
        const data = Buffer.concat([Buffer.from('GGUF\u0003\0\0\0', 'latin1'), bytes])
        await readGgufHeader(await written(data)).catch((error: { code: string }) => expect(error.code).toMatch(/^MAI_MODEL_FILE/))
      }),
      { numRuns: 300 },
    )
    expect(process.memoryUsage().rss - before).toBeLessThan(300e6)
  })
})
