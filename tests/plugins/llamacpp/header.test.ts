import { execFileSync } from 'node:child_process'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GgufHeader, readGgufHeader } from '../../../src/chat/gguf/header.ts'
import { isMaiError } from '../../../src/core/errors.ts'
import { describeModel, engineProblem } from '../../../src/plugins/llamacpp/describe.ts'
import { type GgufTensor, type GgufValue, writeGguf } from '../../../src/testing/gguf-file.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import { failure, temporaryFolder } from './support.ts'

/** The smallest file that is whole, and a real small model. */
let folder: string
let small: Buffer
let model: Buffer

const TENSOR: GgufTensor = { name: 'a.weight', shape: [4, 2], type: 'f16', parts: [{ at: 0, data: Buffer.alloc(16, 1) }] }
const METADATA: Record<string, GgufValue> = {
  'general.architecture': { string: 'llama' },
  'general.name': { string: 'Tiny 船' },
  'llama.context_length': { u32: 512 },
  'tokenizer.ggml.model': { string: 'llama' },
  'tokenizer.ggml.tokens': { strings: ['<unk>', '<0x0A>', 'a', '', '<0xFF>'] },
  'tokenizer.ggml.token_type': { i32s: [2, 6, 1, 1, 6] },
}

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-gguf-'))
  const file = path.join(folder, 'small.gguf')
  await writeGguf(file, METADATA, [TENSOR])
  small = await fs.readFile(file)
  await writeRecitingModel(file, { text: 'One two three.' })
  model = await fs.readFile(file)
})

afterAll(() => fs.rm(folder, { recursive: true, force: true }))

let written = 0
/** Reads bytes as a file. @returns the header, or the error's code when it is one clear error */
async function reading(bytes: Uint8Array): Promise<GgufHeader | string> {
  const file = path.join(folder, `${written++}.gguf`)
  await fs.writeFile(file, bytes)
  try {
    return await readGgufHeader(file)
  } catch (error) {
    if (!isMaiError(error) || error.cure === undefined || !error.message.includes(file)) throw error
    return error.code
  } finally {
    await fs.rm(file)
  }
}

/** What must be true of any header that was taken. */
function checkFacts(header: GgufHeader): void {
  const facts = describeModel(header)
  expect(typeof facts.architecture).toBe('string')
  expect(facts.parameters).toBeGreaterThanOrEqual(0)
  expect(facts.maxContextLength).toBeGreaterThan(0)
  engineProblem(header)
}

