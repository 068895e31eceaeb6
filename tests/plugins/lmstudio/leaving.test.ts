import { describe, expect, it, onTestFinished } from 'vitest'
import { startLmStudioServer } from '../../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../../src/testing/scripted-engine.ts'
import { child, loaded, never, temporaryFolder, world } from './harness.ts'

const a = scriptedEngine({ key: 'a', answer: 'Hello there.' })
/** Slow enough never to fill its window. */
const endless = scriptedEngine({ key: 'a', answer: 'word '.repeat(4000), pace: { delayMs: 20 } })
const b = scriptedEngine({ key: 'b', answer: '', loadMs: 60_000 })

describe('a process with the plugin ends by itself, with nothing unhandled', { timeout: 60_000 }, () => {
  it('when there is no server at all', async () => {
    const home = await temporaryFolder()
    const { code, output } = await child(['all-calls'], { HOME: home, USERPROFILE: home, PATH: '' })
    expect(output).not.toMatch(/unhandled|uncaught|warning/i)
    expect(output.trim().split('\n').at(-1)).toBe('closed')
    expect(code).toBe(0)
  })

  it('when the server is gone', async () => {
    const server = await startLmStudioServer({ models: [a] })
    const home = await temporaryFolder()
    await server.close()
    const { code, output } = await child(['all-calls', server.baseUrl], { HOME: home, PATH: '' })
    expect(output.trim().split('\n')).toEqual([...Array.from({ length: 4 }, () => 'MAI_BACKEND_UNREACHABLE'), 'closed'])
    expect(code).toBe(0)
  })

  it('when the server greets and then answers no call', async () => {
    const server = await startLmStudioServer({ models: [a] })
    onTestFinished(() => server.close())
    const endpoints = ['listDownloadedModels', 'listLoaded', 'getModelInfo', 'applyPromptTemplate', 'countTokens', 'unloadModel']
    server.faults.add(...endpoints.map((endpoint) => ({ kind: 'hang-call', endpoint, times: Number.POSITIVE_INFINITY }) as const))
    const { code, output } = await child(['all-calls', server.baseUrl], { CALL_MS: '300' })
    expect(output.trim().split('\n')).toEqual([...Array.from({ length: 4 }, () => 'MAI_BACKEND_TIMEOUT'), 'closed'])
    expect(code).toBe(0)
    await expect.poll(() => server.connections).toBe(0)
  })

  it('when it closes in the middle of an answer, a call and a load', async () => {
    const server = await startLmStudioServer({ models: [endless, b] })
    onTestFinished(() => server.close())
    server.faults.add({ kind: 'hang-call', endpoint: 'applyPromptTemplate' })
    const { code, output } = await child(['close-in-the-middle', server.baseUrl])
    expect(output.trim().split('\n').sort()).toEqual(['MAI_SCOPE_CLOSED', 'MAI_SCOPE_CLOSED', 'cancelled', 'closed'])
    expect(code).toBe(0)
    await expect.poll(() => server.connections).toBe(0)
    await expect.poll(() => server.loaded().map(({ identifier, predicting }) => [identifier, predicting])).toEqual([['a', 0]])
  })

  it('and a hundred answers leave neither handles nor listeners', async () => {
    const server = await startLmStudioServer({ models: [a] })
    onTestFinished(() => server.close())
    const { code, output } = await child(['hundred-answers', server.baseUrl])
    expect(output.trim().split('\n')).toEqual(['the same handles', 'listeners: 0', 'closed'])
    expect(code).toBe(0)
  })
})

describe('closing the plugin', () => {
  it('ends its sockets', async () => {
    const { backend, server, kernel } = await world({ models: [a] })
    await loaded(backend, 'a')
    expect(server.connections).toBe(2)
    await kernel.close()
    await expect.poll(() => server.connections).toBe(0)
  })

  it('leaves what it loaded to whoever owns it', async () => {
    const { backend, server, kernel } = await world({ models: [a] })
    await loaded(backend, 'a')
    await kernel.close()
    expect(server.loaded()).toHaveLength(1)
  })

  it('refuses calls that come later', async () => {
    const { backend, kernel } = await world({ models: [a] })
    await kernel.close()
    await expect(backend.list(never())).rejects.toMatchObject({ code: 'MAI_SCOPE_CLOSED' })
  })
})
