import { existsSync } from 'node:fs'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { SamplingSettings } from '../../../src/chat/model.ts'
import { type DriverRequest, type DriverResult, LoadedLlama } from '../../../src/plugins/llamacpp/driver.ts'
import { writeRecitingModel } from '../../../src/testing/gguf-writer.ts'
import { failure, never } from './support.ts'

/** Real llama.cpp in this process. */

const TALE = 'Once upon a time a cat went to sea, and the cat came home; the sea did not. 船は小さかった 🐈 The end.'
const ENDLESS = 'Round and round it goes and'

let folder: string
const open: LoadedLlama[] = []

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-driver-'))
  await writeRecitingModel(path.join(folder, 'tale.gguf'), { text: TALE })
  await writeRecitingModel(path.join(folder, 'endless.gguf'), { text: ENDLESS, loop: { from: 5 } })
  await writeRecitingModel(path.join(folder, 'slow.gguf'), { text: TALE, sizeBytes: 60_000_000 })
})
afterEach(async () => {
  await Promise.all(open.splice(0).map((loaded) => loaded.dispose()))
})
afterAll(() => fs.rm(folder, { recursive: true, force: true }))

async function load(name: string, contextLength = 1024): Promise<LoadedLlama> {
  const loaded = await LoadedLlama.load({ file: path.join(folder, `${name}.gguf`), contextLength, threads: 1, signal: never() })
  open.push(loaded)
  return loaded
}

interface Told extends DriverResult {
  readonly text: string
  /** Tokens as the pieces count them. */
  readonly tokens: number
  readonly pieces: readonly string[]
}

async function tell(loaded: LoadedLlama, request: Partial<DriverRequest> = {}, onText: (text: string) => void = () => {}): Promise<Told> {
  const pieces: string[] = []
  let tokens = 0
  const result = await loaded.generate(
    { prompt: loaded.prompt([{ role: 'user', content: 'Hello' }]), sampling: {}, signal: never(), ...request },
    {
      text(text, count) {
        pieces.push(text)
        tokens += count
        onText(text)
      },
    },
  )
  return { ...result, text: pieces.join(''), tokens, pieces }
}

describe('a generation', () => {
  it('tells whole characters, and counts each token', async () => {
    const told = await tell(await load('tale'))
    expect(told).toMatchObject({ text: TALE, finish: 'stop' })
    expect(told.tokens).toBe(told.completionTokens)
    expect(told.pieces.join('')).not.toContain('\ufffd')
    expect(told.pieces.filter((piece) => piece.includes('🐈'))).toHaveLength(1)
  })

  it('ends at the limit of tokens', async () => {
    const loaded = await load('tale')
    for (const maxTokens of [1, 7]) {
      const told = await tell(loaded, { sampling: { maxTokens } })
      expect(told).toMatchObject({ finish: 'length', completionTokens: maxTokens })
      expect(TALE.startsWith(told.text)).toBe(true)
    }
  })

  it.each([
    [['sea'], 'Once upon a time a cat went to '],
    [[' cat came', 'home'], 'Once upon a time a cat went to sea, and the'],
    [['sea, and', 'went to sea,'], 'Once upon a time a cat '],
    [['never'], TALE],
    [['小さ'], TALE.slice(0, TALE.indexOf('小さ'))],
  ] as const)('ends at stop strings, across tokens too: %j', async (stop, text) => {
    const sampling: SamplingSettings = { stop }
    expect(await tell(await load('tale'), { sampling })).toMatchObject({ text, finish: text === TALE ? 'stop' : 'stop-string' })
  })

  it('ends when it is cancelled, and the next one is whole', async () => {
    const loaded = await load('endless')
    const stop = new AbortController()
    let seen = 0
    const told = await tell(loaded, { signal: stop.signal }, () => {
      if (++seen === 10) stop.abort()
    })
    expect(told.finish).toBe('cancelled')
    expect(told.pieces.length).toBeLessThan(15)
    expect(await tell(loaded, { signal: AbortSignal.abort() })).toMatchObject({ finish: 'cancelled', text: '' })
    expect((await tell(loaded, { sampling: { maxTokens: 6 } })).text).toMatch(/^Round and round it goes and/)
  })

  it('ends when the window is full, with every token of it told', async () => {
    const loaded = await load('endless', 256)
    const told = await tell(loaded)
    expect(told).toMatchObject({ finish: 'context-full' })
    expect(told.promptTokens + told.completionTokens).toBe(loaded.contextLength)
    expect((ENDLESS + ENDLESS.slice(5).repeat(100)).startsWith(told.text)).toBe(true)
    const full = await tell(loaded, { prompt: 'word '.repeat(600) })
    expect(full).toMatchObject({ finish: 'context-full', completionTokens: 0 })
    expect((await tell(loaded, { sampling: { maxTokens: 6 } })).text).toMatch(/^Round and round/)
  })

  it('gives the same answer whatever of earlier prompts is still in the cache', async () => {
    const loaded = await load('tale')
    const prompt = (content: string): string => loaded.prompt([{ role: 'user', content }])
    const long = 'x y z '.repeat(100)
    for (const question of ['Hello', 'Hello', `${long} one`, `${long} two`, long, 'Hello', '', TALE]) {
      expect((await tell(loaded, { prompt: prompt(question) })).text).toBe(TALE)
    }
    // Of one prompt the answer grows: each is the last one and more.
    for (let cut = 1; cut < 60; cut += 7) {
      const before = TALE.slice(0, cut)
      expect(before + (await tell(loaded, { prompt: prompt('Hello') + before })).text).toBe(TALE)
    }
  })

  it('tells how far a long prompt has been read', async () => {
    const loaded = await load('tale', 4096)
    const seen: number[] = []
    const prompt = loaded.prompt([{ role: 'user', content: 'a b '.repeat(900) }])
    const { finish } = await loaded.generate(
      { prompt, sampling: {}, signal: never() },
      { text: () => {}, prefill: (fraction) => seen.push(fraction) },
    )
    expect(finish).toBe('stop')
    expect(seen.length).toBeGreaterThan(2)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(seen.every((fraction) => fraction > 0 && fraction <= 1)).toBe(true)
  })

  it('waits for the one before it', async () => {
    const loaded = await load('tale')
    const order: string[] = []
    const both = await Promise.all([tell(loaded, {}, () => order.push('a')), tell(loaded, {}, () => order.push('b'))])
    expect(both.map(({ text }) => text)).toEqual([TALE, TALE])
    expect(order.join('')).toMatch(/^a+b+$/)
  })

  it('is not disposed of under way', async () => {
    const loaded = await load('tale')
    const running = tell(loaded)
    const disposed = loaded.dispose()
    expect((await running).text).toBe(TALE)
    await disposed
    expect(await failure(tell(loaded))).toMatchObject({ code: 'MAI_MODEL_UNLOADED' })
  })

  it('follows a JSON Schema, or says that it cannot', async () => {
    const text = '{"name": "cat", "age": 7}'
    await writeRecitingModel(path.join(folder, 'json.gguf'), { text })
    const loaded = await load('json')
    const responseSchema = { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } } }
    expect(JSON.parse((await tell(loaded, { responseSchema })).text)).toEqual({ name: 'cat', age: 7 })
    expect(await failure(tell(loaded, { responseSchema: { oneOf: 3 } }))).toMatchObject({ code: 'MAI_REQUEST_INVALID' })
    expect((await tell(loaded)).text).toBe(text)
  })
})

