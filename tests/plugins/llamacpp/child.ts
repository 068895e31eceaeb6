/**
 * Another process with the backend: `child.ts <folder> <id> <load|answer|leave>`. Says the process ids of its engines as
 * soon as they are there, then goes on until it is killed; or lets go of the model and, told so, ends by itself.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { LlamaCppBackend } from '../../../src/plugins/llamacpp/backend.ts'
import { HeaderCache } from '../../../src/plugins/llamacpp/discover/header-cache.ts'
import { ThreadMemory } from '../../../src/plugins/llamacpp/thread-memory.ts'

const [folder = '', id = '', action = ''] = process.argv.slice(2)
const { signal } = new AbortController()
const backend = new LlamaCppBackend({
  places: [{ origin: 'configuration', path: folder }],
  cache: new HeaderCache(path.join(folder, 'cache', 'models.json')),
  installed: () => true,
  threads: 1,
  memory: new ThreadMemory(path.join(folder, 'cache', 'threads.json')),
  idleMs: 600_000,
  spare: action === 'leave',
  onGone: () => console.info('gone'),
  program: path.resolve('dist/plugins/llamacpp/child.js'),
})
const model = (await backend.list(signal)).find((each) => each.id === id)
if (!model) throw new Error(`no model ${id}`)
const instance = await backend.load(model, {}, () => {}, signal)
const messages = [{ role: 'user', parts: [{ type: 'text', text: 'Go' }] }] as const
console.info(`ready ${instance.instanceId}`)
if (action === 'answer') await backend.generate({ instance, messages, sampling: {}, signal }, () => {})
else if (action === 'leave') {
  const engines = (): string[] =>
    execFileSync('pgrep', ['-P', String(process.pid), 'node'], { encoding: 'utf8' })
      .trim()
      .split('\n')
  while (engines().length < 2) await pause(50)
  console.info(`ahead ${engines().join(' ')}`)
  await backend.unload(instance)
} else setInterval(() => {}, 60_000)
