/**
 * Healthy text for the detectors, put together from what lies on any machine: the packages and Node here, and what the system has.
 *
 * @module
 */
import fs from 'node:fs'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import { generated, type PackageFacts } from './generated.ts'
import { VERSE } from './verse.ts'

/** One text. */
export interface Sample {
  readonly kind: string
  readonly name: string
  readonly text: string
}

/** Kinds in which sources and data repeat themselves by nature: there, one alarm in 200 files is allowed; elsewhere none. */
export const SOURCES_AND_DATA: ReadonlySet<string> = new Set(['types', 'source', 'JSON', 'YAML', 'style', 'map', 'data', 'minified'])

/** Longest piece of one file, in characters. */
const LONGEST = 40_000
/** Shorter files say nothing. */
const SHORTEST = 400

const KINDS: readonly (readonly [kind: string, test: RegExp])[] = [
  ['licence', /(?:^|\/)(?:licen[cs]e|copying|notice|copyright)[^/]*$|common-licenses\//i],
  ['changelog', /(?:^|\/)(?:changelog|changes|history|news)[^/]*$/i],
  ['manual', /\/man\d?\/|\/man\/.*\.\d(?:\.gz)?$|\.[1-8]$/],
  ['types', /\.d\.[mc]?ts$/],
  ['Markdown', /\.(?:md|markdown)$/i],
  ['prose', /\.(?:txt|rst)$|(?:^|\/)(?:readme|authors)[^/.]*$/i],
  ['minified', /\.min\.[mc]?js$/],
  ['map', /\.map$/],
  ['source', /\.(?:[mc]?[jt]s|py|c|h|cc|sh|pl|go)$/],
  ['JSON', /\.json$/],
  ['YAML', /\.(?:ya?ml|ini|conf|toml)$/],
  ['style', /\.(?:css|html|svg|xml)$/],
]

/** Assembles texts, at most `bytesAKind` of each kind, the same ones on the same machine. @param root the repository */
export function assembleCorpus(root: string, bytesAKind: number): Sample[] {
  const places = [
    path.join(root, 'node_modules'),
    path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules'),
    path.join(path.dirname(process.execPath), '..', 'include', 'node'),
    '/usr/share/common-licenses',
    '/usr/share/man/man1',
    '/usr/share/doc',
    '/var/log',
  ]
  const files = places.flatMap((place) => [...walk(place, 0)])
  const byKind = new Map<string, string[]>()
  for (const file of files) {
    const kind = file.startsWith('/var/log') ? 'log' : KINDS.find(([, test]) => test.test(file))?.[0]
    if (kind === undefined) continue
    const all = byKind.get(kind)
    if (all) all.push(file)
    else byKind.set(kind, [file])
  }
  const samples: Sample[] = []
  for (const [kind, all] of byKind) samples.push(...someOf(kind, all, bytesAKind))
  samples.push(...generated(packagesOf(files, Math.ceil(bytesAKind / 1000)), firstBytes(process.execPath, 400_000)))
  for (const [name, text] of Object.entries(VERSE)) samples.push({ kind: 'verse', name, text })
  return samples
}

/** Evenly from the whole list, so that no package makes up a kind. */
function someOf(kind: string, files: readonly string[], bytes: number): Sample[] {
  const samples: Sample[] = []
  const seen = new Set<string>()
  let left = bytes
  // Steps by the golden section visit a list evenly, wherever one stops.
  for (let n = 0; n < files.length && left > 0; n++) {
    const file = files[Math.floor(((n * 0.618_033_988_75) % 1) * files.length)]
    const text = file === undefined || seen.has(file) ? undefined : textOf(file)
    if (file === undefined || text === undefined) continue
    seen.add(file)
    samples.push({ kind, name: file, text })
    left -= text.length
  }
  return samples
}

function textOf(file: string): string | undefined {
  try {
    const raw = fs.readFileSync(file)
    const bytes = file.endsWith('.gz') ? gunzipSync(raw) : raw
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.length < SHORTEST || text.includes('\0') ? undefined : text.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, '')
  } catch {
    // Not readable, not gzip or not UTF-8: no text for this purpose.
    return undefined
  }
}

/** Files below a folder, in order of their names; links are not followed. */
function* walk(folder: string, depth: number): Generator<string> {
  let entries: fs.Dirent[]
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true })
  } catch {
    return
  }
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name === '.cache' || entry.name === '.git') continue
    const full = path.join(folder, entry.name)
    if (entry.isDirectory() && depth < 8) yield* walk(full, depth + 1)
    else if (entry.isFile()) yield full
  }
}

function firstBytes(file: string, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  const descriptor = fs.openSync(file, 'r')
  fs.readSync(descriptor, bytes, 0, size, 0)
  fs.closeSync(descriptor)
  return bytes
}

function packagesOf(files: readonly string[], most: number): PackageFacts[] {
  const facts = new Map<string, PackageFacts>()
  for (const file of files) {
    if (facts.size >= most) break
    if (!file.endsWith(`${path.sep}package.json`)) continue
    try {
      const value: Record<string, unknown> = JSON.parse(fs.readFileSync(file, 'utf8'))
      const { name, version, description, license } = value
      if (typeof name !== 'string' || typeof version !== 'string' || typeof description !== 'string') continue
      const dependencies = Object.keys((value.dependencies as Record<string, string> | undefined) ?? {})
      facts.set(name, {
        name,
        version,
        description,
        license: typeof license === 'string' ? license : 'MIT',
        dependencies,
        bytes: fs.statSync(file).size,
      })
    } catch {
      // A package.json of a test, broken on purpose.
    }
  }
  return [...facts.values()]
}
