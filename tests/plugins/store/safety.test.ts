import { execFile, execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Connection } from '../../../src/plugins/store/sqlite.ts'
import { message, openStore, temporaryFile, temporaryFolder } from './harness.ts'

const session = { id: 's', title: 'A talk', time: 500 }
const mode = (file: string): string => (fs.statSync(file).mode & 0o777).toString(8)

describe('the door to libsql', () => {
  async function connection(): Promise<Connection> {
    const opened = await Connection.open(await temporaryFile(), 10)
    onTestFinished(() => opened.close())
    opened.script('CREATE TABLE t (value)')
    return opened
  }

  it.each([
    ['a boolean', true],
    ['undefined', undefined],
    ['a Date', new Date(0)],
    ['a Uint8Array', new Uint8Array(2)],
    ['an ArrayBuffer', new ArrayBuffer(2)],
    ['an object', {}],
    ['an object without prototype', Object.create(null)],
    ['an array', [1]],
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['NaN', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['a bigint of 65 bits', 2n ** 64n],
  ])('refuses %s with an error instead of ending the process or changing it', async (_, value) => {
    const db = await connection()
    // What types forbid, callers in JavaScript may still pass.
    const run = (): unknown => db.run('INSERT INTO t VALUES (?)', [value as string])
    expect(run).toThrow(expect.objectContaining({ code: 'MAI_STORE_FAILED', message: expect.stringContaining('Value 1') }))
    expect(db.all('SELECT * FROM t')).toEqual([])
  })

  it.each([
    '',
    'plain',
    'a\u0000b',
    '\u0000',
    '\ud800',
    '\u0001',
    '\u0001"x"',
    'x\udfff\u0000y',
    '😀',
    0,
    -1,
    1.5,
    Number.MAX_SAFE_INTEGER,
    1e300,
    null,
  ])('gives %j back as it was', async (value) => {
    const db = await connection()
    db.run('INSERT INTO t VALUES (?)', [value])
    expect(db.all('SELECT value FROM t')).toStrictEqual([{ value }])
    expect(db.get('SELECT value FROM t WHERE value IS ?', [value]), 'also found by equality').toStrictEqual({ value })
  })

  it('binds whole numbers as whole numbers, and bigints and buffers', async () => {
    const db = await connection()
    for (const value of [7, 2n ** 62n, Buffer.from([0, 1])]) db.run('INSERT INTO t VALUES (?)', [value])
    expect(db.all('SELECT typeof(value) AS type FROM t')).toEqual([{ type: 'integer' }, { type: 'integer' }, { type: 'blob' }])
  })

  it('refuses too few and too many values', async () => {
    const db = await connection()
    expect(() => db.run('INSERT INTO t VALUES (?)')).toThrow(/takes 1 values and got 0/)
    expect(() => db.run('INSERT INTO t VALUES (?)', [1, 2])).toThrow(/takes 1 values and got 2/)
  })

  it('adds nothing to a row, and leaves no read open that would hold back the log', async () => {
    const file = await temporaryFile()
    const [a, b] = [await Connection.open(file, 10), await Connection.open(file, 10)]
    for (const each of [a, b]) onTestFinished(() => each.close())
    a.all('PRAGMA journal_mode = WAL')
    a.script('CREATE TABLE t (value); INSERT INTO t VALUES (1), (2), (3)')
    expect(b.get('SELECT value FROM t')).toStrictEqual({ value: 1 })
    expect(a.get('PRAGMA wal_checkpoint(TRUNCATE)')).toStrictEqual({ busy: 0, log: 0, checkpointed: 0 })
  })

  it('undoes a transaction that throws, and can begin the next', async () => {
    const db = await connection()
    const fail = (): unknown =>
      db.transaction(() => {
        db.run('INSERT INTO t VALUES (1)')
        throw new Error('half-way')
      })
    expect(fail).toThrow('half-way')
    db.transaction(() => db.run('INSERT INTO t VALUES (2)'))
    expect(db.all('SELECT value FROM t')).toEqual([{ value: 2 }])
  })

  it('refuses statements after closing, and lets the files go', async () => {
    const script = `
      const { Connection } = await import('./src/plugins/store/sqlite.ts')
      const fs = await import('node:fs')
      const file = process.argv.at(-1)
      const open = () => fs.readdirSync('/proc/self/fd').filter((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd).startsWith(file) } catch { return false } }).length
      let db = await Connection.open(file, 10)
      db.all('PRAGMA journal_mode = WAL')
      db.script('CREATE TABLE t (value)')
      for (let i = 0; i < 1000; i++) db.run('INSERT INTO t VALUES (?)', [i])
      const before = open()
      db.close()
      let refused = ''
      try { db.run('INSERT INTO t VALUES (?)', [1]) } catch (error) { refused = error.code }
      globalThis.gc()
      await new Promise((resolve) => setImmediate(resolve))
      console.log(JSON.stringify({ before: before > 0, refused, after: open() }))
    `
    const folder = await temporaryFolder()
    const entry = path.join(folder, 'close.mts')
    await fs.promises.writeFile(entry, script.replaceAll('./src/', `${process.cwd()}/src/`))
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--expose-gc',
      'node_modules/jiti/lib/jiti-cli.mjs',
      entry,
      path.join(folder, 'a.db'),
    ])
    const expected =
      process.platform === 'linux' ? { before: true, refused: 'MAI_STORE_FAILED', after: 0 } : { refused: 'MAI_STORE_FAILED' }
    expect(JSON.parse(stdout)).toMatchObject(expected)
  })
})

