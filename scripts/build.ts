/**
 * Builds dist/: JavaScript by tsdown, declarations by tsc. Files are replaced in place and leftovers removed at the end,
 * so that a `mai` that runs from dist meanwhile keeps running. `--js` leaves the declarations out; `--if-stale` builds
 * only when a source is newer.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { build } from 'tsdown'
import { dist, type Extent, isFresh, noteBuilt, root, withBuildLock } from './dist.ts'
import { reachedDeclarations } from './reached-declarations.ts'

const require = createRequire(import.meta.url)

/** Every file below a folder. */
function files(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
}

/** Declarations name each other as the JavaScript that lies beside them, which every version of TypeScript resolves. */
function nameJavaScript(declaration: string): void {
  const text = readFileSync(declaration, 'utf8')
  const renamed = text.replace(/(\bfrom |\bimport\(|\bimport |\bdeclare module )(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, '$1$2$3.js$2')
  if (renamed !== text) writeFileSync(declaration, renamed)
}

/** Whether package.json exports it. */
function isExported(declaration: string): boolean {
  return /^((testing|plugins\/[^/]+)\/)?index\.d\.ts$/.test(path.relative(dist, declaration).split(path.sep).join('/'))
}

/** What is built in, see tsdown.config.ts, has licences that ask to be carried along. */
function addNotice(): void {
  const [, terms = ''] = readFileSync(path.join(root, 'LICENSE'), 'utf8').split(/Copyright .*\n/)
  const zod = readFileSync(path.join(root, 'node_modules', 'zod', 'LICENSE'), 'utf8')
  const notice = `These files hold clipanion and typanion, both under the MIT License:\n\nCopyright (c) 2019-2020 Mael Nison\n${terms}\nand zod:\n\n${zod}`
  writeFileSync(path.join(dist, 'bundled-licences.txt'), notice)
}

async function buildDist(extent: Extent): Promise<void> {
  const began = new Date()
  // File systems may keep whole seconds only.
  const stale = Math.floor(began.getTime() / 1000) * 1000
  await build({ cwd: root, config: path.join(root, 'tsdown.config.ts') })
  const bin = path.join(dist, 'cli', 'bin.js')
  if (existsSync(bin)) {
    chmodSync(bin, 0o755)
    addNotice()
  }
  if (extent === 'all') {
    execFileSync(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
    const declarations = files(dist).filter((file) => file.endsWith('.d.ts'))
    for (const file of declarations) nameJavaScript(file)
    const reached = reachedDeclarations(declarations.filter(isExported))
    for (const file of declarations) if (!reached.has(file)) rmSync(file)
  }
  for (const file of files(dist)) {
    if ((extent === 'all' || !file.endsWith('.d.ts')) && statSync(file).mtimeMs < stale) rmSync(file)
  }
  noteBuilt(extent, began)
}

const extent: Extent = process.argv.includes('--js') ? 'js' : 'all'
const ifStale = process.argv.includes('--if-stale')
await withBuildLock(async () => {
  if (!ifStale || !isFresh(extent)) await buildDist(extent)
})
