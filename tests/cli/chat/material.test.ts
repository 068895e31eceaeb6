import { describe, expect, it } from 'vitest'
import { readMaterial } from '../../../src/cli/chat/material.ts'
import { linesOf } from '../../../src/cli/chat/plain-input.ts'

async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

/** Never ends by itself; counts what was taken of it. */
async function* endless(chunk: string, taken: { chunks: number }): AsyncGenerator<Uint8Array> {
  for (;;) {
    taken.chunks++
    yield Buffer.from(chunk)
  }
}

async function lines(source: AsyncIterable<Uint8Array>, maxBytes = 1000): Promise<string[]> {
  const all: string[] = []
  for await (const line of linesOf(source, maxBytes)) all.push(line)
  return all
}

describe('material', () => {
  it('is text, in whatever pieces it comes', async () => {
    const bytes = Buffer.from('grüße 😀')
    const read = await readMaterial(chunks(...Array.from(bytes, (byte) => Buffer.from([byte]))), 100)
    expect(read).toEqual({ text: 'grüße 😀', damaged: false })
  })

  it('may be UTF-16 that says so, as Windows writes it', async () => {
    const little = Buffer.from('\ufeffgrüße', 'utf16le')
    expect(await readMaterial(chunks(little), 100)).toEqual({ text: 'grüße', damaged: false })
    expect(await readMaterial(chunks(Buffer.from(little).swap16()), 100)).toEqual({ text: 'grüße', damaged: false })
  })

  it('says when bytes had to be replaced', async () => {
    expect(await readMaterial(chunks(Buffer.from('caf\u00e9', 'latin1')), 100)).toEqual({ text: 'caf\ufffd', damaged: true })
  })

  it('is refused when it is binary', async () => {
    await expect(readMaterial(chunks(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 13])), 100)).rejects.toMatchObject({
      code: 'MAI_USAGE',
      cure: expect.stringContaining('--image') as string,
    })
  })

  it('is refused as soon as it is too much, so that no memory fills up', async () => {
    const taken = { chunks: 0 }
    await expect(readMaterial(endless('0123456789', taken), 95)).rejects.toMatchObject({ code: 'MAI_MESSAGE_TOO_LARGE' })
    expect(taken.chunks).toBe(10)
  })
})

describe('lines of a pipe', () => {
  it('come whole, with any line ends, from any pieces', async () => {
    expect(await lines(chunks('a\r\nb', 'c\n', '\n', 'last'))).toEqual(['a', 'bc', '', 'last'])
    expect(await lines(chunks(...Array.from(Buffer.from('é😀\nx'), (byte) => Buffer.from([byte]))))).toEqual(['é😀', 'x'])
  })

  it('have no NUL in them', async () => {
    expect(await lines(chunks('a\0b\n'))).toEqual(['a\ufffdb'])
  })

  it('are refused where one never ends', async () => {
    const taken = { chunks: 0 }
    await expect(lines(endless('0123456789', taken), 95)).rejects.toMatchObject({ code: 'MAI_MESSAGE_TOO_LARGE' })
    expect(taken.chunks).toBe(10)
  })
})
