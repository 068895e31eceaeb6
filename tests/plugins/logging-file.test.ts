import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { createStream, type RotatingFileStream } from 'rotating-file-stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RotatingFile, type RotatingFileOptions } from '../../src/plugins/logging/rotating-file.ts'

let folder: string
let file: string
let failures: Error[]

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mai-log-file-'))
  file = path.join(folder, 'log', 'mai.log')
  failures = []
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

const open = (options: Partial<RotatingFileOptions> = {}): RotatingFile =>
  new RotatingFile({
    file,
    maxBytes: 2 ** 20,
    keep: 2,
    retryMs: 60_000,
    createStream,
    onFailure: (error) => failures.push(error),
    ...options,
  })

const lines = (): string[] => fs.readFileSync(file, 'utf8').split('\n').slice(0, -1)

describe('RotatingFile', () => {
  it('says how many lines were lost once it can write again', async () => {
    const inTheWay = path.join(folder, 'log')
    fs.writeFileSync(inTheWay, '')
    const log = open({ retryMs: 0 })
    log.write('{"n":1}\n')
    log.write('{"n":2}\n')
    expect(failures.length).toBeGreaterThan(0)
    fs.rmSync(inTheWay)
    log.write('{"n":3}\n')
    await log.close()
    expect(lines().map((line) => JSON.parse(line))).toMatchObject([{ level: 40, msg: '2 lines were lost' }, { n: 3 }])
  })

  it('is quiet for a while after a failure, and reports it once', async () => {
    fs.writeFileSync(path.join(folder, 'log'), '')
    const log = open()
    for (let i = 0; i < 100; i++) log.write('{}\n')
    await log.close()
    expect(failures).toHaveLength(1)
  })

  it('begins a new line after a failure that may have cut one short', async () => {
    /** Writes half of what it gets, then fails. */
    const half = (): RotatingFileStream => {
      const stream = new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          fs.appendFileSync(file, chunk.subarray(0, chunk.length / 2))
          done(new Error('ENOSPC'))
        },
      }) as RotatingFileStream
      queueMicrotask(() => stream.emit('open', file))
      return stream
    }
    let opened = 0
    const log = open({ createStream: (name, options) => (opened++ === 0 ? half() : createStream(name, options)) })
    await Promise.resolve()
    log.write('{"n":1}\n')
    while (!fs.existsSync(file)) await new Promise(setImmediate)
    await new Promise(setImmediate)
    log.write('{"n":2}\n')
    await log.close()
    expect(lines()).toEqual(['{"n"', expect.stringContaining('1 lines were lost'), '{"n":2}'])
    expect(failures).toEqual([])
  })

  it('survives a disk that is full after the file was opened, without being asked again and again', async () => {
    let opened = 0
    // A stream whose every write fails as on a full disk: none can be had for a test everywhere.
    const full = (): RotatingFileStream => {
      opened++
      const stream = new Writable({
        write: (_chunk, _encoding, done) => done(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })),
      }) as RotatingFileStream
      queueMicrotask(() => stream.emit('open', file))
      return stream
    }
    const log = open({ createStream: full })
    for (let i = 0; i < 50; i++) {
      log.write('{}\n')
      await new Promise(setImmediate)
    }
    await log.close()
    expect(failures.map((error) => error.message)).toEqual(['ENOSPC: no space left on device, write'])
    expect(opened).toBe(2)
  })

  it('takes two writers on one file, rotating both, without breaking a line', async () => {
    const [a, b] = [open({ maxBytes: 2000, keep: 9 }), open({ maxBytes: 2000, keep: 9 })]
    for (let i = 0; i < 100; i++) {
      a.write(`{"writer":"a","n":${i}}\n`)
      b.write(`{"writer":"b","n":${i}}\n`)
      if (i % 10 === 0) await new Promise(setImmediate)
    }
    await Promise.all([a.close(), b.close()])
    const all = fs
      .readdirSync(path.dirname(file))
      .flatMap((name) => fs.readFileSync(path.join(path.dirname(file), name), 'utf8').split('\n'))
    for (const line of all.filter((text) => text !== '')) expect(() => JSON.parse(line)).not.toThrow()
    expect(failures).toEqual([])
  })

  it('can be closed twice, and unopened', async () => {
    const log = open()
    await log.close()
    await log.close()
    expect(fs.existsSync(file)).toBe(false)
  })
})
