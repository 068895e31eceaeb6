import { once } from 'node:events'
import fs from 'node:fs/promises'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import path from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { greeting } from '../../../src/plugins/lmstudio/greeting.ts'
import { findLms, lmStudioHome, writtenPort } from '../../../src/plugins/lmstudio/home.ts'
import { type LmStudioServer, startLmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../../src/testing/scripted-engine.ts'
import { bareMachine, failure, never, open, temporaryFolder } from './harness.ts'

const a = scriptedEngine({ key: 'a', answer: 'Hello there.' })
const b = scriptedEngine({ key: 'b', answer: 'Good day.' })

async function serve(model = a): Promise<LmStudioServer> {
  const server = await startLmStudioServer({ models: [model] })
  onTestFinished(() => server.close())
  return server
}

/** Listens, and does with each connection what a test says. */
async function stranger(onConnection: (socket: net.Socket) => void): Promise<number> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as AddressInfo).port
}

async function website(answer: http.RequestListener): Promise<number> {
  const server = http.createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as AddressInfo).port
}

/** A port at which nobody listens. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function write(file: string, text: string): Promise<void> {
  await fs.mkdir(path.dirname(file), { recursive: true })
  await fs.writeFile(file, text)
}

describe('a probe', () => {
  it('knows LM Studio', async () => {
    const server = await serve()
    expect(await greeting(server.baseUrl, 5000, never())).toBe('lmstudio')
  })

  it('knows that nobody is there', async () => {
    expect(await greeting(`ws://127.0.0.1:${await freePort()}`, 5000, never())).toBe('nobody')
  })

  it.each<[string, http.RequestListener]>([
    ['another page', (_, response) => void response.end('<html>Hello</html>')],
    ['other JSON', (_, response) => void response.end('{"lmstudio":"true"}')],
    ['nothing', (_, response) => void response.end()],
    ['null', (_, response) => void response.end('null')],
    ['an error', (_, response) => void response.writeHead(500).end('{}')],
    ['a way elsewhere', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['half an answer', (_, response) => void response.writeHead(200, { 'content-length': 1000 }).write('{"lm', () => response.destroy())],
  ])('takes who answers with %s for somebody else', async (_, answer) => {
    expect(await greeting(`ws://127.0.0.1:${await website(answer)}`, 5000, never())).toBe('stranger')
  })

  it('takes who does not speak HTTP for somebody else', async () => {
    const port = await stranger((socket) => socket.end('SSH-2.0-OpenSSH_9.0\r\n'))
    expect(await greeting(`ws://127.0.0.1:${port}`, 5000, never())).toBe('stranger')
  })

  it('reads no more of an endless answer than a greeting has', async () => {
    let sent = 0
    const port = await website((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(1024))) sent += 1024
        response.once('drain', more)
      }
      more()
    })
    expect(await greeting(`ws://127.0.0.1:${port}`, 30_000, never())).toBe('stranger')
    expect(sent).toBeLessThan(20_000_000)
  })

  it('waits no longer than it may for who never answers', async () => {
    const port = await stranger(() => {})
    expect(await greeting(`ws://127.0.0.1:${port}`, 700, never())).toBe('silent')
  })

  it('waits no longer than it may for who sends a byte now and then', async () => {
    const port = await website((_, response) => {
      const timer = setInterval(() => response.write(' '), 10)
      response.on('close', () => clearInterval(timer))
    })
    expect(await greeting(`ws://127.0.0.1:${port}`, 700, never())).toBe('silent')
  })

  it('ends when nobody wants to know any more', async () => {
    const port = await stranger(() => {})
    const stop = new AbortController()
    const probing = greeting(`ws://127.0.0.1:${port}`, 30_000, stop.signal)
    stop.abort()
    expect(await probing).toBe('nobody')
  })
})

describe('LM Studio’s home', () => {
  it('is where it usually is, or where the pointer says', async () => {
    const machine = await bareMachine()
    expect(await lmStudioHome(machine)).toBe(path.join(machine.home, '.lmstudio'))
    const elsewhere = await temporaryFolder()
    await write(path.join(machine.home, '.lmstudio-home-pointer'), `${elsewhere}\n`)
    expect(await lmStudioHome(machine)).toBe(elsewhere)
  })

  it.each(['', '\n', 'relative/path', '/nowhere/at/all'])('is where it usually is when the pointer says %j', async (pointer) => {
    const machine = await bareMachine()
    await write(path.join(machine.home, '.lmstudio-home-pointer'), pointer)
    expect(await lmStudioHome(machine)).toBe(path.join(machine.home, '.lmstudio'))
  })

  it('says the port, or nothing that makes sense', async () => {
    const machine = await bareMachine()
    const file = path.join(machine.home, '.lmstudio', '.internal', 'http-server.json')
    expect(await writtenPort(machine)).toBeUndefined()
    await write(file, '{"port": 4321}')
    expect(await writtenPort(machine)).toBe(4321)
    await write(file, '{"port": ')
    expect(await writtenPort(machine)).toBeUndefined()
  })

  it('has `lms` where none is on the search path', async () => {
    const machine = await bareMachine()
    const own = path.join(machine.home, '.lmstudio', 'bin', 'lms')
    const folder = await temporaryFolder()
    expect(await findLms(machine)).toBeUndefined()
    await write(own, '#!/bin/sh\n')
    expect(await findLms(machine)).toBeUndefined()
    await fs.chmod(own, 0o755)
    expect(await findLms(machine)).toBe(own)
    await fs.mkdir(path.join(folder, 'lms'))
    const searched = await temporaryFolder()
    await fs.copyFile(own, path.join(searched, 'lms'))
    expect(await findLms({ ...machine, path: ['relative', folder, searched].join(path.delimiter) })).toBe(path.join(searched, 'lms'))
  })
})

describe('the file of a model', () => {
  it('is known by its real path, in the usual folder or the one of the settings', async () => {
    const machine = await bareMachine()
    const server = await startLmStudioServer({ models: [scriptedEngine({ key: 'a', answer: '', path: 'maker/a/a.gguf' }), b] })
    onTestFinished(() => server.close())
    const { backend } = await open({ baseUrl: server.baseUrl }, machine)
    const paths = async (): Promise<(string | undefined)[]> => (await backend.list(never())).map((model) => model.path)
    expect(await paths()).toEqual([undefined, undefined])

    const real = path.join(await fs.realpath(await temporaryFolder()), 'blob')
    await write(real, 'GGUF')
    const link = path.join(machine.home, '.lmstudio', 'models', 'maker', 'a', 'a.gguf')
    await fs.mkdir(path.dirname(link), { recursive: true })
    await fs.symlink(real, link)
    expect(await paths()).toEqual([real, undefined])

    const chosen = await fs.realpath(await temporaryFolder())
    await write(path.join(chosen, 'maker', 'a', 'a.gguf'), 'GGUF')
    await write(path.join(machine.home, '.lmstudio', 'settings.json'), JSON.stringify({ downloadsFolder: chosen }))
    expect(await paths()).toEqual([path.join(chosen, 'maker', 'a', 'a.gguf'), undefined])
    await write(path.join(machine.home, '.lmstudio', 'settings.json'), '{ "downloadsFolder": 1')
    expect(await paths()).toEqual([real, undefined])
  })
})

describe('the server', () => {
  const listed = async (options: Parameters<typeof open>[0], machine: Parameters<typeof open>[1]): Promise<string[]> => {
    const { backend } = await open(options, machine)
    return (await backend.list(never())).map(({ id }) => id)
  }

  it('is found at the configured address, and nowhere else', async () => {
    const [first, second] = [await serve(a), await serve(b)]
    expect(await listed({ baseUrl: second.baseUrl }, await bareMachine({ ports: [first.port] }))).toEqual(['b'])
    const machine = await bareMachine({ ports: [first.port] })
    const { backend } = await open({ baseUrl: `ws://127.0.0.1:${await freePort()}` }, machine)
    expect((await failure(backend.list(never()))).code).toBe('MAI_BACKEND_UNREACHABLE')
  })

  it('is found at the port that it wrote down, before the usual ones', async () => {
    const [usual, written] = [await serve(a), await serve(b)]
    const machine = await bareMachine({ ports: [usual.port] })
    await write(path.join(machine.home, '.lmstudio', '.internal', 'http-server.json'), JSON.stringify({ port: written.port }))
    expect(await listed({}, machine)).toEqual(['b'])
  })

  it('is found in a home that was moved', async () => {
    const server = await serve(b)
    const machine = await bareMachine()
    const moved = await temporaryFolder()
    await write(path.join(machine.home, '.lmstudio-home-pointer'), moved)
    await write(path.join(moved, '.internal', 'http-server.json'), JSON.stringify({ port: server.port }))
    expect(await listed({}, machine)).toEqual(['b'])
  })

  it('is found at a usual port when what is written is old', async () => {
    const server = await serve(a)
    const machine = await bareMachine({ ports: [await freePort(), server.port] })
    await write(path.join(machine.home, '.lmstudio', '.internal', 'http-server.json'), JSON.stringify({ port: await freePort() }))
    expect(await listed({}, machine)).toEqual(['a'])
  })

  it('is found behind others who listen at its ports', async () => {
    const server = await serve(a)
    const silent = await stranger(() => {})
    const other = await website((_, response) => void response.end('{}'))
    expect(await listed({ probeMs: 1000 }, await bareMachine({ ports: [silent, other, server.port] }))).toEqual(['a'])
  })

  it('that is not there is one error that says where it was looked for, by whom it was answered, and what to do', async () => {
    const [none, silent] = [await freePort(), await stranger(() => {})]
    const other = await website((_, response) => void response.end('{}'))
    const { backend, events } = await open({ probeMs: 1000 }, await bareMachine({ ports: [none, silent, other] }))
    const error = await failure(backend.list(never()))
    expect(error.code).toBe('MAI_BACKEND_UNREACHABLE')
    expect(error.problem).toBe(
      `LM Studio was not found: nobody answers at 127.0.0.1:${none}; no answer in time from 127.0.0.1:${silent}; ` +
        `another program answers at 127.0.0.1:${other}; and \`lms\` is not installed.`,
    )
    expect(error.cure).toMatch(/^Install LM Studio/)
    expect(events).toEqual([])
  })

  it('that is not there is looked for once by all who ask together', async () => {
    let asked = 0
    const port = await website((_, response) => {
      asked++
      response.end('{}')
    })
    const { backend } = await open({}, await bareMachine({ ports: [port] }))
    const errors = await Promise.all(Array.from({ length: 5 }, () => failure(backend.list(never()))))
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['MAI_BACKEND_UNREACHABLE']))
    expect(asked).toBe(1)
  })
})