describe.runIf(process.platform !== 'win32')('the files', () => {
  it('can be read by their owner only, whatever the umask and what was there', async () => {
    const folder = path.join(await temporaryFolder(), 'a', 'b')
    const file = path.join(folder, 'mai.db')
    const umask = process.umask(0)
    onTestFinished(() => void process.umask(umask))
    const store = await openStore({ file })
    await store.createSession(session)
    expect([folder, path.dirname(folder)].map(mode)).toEqual(['700', '700'])
    for (const name of ['mai.db', 'mai.db-wal', 'mai.db-shm']) expect([name, mode(path.join(folder, name))]).toEqual([name, '600'])
    await store.close()
    fs.chmodSync(file, 0o644)
    const again = await openStore({ file })
    await again.createSession({ ...session, id: 't' })
    for (const name of ['mai.db', 'mai.db-wal', 'mai.db-shm']) expect([name, mode(path.join(folder, name))]).toEqual([name, '600'])
  })

  it('leave a folder that a person named as it is', async () => {
    const folder = await temporaryFolder()
    fs.chmodSync(folder, 0o755)
    const store = await openStore({ file: path.join(folder, 'mai.db') })
    await store.createSession(session)
    expect(mode(folder)).toBe('755')
  })
})

describe('a file that cannot be used', () => {
  const failed = (text: string): object =>
    expect.objectContaining({ code: 'MAI_STORE_FAILED', message: expect.stringContaining(text), cure: expect.any(String) })

  it.each([
    ['text', () => Buffer.from('this is not a database '.repeat(400))],
    ['a header with nothing behind it', () => Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(8000, 7)])],
  ])('of %s gives one clear error, every time, and is left alone', async (_, content) => {
    const file = await temporaryFile()
    fs.writeFileSync(file, content())
    const store = await openStore({ file })
    for (const call of [() => store.getSession('s'), () => store.createSession(session), () => store.search('x'), () => store.leases()]) {
      await expect(call()).rejects.toEqual(failed('damaged'))
    }
    expect(fs.readFileSync(file)).toEqual(content())
  })

  it('because its middle is damaged gives a clear error', async () => {
    const file = await temporaryFile()
    const first = await openStore({ file })
    await first.createSession(session)
    for (let index = 0; index < 200; index++) await first.appendMessage(message('s', `some words ${index} `.repeat(50)))
    await first.close()
    const bytes = fs.readFileSync(file)
    bytes.fill(0x55, 4096 * 2)
    fs.writeFileSync(file, bytes)
    const second = await openStore({ file })
    await expect(second.messages('s')).rejects.toEqual(failed('damaged'))
    await expect(second.appendMessage(message('s', 'x'))).rejects.toEqual(failed('damaged'))
  })

  it('because a newer Mai wrote it gives a clear error', async () => {
    const file = await temporaryFile()
    const store = await openStore({ file })
    await store.createSession(session)
    await store.close()
    const raw = await Connection.open(file, 10)
    raw.script('PRAGMA user_version = 99')
    raw.close()
    const again = await openStore({ file })
    await expect(again.getSession('s')).rejects.toEqual(failed('newer Mai (schema 99'))
  })

  it('because it is the database of another program gives a clear error', async () => {
    const file = await temporaryFile()
    const raw = await Connection.open(file, 10)
    raw.script('CREATE TABLE theirs (x)')
    raw.close()
    const store = await openStore({ file })
    await expect(store.getSession('s')).rejects.toEqual(failed('another program'))
  })

  it('because it is a folder, or lies below a file, gives a clear error', async () => {
    const folder = await temporaryFolder()
    await expect((await openStore({ file: folder })).getSession('s')).rejects.toEqual(failed('cannot be opened'))
    const blocker = path.join(folder, 'blocker')
    fs.writeFileSync(blocker, '')
    await expect((await openStore({ file: path.join(blocker, 'mai.db') })).getSession('s')).rejects.toEqual(failed('cannot be opened'))
  })

  it('is opened again once it is mended', async () => {
    const file = await temporaryFile()
    fs.writeFileSync(file, 'broken '.repeat(500))
    const store = await openStore({ file })
    await expect(store.getSession('s')).rejects.toThrow('damaged')
    fs.rmSync(file)
    expect(await store.createSession(session)).toMatchObject({ id: 's' })
  })

  it('because another program holds it can still be closed at once', async () => {
    const file = await temporaryFile()
    const store = await openStore({ file })
    await store.createSession(session)
    const other = await Connection.open(file, 10)
    onTestFinished(() => other.close())
    other.run('BEGIN IMMEDIATE')
    const began = performance.now()
    await store.close()
    expect(performance.now() - began).toBeLessThan(4000)
  })

  it('because another program holds it gives up in bounded time without blocking', async () => {
    const file = await temporaryFile()
    const store = await openStore({ file, patienceMs: 1500 })
    await store.createSession(session)
    const other = await Connection.open(file, 10)
    onTestFinished(() => other.close())
    other.run('BEGIN IMMEDIATE')
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 1)
    await expect(store.appendMessage(message('s', 'x'))).rejects.toMatchObject({ code: 'MAI_STORE_BUSY' })
    clearInterval(timer)
    // Waiting inside SQLite would be one block of all that time.
    expect(longest).toBeLessThan(1000)
    expect(await store.countMessages('s'), 'reading goes on').toBe(0)
    other.run('ROLLBACK')
    await store.appendMessage(message('s', 'x'))
    expect(await store.countMessages('s')).toBe(1)
  })
})

