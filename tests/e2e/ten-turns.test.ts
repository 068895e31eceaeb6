import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import { textOf } from '../../src/chat/message.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { lmstudio } from '../../src/plugins/lmstudio/index.ts'
import { logging } from '../../src/plugins/logging/index.ts'
import { resources } from '../../src/plugins/resources/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import type { LmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'

const GIB = 2 ** 30

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A machine of 16 GiB whose free memory the test writes down. */
async function machine(folder: string): Promise<(availableGiB: number) => Promise<void>> {
  const set = (gib: number): Promise<void> =>
    fs.writeFile(
      path.join(folder, 'meminfo'),
      `MemTotal: ${16 * 2 ** 20} kB\nMemFree: ${gib * 2 ** 20} kB\nMemAvailable: ${gib * 2 ** 20} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n`,
    )
  await fs.writeFile(path.join(folder, 'stat'), 'cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 100 0 100 1000 0 0 0 0 0 0\n')
  await set(12)
  return set
}

const answer = (_: string, messages: readonly { text: string }[] | undefined): string =>
  `You said ${JSON.stringify(messages?.at(-1)?.text ?? '')}, and here is a whole answer to it.`

async function world(): Promise<{ mai: Mai; server: LmStudioServer; setMemory: (gib: number) => Promise<void>; log: string }> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-e2e-'))
  cleanups.push(() => fs.rm(folder, { recursive: true, force: true }))
  const setMemory = await machine(folder)
  const models = [
    scriptedEngine({ key: 'big', answer, sizeBytes: 5 * GIB, paramsString: '9B' }),
    scriptedEngine({ key: 'middle', answer, sizeBytes: 3 * GIB, paramsString: '4B' }),
    scriptedEngine({ key: 'small', answer, sizeBytes: GIB, paramsString: '1B' }),
  ]
  const server = await startLmStudioServer({ models })
  cleanups.push(() => server.close())
  const log = path.join(folder, 'mai.log')
  const mai = await createMai({
    plugins: [
      logging({ file: log }),
      store({ file: path.join(folder, 'mai.db') }),
      resources({ procRoot: folder, cgroupRoot: path.join(folder, 'none'), intervalMs: 20, graphics: false }),
      switching(),
      compression(),
      lmstudio({ baseUrl: server.baseUrl }),
    ],
  })
  cleanups.push(() => mai.shutdown())
  return { mai, server, setMemory, log }
}

it('keeps ten turns going through a refused load, a dropped line and memory pressure, and says nothing of it', async () => {
  const { mai, server, setMemory, log } = await world()
  server.faults.add({ kind: 'refuse-load', model: 'big', times: Number.POSITIVE_INFINITY })
  server.faults.add({ kind: 'drop-socket', model: 'middle', occurrence: 3, afterFragments: 4 })
  const models: string[] = []
  for (let turn = 1; turn <= 10; turn++) {
    if (turn === 7) {
      const pressured = mai.kernel.context.once('resources.pressured')
      await setMemory(1)
      await pressured
    }
    const reply = await mai.processMessage(`message ${turn}`)
    expect(reply.text).toBe(`You said "message ${turn}", and here is a whole answer to it.`)
    expect(reply.finishReason).toBe('stop')
    models.push(reply.model)
  }
  expect(models[0]).toBe('lmstudio/middle')
  expect(models[9]).toBe('lmstudio/small')

  const history = await mai.getConversationHistory({ limit: 100 })
  expect(history.map((message) => message.role)).toEqual(Array.from({ length: 10 }, () => ['user', 'assistant']).flat())
  expect(history.every((message) => message.complete)).toBe(true)
  expect(history.filter((message) => /switch|memory|model/i.test(textOf(message.parts)))).toEqual([])

  await mai.shutdown()
  const lines = (await fs.readFile(log, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const told = lines.map((line) => JSON.stringify(line)).join('\n')
  expect(told).toContain('model.load.failed')
  expect(told).toContain('model.struggling')
  expect(told).toContain('resources.pressured')
  expect(told).toMatch(/switched lmstudio\/big → lmstudio\/middle/)
  expect(told).toMatch(/switched lmstudio\/middle → lmstudio\/small/)
  expect(told).not.toContain('here is a whole answer')
})

it('goes on after LM Studio was killed and started again in the middle of an answer', async () => {
  const { mai, server } = await world()
  expect((await mai.processMessage('one')).finishReason).toBe('stop')
  server.faults.add({ kind: 'kill-server', afterFragments: 3, restartAfterMs: 50 })
  const reply = await mai.processMessage('two')
  expect(reply.text).toBe('You said "two", and here is a whole answer to it.')
})

it('goes on when somebody unloads the model in the middle of an answer', async () => {
  const { mai, server } = await world()
  server.faults.add({ kind: 'unload', afterFragments: 5 })
  const reply = await mai.processMessage('one')
  expect(reply.text).toBe('You said "one", and here is a whole answer to it.')
  expect(reply.attempts.length).toBeGreaterThan(1)
})

it('keeps what a stopped answer had said, and answers the next message', async () => {
  const { mai, server } = await world()
  server.faults.add({ kind: 'stall', afterFragments: 3 })
  const stream = mai.streamMessage('one')
  let seen = ''
  for await (const piece of stream) {
    seen += piece.text
    if (seen.split(' ').length >= 3) stream.cancel()
  }
  expect((await stream.reply).finishReason).toBe('cancelled')
  expect((await mai.getConversationHistory()).at(-1)?.complete).toBe(false)
  expect((await mai.processMessage('two')).finishReason).toBe('stop')
})
