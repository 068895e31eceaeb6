/**
 * What `mai doctor` looks at. Each check says what it found, and the cure where something is wrong.
 *
 * @module
 */
import type { Mai } from '../chat/mai.ts'
import { usersText } from '../chat/memory/what-to-free.ts'
import type { SystemStatus } from '../chat/status.ts'
import { isMaiError, toErrorFact } from '../core/errors.ts'
import { bytesText } from './terminal/progress.ts'

/** One finding. */
export interface Finding {
  readonly name: string
  /** `fail`: Mai cannot answer because of it. */
  readonly state: 'ok' | 'warn' | 'fail'
  readonly text: string
  readonly cure?: string
}

/** The oldest Node that Mai is made for. */
const NODE = [20, 19] as const
/** Less free disk than this, in bytes, and the store may soon fail. */
const LITTLE_DISK = 1e9

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const old = major < NODE[0] || (major === NODE[0] && minor < NODE[1])
  return old
    ? { name: 'node', state: 'fail', text: `${version} is too old`, cure: `Install Node ${NODE.join('.')} or later.` }
    : { name: 'node', state: 'ok', text: version }
}

/** A configuration that does not load, and everything else that keeps Mai from opening. */
export function checkOpened(error: unknown): Finding {
  const cure = isMaiError(error) ? error.cure : undefined
  const text = isMaiError(error) ? error.problem : toErrorFact(error).message
  return { name: 'config', state: 'fail', text, ...(cure === undefined ? {} : { cure }) }
}

/** All that an open Mai can say of itself. */
export async function checkMai(mai: Mai): Promise<Finding[]> {
  const failed = await mai.models.ready().then(
    () => undefined,
    (error: unknown) => error,
  )
  const status = await mai.getSystemStatus()
  return [
    { name: 'config', state: 'ok', text: status.configFile ?? 'built-in' },
    ...status.backends.map(backendFinding),
    ...(await engineFindings(status)),
    modelFinding(status, failed),
    memoryFinding(status),
    ...(await diskFindings(status)),
  ]
}

function backendFinding({ name, connected, models, error, remote }: SystemStatus['backends'][number]): Finding {
  const place = remote ? ' (another machine)' : ''
  if (connected) return { name, state: models > 0 ? 'ok' : 'warn', text: `${models} models${place}` }
  // One backend that is away is no harm while another answers.
  return { name, state: 'warn', text: error?.message ?? 'not connected' }
}

async function engineFindings({ backends }: SystemStatus): Promise<Finding[]> {
  if (!backends.some(({ name }) => name === 'llamacpp')) return []
  const { discoverModels, engineInstalled } = await import('../plugins/llamacpp/index.ts')
  const { unusable } = await discoverModels()
  return [
    engineInstalled()
      ? { name: 'engine', state: 'ok', text: 'node-llama-cpp is installed' }
      : { name: 'engine', state: 'warn', text: 'the embedded engine is not installed', cure: 'npm install node-llama-cpp' },
    ...unusable.map(({ file, problem }): Finding => ({ name: 'file', state: 'warn', text: `${file}: ${problem}` })),
  ]
}

function modelFinding({ model, decision }: SystemStatus, failed: unknown): Finding {
  if (failed !== undefined) {
    const cure = isMaiError(failed) ? failed.cure : undefined
    return { name: 'model', state: 'fail', text: 'no model can answer', ...(cure === undefined ? {} : { cure }) }
  }
  if (model !== undefined) return { name: 'model', state: 'ok', text: `${model} would answer (${decision?.reason ?? 'chosen'})` }
  const excluded = (decision?.candidates ?? []).map((candidate) => `${candidate.model}: ${candidate.excluded ?? 'not chosen'}`)
  return {
    name: 'model',
    state: 'fail',
    text: `none would be chosen: ${excluded.join('; ')}`,
    cure: 'Free memory, or fetch a smaller model: mai models recommend',
  }
}

function memoryFinding({ resources: { memory, level }, memoryUsers }: SystemStatus): Finding {
  const text = `${bytesText(memory.availableBytes)} of ${bytesText(memory.totalBytes)} free`
  return level === 'normal'
    ? { name: 'memory', state: 'ok', text }
    : {
        name: 'memory',
        state: 'warn',
        text: memoryUsers ? `${text}, ${level}; most by ${usersText(memoryUsers)}` : `${text}, ${level}`,
        cure: 'Close other programs; Mai uses smaller models meanwhile.',
      }
}

async function diskFindings({ store }: SystemStatus): Promise<Finding[]> {
  const [fs, path] = await Promise.all([import('node:fs/promises'), import('node:path')])
  try {
    const { mode } = await fs.stat(store.location)
    const { bavail, bsize } = await fs.statfs(path.dirname(store.location))
    const free = bavail * bsize
    const open = process.platform !== 'win32' && (mode & 0o077) !== 0
    return [
      open
        ? { name: 'store', state: 'warn', text: `${store.location} can be read by others`, cure: `chmod 600 ${store.location}` }
        : { name: 'store', state: 'ok', text: `${store.location}, ${store.sessions} sessions` },
      free < LITTLE_DISK
        ? {
            name: 'disk',
            state: 'warn',
            text: `${bytesText(free)} free`,
            cure: 'Free some space, or set MAI_HOME to a folder on another disk.',
          }
        : { name: 'disk', state: 'ok', text: `${bytesText(free)} free` },
    ]
  } catch (error) {
    return [{ name: 'store', state: 'warn', text: toErrorFact(error).message, cure: 'Check that its folder can be written.' }]
  }
}