describe('the header of a file', () => {
  it('tells keys, tensors, byte tokens and sizes', async () => {
    const header = await reading(small)
    expect(header).toMatchObject({ version: 3, byteTokens: 2, fileBytes: small.length })
    expect((header as GgufHeader).tensors).toEqual([{ name: 'a.weight', shape: [4, 2], type: 1, offset: 0 }])
    expect(Object.fromEntries((header as GgufHeader).metadata)).toEqual({
      'general.architecture': 'llama',
      'general.name': 'Tiny 船',
      'llama.context_length': 512,
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': { length: 5, byteTokens: 2 },
      'tokenizer.ggml.token_type': [2, 6, 1, 1, 6],
    })
  })

  it('is read alike whatever lies across the borders of its pieces', async () => {
    const strings = Array.from({ length: 90_000 }, (_, n) => (n % 300 === 0 ? '<0x0A>' : 'x'.repeat(n % 9)))
    const file = path.join(await temporaryFolder(), 'a.gguf')
    await writeGguf(file, { 'tokenizer.ggml.tokens': { strings }, after: { string: 'y'.repeat(600_000) }, last: { u32: 7 } }, [TENSOR])
    const { metadata, byteTokens } = await readGgufHeader(file)
    expect(byteTokens).toBe(300)
    expect(metadata.get('tokenizer.ggml.tokens')).toEqual({ length: 90_000, byteTokens: 300 })
    expect(metadata.get('after')).toBe('y'.repeat(600_000))
    expect(metadata.get('last')).toBe(7)
  })

  it('refuses a file that was cut off, wherever it was cut', async () => {
    for (let length = 0; length < small.length - 16; length++) {
      // The padding behind the last tensor is nobody's loss.
      expect(await reading(small.subarray(0, length)), `cut at ${length} of ${small.length}`).toBe('MAI_MODEL_FILE')
    }
  })

  it('refuses a model whose weights were cut off', async () => {
    expect(await reading(model)).toBeTypeOf('object')
    for (const share of [0.99, 0.9, 0.5, 0.1])
      expect(await reading(model.subarray(0, Math.floor(model.length * share)))).toBe('MAI_MODEL_FILE')
  })

  it('survives any bytes', async () => {
    const bytes = fc.uint8Array({ maxLength: 400 })
    const begun = bytes.map((rest) => Buffer.concat([small.subarray(0, 24), rest]))
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes, begun), async (data) => {
        const header = await reading(data)
        if (typeof header === 'string') expect(header).toBe('MAI_MODEL_FILE')
        else checkFacts(header)
      }),
      { numRuns: 400 },
    )
  })

  it('survives damaged bytes of a real one', async () => {
    const change = fc.tuple(fc.nat(small.length - 1), fc.nat(255))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const damaged = Buffer.from(small)
        for (const [at, value] of changes) damaged[at] = value
        const header = await reading(damaged)
        if (typeof header === 'string') expect(header).toBe('MAI_MODEL_FILE')
        else checkFacts(header)
      }),
      { numRuns: 600 },
    )
  })

  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return bytes
  }
  const u64 = (value: bigint): Buffer => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    return bytes
  }
  const text = (value: string): Buffer => Buffer.concat([u64(BigInt(Buffer.byteLength(value))), Buffer.from(value)])
  const head = (tensors: bigint, keys: bigint): Buffer => Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors), u64(keys)])
  const HUGE = [2n ** 20n * 3n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]

  it.each(HUGE)('believes no count, such as %d', async (count) => {
    const files = [
      head(count, 0n),
      head(0n, count),
      Buffer.concat([head(0n, 1n), u64(count)]),
      Buffer.concat([head(0n, 1n), text('a'), u32(8), u64(count)]),
      ...[0, 4, 8, 9, 12].map((type) => Buffer.concat([head(0n, 1n), text('a'), u32(9), u32(type), u64(count)])),
      Buffer.concat([head(0n, 1n), text('a'), u32(9), u32(8), u64(1n), u64(count), Buffer.alloc(40)]),
      Buffer.concat([head(1n, 0n), u64(count)]),
      Buffer.concat([head(1n, 0n), text('t'), u32(Number(count & 0xffff_ffffn))]),
      Buffer.concat([head(1n, 0n), text('t'), u32(2), u64(count), u64(count), u32(0), u64(0n)]),
      Buffer.concat([head(1n, 0n), text('t'), u32(1), u64(1n), u32(0), u64(count)]),
    ]
    const before = process.memoryUsage()
    for (const file of files) expect(await reading(file)).toBe('MAI_MODEL_FILE')
    const after = process.memoryUsage()
    expect(after.external + after.heapUsed - before.external - before.heapUsed).toBeLessThan(64 * 2 ** 20)
  })

  it('keeps no more of many large values than of a few', async () => {
    const file = path.join(await temporaryFolder(), 'greedy.gguf')
    const handle = await fs.open(file, 'w')
    // Each is allowed alone: 65,536 texts of a megabyte, in a file that takes no room on the disk.
    await handle.write(head(0n, 65_536n), 0, 24, 0)
    const record = Buffer.concat([text('k'), u32(8), u64(2n ** 20n)])
    for (let n = 0; n < 64; n++) await handle.write(record, 0, record.length, 24 + n * (record.length + 2 ** 20))
    await handle.truncate(70 * 2 ** 20)
    await handle.close()
    expect(await failure(readGgufHeader(file))).toMatchObject({ code: 'MAI_MODEL_FILE', message: expect.stringContaining('32 MiB') })
  })

  it('does not walk through a list of texts without end', async () => {
    const file = path.join(await temporaryFolder(), 'endless.gguf')
    const start = Buffer.concat([head(0n, 1n), text('k'), u32(9), u32(8), u64(4_000_000_000n)])
    await fs.writeFile(file, start)
    await fs.truncate(file, 2 ** 36)
    expect(await failure(readGgufHeader(file))).toMatchObject({ code: 'MAI_MODEL_FILE' })
  })

  it('reads the header and not the weights', async () => {
    const file = path.join(await temporaryFolder(), 'large.gguf')
    await writeRecitingModel(file, { text: 'One two three.', sizeBytes: 400_000_000 })
    const { headerBytes, fileBytes } = await readGgufHeader(file)
    expect(fileBytes).toBeGreaterThan(390_000_000)
    expect(headerBytes).toBeLessThan(100_000)
  })
})