describe('a load', () => {
  it('that is aborted leaves nothing and rejects with the reason', async () => {
    const file = path.join(folder, 'slow.gguf')
    const reason = new Error('changed my mind')
    expect(await failure(LoadedLlama.load({ file, threads: 1, signal: AbortSignal.abort(reason) }))).toBe(reason)
    const stop = new AbortController()
    const loading = LoadedLlama.load({ file, threads: 1, signal: stop.signal, onProgress: () => stop.abort(reason) })
    setTimeout(() => stop.abort(reason), 15)
    expect(await failure(loading)).toBe(reason)
  })

  it('of a broken file is one clear error', async () => {
    const file = path.join(folder, 'broken.gguf')
    await fs.copyFile(path.join(folder, 'tale.gguf'), file)
    await fs.truncate(file, (await fs.stat(file)).size - 5000)
    expect(await failure(LoadedLlama.load({ file, signal: never() }))).toMatchObject({ code: 'MAI_MODEL_FILE' })
    // A name of a tensor that the engine looks for.
    const bytes = await fs.readFile(path.join(folder, 'tale.gguf'))
    bytes.write('X', bytes.indexOf('ffn_gate'))
    await fs.writeFile(file, bytes)
    expect(await failure(LoadedLlama.load({ file, signal: never() }))).toMatchObject({ code: 'MAI_LOAD_FAILED' })
  })

  it('with a window beyond all memory is refused for memory', async () => {
    const file = path.join(folder, 'vast.gguf')
    await writeRecitingModel(file, { text: TALE, contextLength: 2_000_000_000, layers: 400 })
    const { code } = await failure(LoadedLlama.load({ file, contextLength: 2_000_000_000, threads: 1, signal: never() }))
    expect(code).toBe('MAI_LOAD_REFUSED')
    expect((await tell(await load('tale'))).text).toBe(TALE)
  })
})

const SMOLLM = process.env.MAI_TEST_MODEL ?? ''
describe.skipIf(!existsSync(SMOLLM))('a trained model, named by MAI_TEST_MODEL', () => {
  it('answers in its own template, and in JSON where it is asked to', { timeout: 120_000 }, async () => {
    const loaded = await LoadedLlama.load({ file: SMOLLM, contextLength: 1024, signal: never() })
    open.push(loaded)
    const prompt = loaded.prompt([{ role: 'user', content: 'What is 2+2?' }])
    expect((await tell(loaded, { prompt, sampling: { temperature: 0, maxTokens: 40 } })).text).toContain('4')
    const responseSchema = { type: 'object', properties: { sum: { type: 'integer' } } }
    const { text } = await tell(loaded, { prompt, responseSchema, sampling: { temperature: 0, maxTokens: 80 } })
    expect(JSON.parse(text)).toEqual({ sum: expect.any(Number) })
  })
})
