import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HistoryFile } from '../../../src/cli/chat/history-file.ts'

let folder: string
let file: string

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-history-'))
  file = path.join(folder, 'deep', 'history.jsonl')
})
afterEach(() => fs.rm(folder, { recursive: true, force: true }))

/** What the next run finds, oldest first. */
const reread = async (): Promise<string[]> => (await HistoryFile.open(file)).newestFirst.toReversed()

describe('the history of the prompt', () => {
  it('is there in the next run, line breaks and all', async () => {
    const history = await HistoryFile.open(file)
    for (const entry of ['one', 'two\nlines', '日本 😀']) await history.add(entry)
    expect(await reread()).toEqual(['one', 'two\nlines', '日本 😀'])
  })

  it('keeps no repetition, nothing empty and nothing huge', async () => {
    const history = await HistoryFile.open(file)
    for (const entry of ['a', 'a', '  ', 'b', 'x'.repeat(100_000), 'a']) await history.add(entry)
    expect(await reread()).toEqual(['a', 'b', 'a'])
  })

  it('loses nothing when two chats write at once', async () => {
    const [one, two] = [await HistoryFile.open(file), await HistoryFile.open(file)]
    await Promise.all([one.add('from one'), two.add('from two')])
    expect((await reread()).sort()).toEqual(['from one', 'from two'])
  })

  it('is bounded', async () => {
    await fs.mkdir(path.dirname(file))
    await fs.writeFile(file, Array.from({ length: 5000 }, (_, i) => `${JSON.stringify(`entry ${i}`)}\n`).join(''))
    const entries = await reread()
    expect(entries).toHaveLength(1000)
    expect(entries.at(-1)).toBe('entry 4999')
    expect((await fs.readFile(file, 'utf8')).split('\n')).toHaveLength(1001)
  })

  it('leaves out lines that a crash has cut', async () => {
    await fs.mkdir(path.dirname(file))
    await fs.writeFile(file, '"whole"\n"cut\n{"no":"text"}\n"also whole"\n')
    expect(await reread()).toEqual(['whole', 'also whole'])
  })

  it.skipIf(process.platform === 'win32')('is for its owner alone, also where the file was open to others', async () => {
    await (await HistoryFile.open(file)).add('secret')
    expect((await fs.stat(file)).mode & 0o777).toBe(0o600)
    await fs.chmod(file, 0o644)
    await HistoryFile.open(file)
    expect((await fs.stat(file)).mode & 0o777).toBe(0o600)
  })
})
