import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { type OpenAiServer, startOpenAiServer } from '../../src/testing/openai-server/server.ts'

const start = (): Promise<OpenAiServer> => startOpenAiServer({ models: [{ id: 'small', answer: 'Hello there.' }] })

it('stays dead, and can be closed, where somebody else has its port when it would come back', async () => {
  const server = await start()
  server.faults.add({ kind: 'kill-server', afterPieces: 0, restartAfterMs: 300 })
  const body = JSON.stringify({ model: 'small', stream: true, messages: [{ role: 'user', content: 'Hello.' }] })
  await fetch(`${server.baseUrl}/chat/completions`, { method: 'POST', body })
    .then((response) => response.text())
    .catch(() => {})
  const other = net.createServer().listen(server.port, '127.0.0.1')
  await once(other, 'listening')
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown): void => void unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  await pause(500)
  process.off('unhandledRejection', onUnhandled)
  await server.close()
  other.close()
  expect(unhandled).toEqual([])
})

it('leaves nothing that listens when it is closed while it starts again', async () => {
  const server = await start()
  await server.kill()
  const back = server.restart()
  // Into the listening, which takes a moment.
  await undefined
  await undefined
  await server.close()
  await back
  await expect(fetch(server.baseUrl)).rejects.toThrow()
})
