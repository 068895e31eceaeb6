/**
 * Finds the files of models in a place. What cannot be read is left out; links are followed, but never in a circle.
 *
 * @module
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import type { ModelOrigin, ModelPlace } from './places.ts'

/** A file that may be a model. */
export interface FoundFile {
  readonly origin: ModelOrigin
  /** As it was found. */
  readonly path: string
  /** Where links lead to. */
  readonly realPath: string
  readonly size: number
  /** Epoch ms. */
  readonly mtimeMs: number
  /** Its name where the file's own says nothing, as in Ollama's store. */
  readonly name: string | undefined
}

/** Deeper than any program that keeps models. */
const MOST_DEPTH = 8
/** Most entries of one place: somebody may have given a whole disk. */
const MOST_ENTRIES = 100_000
/** A manifest of Ollama's has some hundred bytes. */
const MOST_MANIFEST = 1024 * 1024

export async function findFiles({ origin, path: place }: ModelPlace): Promise<FoundFile[]> {
  if (origin === 'ollama') return ollamaFiles(place)
  const stats = await fs.stat(place).catch(() => undefined)
  if (stats?.isFile()) return described(origin, [{ file: place, name: undefined }])
  if (!stats?.isDirectory()) return []
  const files: string[] = []
  await walk(place, 0, { entries: 0, seen: new Set() }, (file) => files.push(file))
  return described(
    origin,
    files.map((file) => ({ file, name: undefined })),
  )
}

interface Walk {
  entries: number
  readonly seen: Set<string>
}

async function walk(folder: string, depth: number, state: Walk, found: (file: string) => void): Promise<void> {
  const entries = await fs.readdir(folder, { withFileTypes: true }).catch(() => [])
  const inner: Promise<void>[] = []
  for (const entry of entries) {
    if (++state.entries > MOST_ENTRIES) break
    const file = path.join(folder, entry.name)
    if (/\.gguf$/i.test(entry.name) && !entry.isDirectory()) found(file)
    else if (depth < MOST_DEPTH && entry.isDirectory()) inner.push(walk(file, depth + 1, state, found))
    else if (depth < MOST_DEPTH && entry.isSymbolicLink()) inner.push(linked(file, depth, state, found))
  }
  await Promise.all(inner)
}

async function linked(link: string, depth: number, state: Walk, found: (file: string) => void): Promise<void> {
  const target = await fs.realpath(link).catch(() => undefined)
  if (target === undefined || state.seen.has(target)) return
  state.seen.add(target)
  const stats = await fs.stat(target).catch(() => undefined)
  if (stats?.isDirectory()) await walk(target, depth + 1, state, found)
}

/** `manifests/<registry>/<namespace>/<model>/<tag>` names a blob by its digest. */
async function ollamaFiles(folder: string): Promise<FoundFile[]> {
  const manifests = path.join(folder, 'manifests')
  const names = await fs.readdir(manifests, { recursive: true, withFileTypes: true }).catch(() => [])
  const found = await Promise.all(
    names
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const file = path.join(entry.parentPath, entry.name)
        const digest = await modelDigest(file)
        if (digest === undefined) return []
        const [, namespace = '', model = '', tag = ''] = path.relative(manifests, file).split(path.sep)
        const name = `${namespace === 'library' ? '' : `${namespace}/`}${model}:${tag}`
        return [{ file: path.join(folder, 'blobs', digest.replace(':', '-')), name }]
      }),
  )
  return described('ollama', found.flat())
}

async function modelDigest(manifest: string): Promise<string | undefined> {
  try {
    if ((await fs.stat(manifest)).size > MOST_MANIFEST) return undefined
    const { layers } = JSON.parse(await fs.readFile(manifest, 'utf8')) as { layers?: { mediaType?: string; digest?: string }[] }
    const digest = layers?.find(({ mediaType }) => mediaType === 'application/vnd.ollama.image.model')?.digest
    return digest !== undefined && /^sha256:[0-9a-f]{64}$/.test(digest) ? digest : undefined
  } catch {
    // Not a manifest, or not ours to read.
    return undefined
  }
}

async function described(
  origin: ModelOrigin,
  files: readonly { readonly file: string; readonly name: string | undefined }[],
): Promise<FoundFile[]> {
  // Folders answer in any order; which of two names a file gets must not depend on it.
  const ordered = [...files].sort((a, b) => ((a.name ?? a.file) < (b.name ?? b.file) ? -1 : 1))
  const found = await Promise.all(
    ordered.map(async ({ file, name }) => {
      try {
        const realPath = await fs.realpath(file)
        const { size, mtimeMs } = await fs.stat(realPath)
        return [{ origin, path: file, realPath, size, mtimeMs, name }]
      } catch {
        // A link to nowhere, or a folder that may not be entered.
        return []
      }
    }),
  )
  return found.flat()
}