describe('what is no file', () => {
  it('such as a folder', async () => {
    expect(await failure(readGgufHeader(folder))).toMatchObject({ code: 'MAI_MODEL_FILE', message: expect.stringContaining('a folder') })
  })

  it('such as an empty one', async () => {
    expect(await reading(Buffer.alloc(0))).toBe('MAI_MODEL_FILE')
  })

  it('such as one of another kind', async () => {
    expect(await reading(Buffer.from('PK\u0003\u0004 and something more'))).toBe('MAI_MODEL_FILE')
    const version = Buffer.from(small)
    version.writeUInt32LE(1, 4)
    expect(await reading(version)).toBe('MAI_MODEL_FILE')
  })

  it.skipIf(process.platform === 'win32')('such as a named pipe that nobody writes to', async () => {
    const pipe = path.join(await temporaryFolder(), 'pipe.gguf')
    execFileSync('mkfifo', [pipe])
    expect(await failure(readGgufHeader(pipe))).toMatchObject({ code: 'MAI_MODEL_FILE', message: expect.stringContaining('a named pipe') })
  })

  it('such as one that is not there', async () => {
    expect(await failure(readGgufHeader(path.join(folder, 'none.gguf')))).toMatchObject({ code: 'MAI_MODEL_FILE_UNREADABLE' })
  })

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')('such as one that may not be read', async () => {
    const file = path.join(await temporaryFolder(), 'secret.gguf')
    await fs.writeFile(file, small, { mode: 0o000 })
    expect(await failure(readGgufHeader(file))).toMatchObject({ code: 'MAI_MODEL_FILE_UNREADABLE' })
  })
})

describe('what a header says about a model', () => {
  const facts = async (metadata: Record<string, GgufValue>): Promise<ReturnType<typeof describeModel>> => {
    const file = path.join(await temporaryFolder(), 'a.gguf')
    await writeGguf(file, metadata, [TENSOR])
    return describeModel(await readGgufHeader(file))
  }

  it('is architecture, name, quantisation, window and size', async () => {
    expect(await facts({ ...METADATA, 'general.file_type': { u32: 15 } })).toEqual({
      architecture: 'llama',
      name: 'Tiny 船',
      parameters: 8,
      elements: 8,
      quantisation: { name: 'Q4_K_M', bits: 4 },
      maxContextLength: 512,
      hasTemplate: false,
      tools: false,
      reasoning: false,
      split: undefined,
      answers: true,
    })
  })

  it('is found in its tensors where it is not told, or told wrongly', async () => {
    const untold = await facts({ 'general.architecture': { string: 'llama' }, 'llama.context_length': { f32: -1 } })
    expect(untold).toMatchObject({ quantisation: { name: 'F16', bits: 16 }, maxContextLength: 2048, parameters: 8 })
  })

  it('shows in its template', async () => {
    const template = (string: string): Record<string, GgufValue> => ({ 'tokenizer.chat_template': { string } })
    expect(await facts(template('{% if tools %}…{% endif %}'))).toMatchObject({ tools: true, reasoning: false, hasTemplate: true })
    expect(await facts(template('{% if enable_thinking %}…{% endif %}'))).toMatchObject({ tools: false, reasoning: true })
  })

  it.each(['bert', 'clip', 'nomic-bert-moe'])('tells %s from what answers', async (architecture) => {
    expect(await facts({ 'general.architecture': { string: architecture } })).toMatchObject({ answers: false })
  })

  it('warns of what would crash the engine', async () => {
    const problem = async (changes: Record<string, GgufValue>, without = ''): Promise<string | undefined> => {
      const needed = ['feed_forward_length', 'attention.head_count', 'block_count', 'embedding_length']
      const all = { ...METADATA, ...Object.fromEntries(needed.map((key) => [`llama.${key}`, { u32: 1 }])), ...changes }
      const file = path.join(await temporaryFolder(), 'a.gguf')
      await writeGguf(file, Object.fromEntries(Object.entries(all).filter(([key]) => key !== without)), [TENSOR])
      return engineProblem(await readGgufHeader(file))
    }
    expect(await problem({})).toBeUndefined()
    expect(await problem({}, 'general.architecture')).toContain('architecture')
    expect(await problem({}, 'llama.attention.head_count')).toContain('attention.head_count')
    expect(await problem({ 'llama.attention.head_count': { u32: 0 } })).toContain('attention.head_count is 0')
    expect(await problem({ 'llama.attention.value_length': { u32: 0 } })).toContain('attention.value_length is 0')
    expect(await problem({ 'llama.block_count': { u32: 513 } })).toContain('513 layers')
    expect(await problem({ 'general.architecture': { string: 'mamba' }, 'mamba.attention.head_count': { u32: 0 } })).toBeUndefined()
    expect(await problem({ 'tokenizer.ggml.tokens': { strings: ['a', 'b'] } })).toContain('byte tokens')
  })
})
