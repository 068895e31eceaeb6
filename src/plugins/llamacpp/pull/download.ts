/**
 * One file over the web: begun, gone on with where it stopped, and checked.
 *
 * @module
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import fs from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMaiError } from '../../../core/errors.ts'
import { pullErrors } from './errors.ts'
import type { Room } from './room.ts'
import type { Web } from './web.ts'

/** Tries after the first that may pass without a single new byte. */
const BARREN_TRIES = 3
const RETRY_MS = 500

/** What to fetch, and into which file. */
export interface DownloadRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Grows while it comes; what is there already is gone on with when the server still has the same file. */
  readonly part: string
  readonly signal: AbortSignal
  readonly onProgress: (bytes: number, totalBytes: number | undefined) => void
}

/** A file that is complete. */
export interface Downloaded {
  readonly bytes: number
  readonly sha256: string
}

/** @throws MaiError `MAI_PULL_NETWORK`, `MAI_PULL_REFUSED`, `MAI_DISK_FULL`; the signal's reason. The part is kept. */
export async function download(web: Web, request: DownloadRequest, room: Room): Promise<Downloaded> {
  for (let barren = 0; ; barren++) {
    const before = await sizeOf(request.part)
    try {
      return await attempt(web, request, room)
    } catch (error) {
      request.signal.throwIfAborted()
      if (!isMaiError(error) || error.code !== 'MAI_PULL_NETWORK') throw error
      if ((await sizeOf(request.part)) > before) barren = 0
      if (barren >= BARREN_TRIES || (before === 0 && barren > 0)) throw error
      await sleep(RETRY_MS * 2 ** barren, undefined, { signal: request.signal })
    }
  }
}

async function attempt(web: Web, { url, headers, part, signal, onProgress }: DownloadRequest, room: Room): Promise<Downloaded> {
  const tag = `${part}.etag`
  const had = await sizeOf(part)
  const etag = had > 0 ? await fs.readFile(tag, 'utf8').catch(() => '') : ''
  // Without its mark nobody can say that the rest would belong to the beginning.
  const resume = had > 0 && etag !== ''
  const response = await web.get(url, { ...headers, ...(resume ? { range: `bytes=${had}-`, 'if-range': etag } : {}) }, signal)
  const complete = response.status === 416 && response.headers.get('content-range') === `bytes */${had}`
  if (response.status !== 200 && response.status !== 206 && !complete) {
    await response.body?.cancel()
    if (response.status === 416) await fs.rm(part, { force: true })
    throw response.status >= 500 || response.status === 416
      ? pullErrors.network(url.host, new Error(`it answered ${response.status}`))
      : pullErrors.answer(url.host, response.status)
  }
  const from = response.status === 200 ? 0 : had
  const length = Number(response.headers.get('content-length') ?? Number.NaN)
  const total = complete ? had : Number.isFinite(length) ? from + length : undefined
  if (total !== undefined) await room.check(total - from)
  await fs.writeFile(tag, strongTag(response.headers.get('etag')), { mode: 0o600 })
  const hash = createHash('sha256')
  if (from > 0) await addFile(hash, part)
  const file = await fs.open(part, from > 0 ? 'a' : 'w', 0o600)
  let bytes = from
  try {
    onProgress(bytes, total)
    for await (const chunk of complete ? [] : (response.body ?? [])) {
      const data = chunk as Uint8Array
      hash.update(data)
      await file.writeFile(data)
      bytes += data.length
      onProgress(bytes, total)
    }
    await file.sync()
  } catch (error) {
    signal.throwIfAborted()
    throw room.isFull(error) ? await room.error(total === undefined ? bytes : total - bytes) : pullErrors.network(url.host, error)
  } finally {
    await file.close()
  }
  if (total !== undefined && bytes !== total) throw pullErrors.network(url.host, new Error(`it ended after ${bytes} of ${total} bytes`))
  await fs.rm(tag, { force: true })
  return { bytes, sha256: hash.digest('hex') }
}

/** Weak marks promise only something similar. */
function strongTag(etag: string | null): string {
  return etag === null || etag.startsWith('W/') ? '' : etag
}

async function sizeOf(file: string): Promise<number> {
  return (await fs.stat(file).catch(() => undefined))?.size ?? 0
}

async function addFile(hash: Hash, file: string): Promise<void> {
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
}
