/**
 * Another process with the plugin: `child.ts <action> [baseUrl]`. It must end by itself, and says what went unhandled.
 *
 * @module
 */

import { getEventListeners } from 'node:events'
import { CHAT_HOOKS, CHAT_LISTS } from '../../../src/chat/events.ts'
import type { LoadedInstance } from '../../../src/chat/model.ts'
import { toErrorFact } from '../../../src/core/errors.ts'
import { createKernel } from '../../../src/core/kernel.ts'
import { lmstudio } from '../../../src/plugins/lmstudio/index.ts'

for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
  process.on(event, (error: unknown) => console.info(`${event}: ${toErrorFact(error).message}`))
}
process.on('warning', (warning) => console.info(`warning: ${warning.message}`))

const [action, baseUrl] = process.argv.slice(2)
const kernel = createKernel({
  plugins: [
    lmstudio({ ...(baseUrl === undefined ? {} : { baseUrl }), callMs: Number(process.env.CALL_MS ?? 5000), probeMs: 1000, startMs: 5000 }),
  ],
  lists: CHAT_LISTS,
  hooks: CHAT_HOOKS,
})
await kernel.start()
const [backend] = kernel.context.all('backend')
if (!backend) throw new Error('no backend')
const { signal } = new AbortController()
const tell = (error: unknown): void => console.info(toErrorFact(error).code)

async function load(): Promise<LoadedInstance> {
  const [model] = (await backend?.list(signal)) ?? []
  if (!backend || !model) throw new Error('no model')
  return backend.load(model, {}, () => {}, signal)
}

switch (action) {
  /** Every call, to whoever is there or not. */
  case 'all-calls': {
    const instance = { instanceId: 'a', model: 'lmstudio/a', contextLength: 1 }
    const [model] = await backend.list(signal).catch((error: unknown) => (tell(error), []))
    if (model) await backend.load(model, {}, () => {}, signal).catch(tell)
    await backend.countTokens(instance, [], signal).catch(tell)
    await backend.generate({ instance, messages: [], sampling: {}, signal }, () => {}).catch(tell)
    await backend.unload(instance, signal).catch(tell)
    break
  }
  /** Closes in the middle of an answer, a load and a call. */
  case 'close-in-the-middle': {
    const instance = await load()
    const began = new Promise<void>((resolve) => {
      backend
        .generate({ instance, messages: [], sampling: {}, signal }, (piece) => piece.type === 'text' && resolve())
        .then(({ finish }) => console.info(finish), tell)
    })
    await began
    backend.countTokens(instance, [], signal).catch(tell)
    backend.load({ ...(await backend.list(signal))[1]! }, {}, () => {}, signal).catch(tell)
    break
  }
  /** Many answers; says whether anything grew. */
  case 'hundred-answers': {
    const instance = await load()
    const generate = async (stop: AbortSignal = signal): Promise<void> => {
      await backend.generate({ instance, messages: [], sampling: {}, signal: stop }, () => {})
    }
    const handles = (): string => process.getActiveResourcesInfo().sort().join(' ')
    for (let turn = 0; turn < 10; turn++) await generate()
    const before = handles()
    for (let turn = 0; turn < 100; turn++) await generate()
    const stops = Array.from({ length: 20 }, () => new AbortController())
    for (const stop of stops) {
      const answering = generate(stop.signal)
      stop.abort()
      await answering
    }
    console.info(before === handles() ? 'the same handles' : `before: ${before}; after: ${handles()}`)
    const left = [signal, kernel.context.signal, ...stops.map((stop) => stop.signal)].map((each) => getEventListeners(each, 'abort').length)
    console.info(`listeners: ${Math.max(...left)}`)
    break
  }
  default:
    throw new Error(`What is ${action}?`)
}
await kernel.close()
console.info('closed')