describe('a full disk', () => {
  async function fill(store: Awaited<ReturnType<typeof openStore>>): Promise<number> {
    await store.createSession(session)
    for (let written = 0; ; written++) {
      try {
        await store.appendMessage(message('s', 'a few words of filling '.repeat(100)))
      } catch (error) {
        expect(error).toMatchObject({ code: 'MAI_STORE_FULL', cure: expect.stringContaining('Free some space') })
        return written
      }
    }
  }

  it('gives a clear error, keeps what was acknowledged, and can still be read and written again', async () => {
    const store = await openStore({ maxPages: 100 })
    await store.createSession(session)
    await store.appendMessage(message('s', 'found before'))
    expect(await store.search('found')).toHaveLength(1)
    const written = 1 + (await fill(store))
    expect(written).toBeGreaterThan(10)
    expect(await store.messages('s')).toHaveLength(written)
    expect(await store.countMessages('s')).toBe(written)
    expect(await store.search('found'), 'what was indexed before').toHaveLength(1)
    await expect(store.appendMessage(message('s', 'x'.repeat(1e6)))).rejects.toMatchObject({ code: 'MAI_STORE_FULL' })
    await expect(
      store.appendRecord({ run: 'x'.repeat(1e6), time: 1, type: 'pin.changed', payload: { model: null } }),
    ).rejects.toMatchObject({
      code: 'MAI_STORE_FULL',
    })
    const [oldest] = await store.messages('s')
    for (const { id } of (await store.messages('s')).slice(0, 10)) await store.deleteMessage(id)
    await store.appendMessage(message('s', 'small'))
    expect(await store.countMessages('s')).toBe(written - 9)
    expect((await store.messages('s'))[0]?.id).not.toBe(oldest?.id)
    for (const { id } of (await store.messages('s')).slice(0, -5)) await store.deleteMessage(id)
    expect(await store.search('small filling'), 'what could not be indexed').toHaveLength(5)
  })

  it('of real bytes behaves the same, where one can be mounted', async (context) => {
    const folder = await temporaryFolder()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder], { stdio: 'ignore' })
    } catch {
      context.annotate('no right to mount here: the page limit above stands for it')
      return
    }
    const store = await openStore({ file: path.join(folder, 'mai.db') })
    onTestFinished(async () => {
      await store.close()
      execFileSync('umount', ['-l', folder])
    })
    const written = await fill(store)
    expect(written).toBeGreaterThan(10)
    expect(await store.messages('s')).toHaveLength(written)
    await store.close()
    const again = await openStore({ file: path.join(folder, 'mai.db') })
    expect(await again.messages('s')).toHaveLength(written)
    await again.close()
  })
})
