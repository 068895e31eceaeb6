/**
 * Where dist/ stands: whether it is older than its sources, and who is building it.
 *
 * @module
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root. */
export const root: string = fileURLToPath(new URL('..', import.meta.url))
/** What a build writes. */
export const dist: string = path.join(root, 'dist')

const cache = path.join(root, 'node_modules', '.cache', 'mai')
const lock = path.join(cache, 'dist-lock')
const LOCK_STALE_MS = 60_000

/** `js`: JavaScript only; `all`: with declarations. */
export type Extent = 'js' | 'all'

const stamp = (extent: Extent): string => path.join(cache, `dist-${extent}`)

/** Epoch ms of a file's last change; 0 when there is none. */
const changed = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Whether dist/ is newer than all it is built from. */
export function isFresh(extent: Extent): boolean {
  const sources = readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' }).map((file) => path.join('src', file))
  const inputs = [
    ...sources,
    'tsdown.config.ts',
    'tsconfig.json',
    'tsconfig.build.json',
    'package.json',
    'scripts/build.ts',
    'scripts/reached-declarations.ts',
  ]
  const newest = Math.max(...inputs.map((file) => changed(path.join(root, file))))
  return existsSync(path.join(dist, 'index.js')) && changed(stamp(extent)) > newest
}

/** Notes that dist/ holds what the sources were at `began`: one saved during the build is newer. */
export function noteBuilt(extent: Extent, began: Date): void {
  for (const covered of extent === 'all' ? (['js', 'all'] as const) : (['js'] as const)) {
    writeFileSync(stamp(covered), '')
    utimesSync(stamp(covered), began, began)
  }
}

/** Runs one build at a time, waiting for that of another process. */
export async function withBuildLock(work: () => Promise<void>): Promise<void> {
  mkdirSync(cache, { recursive: true })
  while (!tryLock()) {
    if (Date.now() - changed(lock) > LOCK_STALE_MS) rmSync(lock, { recursive: true, force: true })
    else await new Promise((resolve) => setTimeout(resolve, 100))
  }
  try {
    await work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function tryLock(): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}
