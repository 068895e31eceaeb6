import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { struggle } from '../../../src/plugins/struggle/index.ts'
import { switching } from '../../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../../src/testing/resource-trace.ts'
import { scriptedBackend } from '../../../src/testing/scripted-backend.ts'

const BEGINNING = 'The harbour lay quiet under the morning mist, and the fishermen mended their nets on the pier. '
const LOOP = 'He looked at the sea and said that the boats would come back before the evening. '

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function answering(big: string, small: (partial: string) => string): Promise<Mai> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-struggle-'))
  cleanups.push(() => fs.rm(folder, { recursive: true, force: true }))
  const backend = scriptedBackend([
    { id: 'big', sizeBytes: 4e9, answer: big },
    { id: 'small', sizeBytes: 1e9, answer: (_, { continueFrom = '' }) => small(continueFrom) },
  ])
  const others = [resourceTrace().plugin, switching(), compression(), backend.plugin, struggle()]
  const mai = await createMai({ plugins: [store({ file: path.join(folder, 'mai.db') }), ...others] })
  cleanups.push(() => mai.shutdown())
  return mai
}

describe('an answer that loops', () => {
  it('is cut before the person has read the loop twice, and another model goes on', async () => {
    const mai = await answering(BEGINNING + LOOP.repeat(40), (partial) => `${partial} Then night fell.`)
    const stream = mai.streamMessage('Tell me a story.')
    let seen = ''
    for await (const { text } of stream) seen += text
    const reply = await stream.reply
    expect(reply.text).toBe(seen)
    expect(reply).toMatchObject({ model: 'scripted/small', switches: [{ from: 'scripted/big', to: 'scripted/small', kind: 'loop' }] })
    expect(seen.endsWith(' Then night fell.')).toBe(true)
    const kept = seen.slice(0, -' Then night fell.'.length)
    expect((BEGINNING + LOOP.repeat(2)).startsWith(kept)).toBe(true)
    expect(kept.length).toBeGreaterThanOrEqual((BEGINNING + LOOP).length)
  })

  it('is left alone where nothing repeats', async () => {
    const story = `${BEGINNING}${LOOP}Nobody believed him, for the wind had turned and the light was going.`
    const mai = await answering(story, () => 'never asked')
    expect(await mai.processMessage('Tell me a story.')).toMatchObject({ text: story, model: 'scripted/big', switches: [] })
  })
})
