import fs from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GgufShape, writeShape } from '../../src/testing/gguf-shapes.ts'
import { type Desk, openDesk } from './support.ts'

const SHAPE: GgufShape = {
  architecture: 'qwen3',
  layers: 36,
  embedding: 4096,
  heads: 32,
  kvHeads: 8,
  headLength: 128,
  feedForward: 12_288,
  vocabulary: 151_936,
  trainedContext: 40_960,
}

let desk: Desk
beforeAll(async () => {
  desk = await openDesk([])
  await writeShape(path.join(desk.folder, 'header.gguf'), SHAPE)
})
afterAll(() => desk.close())

describe('mai models estimate FILE', () => {
  it('reckons from a header alone, as one JSON value, with nothing running and nothing written', async () => {
    const { code, out, err } = await desk.mai(['models', 'estimate', './header.gguf', '--context', '32768', '--json'])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const { kvBytes, computeBytes, totalBytes, weightsBytes, ...rest } = JSON.parse(out)
    // Recorded from llama.cpp for this shape.
    expect(kvBytes + computeBytes).toBe(5_159_782_400)
    expect(totalBytes).toBe(weightsBytes + kvBytes + computeBytes)
    expect(rest).toEqual({ source: 'header', confidence: 0.95 })
    await expect(fs.stat(path.join(desk.folder, 'home'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('takes how the model is to be held', async () => {
    const total = async (...options: string[]): Promise<number> =>
      JSON.parse((await desk.again(['models', 'estimate', 'header.gguf', '--context', '8192', ...options, '--json'])).out).totalBytes
    const plain = await total()
    expect(await total('--kv-type', 'q4_0')).toBeLessThan(await total('--kv-type', 'q8_0'))
    expect(await total('--kv-type', 'q8_0')).toBeLessThan(plain)
    expect(await total('--no-flash-attention')).toBeGreaterThan(plain)
    expect(await total('--gpu-layers', '20')).toBeGreaterThan(plain)
  })

  it('reckons with all files of a split model, whichever is named', async () => {
    const read = async (file: string): Promise<{ readonly code: number | null; readonly value: Record<string, unknown> }> => {
      const { code, out } = await desk.mai(['models', 'estimate', file, '--json'])
      return { code, value: JSON.parse(out) }
    }
    await writeShape(path.join(desk.folder, 'split'), SHAPE, { parts: 3 })
    const whole = await read('header.gguf')
    expect(await read('split-00001-of-00003.gguf')).toEqual(whole)
    expect(await read('split-00003-of-00003.gguf')).toEqual(whole)
    await fs.rename(path.join(desk.folder, 'split-00003-of-00003.gguf'), path.join(desk.folder, 'third.gguf'))
    expect(await read('split-00001-of-00003.gguf')).toMatchObject({
      code: 1,
      value: { error: { code: 'MAI_MODEL_FILE_UNREADABLE', message: expect.stringContaining('split-00003-of-00003.gguf') } },
    })
    expect(await read('third.gguf')).toMatchObject({ code: 1, value: { error: { code: 'MAI_MODEL_FILE' } } })
  })

  it('says in one error what is wrong with a file, and how to write an option', async () => {
    await fs.writeFile(path.join(desk.folder, 'short.gguf'), (await fs.readFile(path.join(desk.folder, 'header.gguf'))).subarray(0, 2000))
    await fs.writeFile(path.join(desk.folder, 'text.gguf'), 'no model')
    for (const file of ['short.gguf', 'text.gguf', 'absent.gguf']) {
      const { code, out } = await desk.again(['models', 'estimate', file, '--json'])
      expect({ file, code, error: JSON.parse(out).error.message }).toMatchObject({ code: 1, error: expect.stringContaining(file) })
    }
    for (const options of [
      ['--kv-type', 'q2'],
      ['--gpu-layers', 'many'],
      ['--context', '0'],
    ]) {
      const { code, out } = await desk.again(['models', 'estimate', 'header.gguf', ...options, '--json'])
      expect({ code, error: JSON.parse(out).error.code }).toEqual({ code: 2, error: 'MAI_USAGE' })
    }
  })
})
