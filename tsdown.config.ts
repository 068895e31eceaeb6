import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { defineConfig } from 'tsdown'

/** Public entries, and the files that Mai starts as processes or threads of their own. */
const isEntry = (file: string): boolean =>
  /^(index|testing\/index|cli\/bin|plugins\/[^/]+\/index)\.ts$/.test(file) || /(^|[/-])(worker|child)\.ts$/.test(file)

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).map((file) => file.replaceAll(path.sep, '/'))
const entries = sources.filter(isEntry).map((file) => [file.replace(/\.ts$/, ''), `src/${file}`] as const)

const SIBLING = /new URL\('(\.[^']+)\.ts', import\.meta\.url\)/g
const MARK = /__mai_entry__\(([^)]+)\)/g

/** Keeps `new URL('./child.ts', import.meta.url)` true wherever the bundler puts the code that says so. */
const siblingFiles = {
  name: 'sibling-files',
  transform(code: string, id: string) {
    // Not `import.meta.url` in quotes: the loader of this file would put its own address there.
    if (!code.includes('new URL(') || id.includes('node_modules')) return undefined
    return code.replace(SIBLING, (whole, relative: string) => {
      const target = path.resolve(path.dirname(id), relative)
      const entry = path.relative('src', target).replaceAll(path.sep, '/')
      if (!existsSync(`${target}.ts`)) return whole
      if (!isEntry(`${entry}.ts`)) throw new Error(`${id} starts ${entry}.ts, which is no entry: name it like worker.ts or child.ts.`)
      return `new URL('__mai_entry__(${entry}.js)', import.meta.url)`
    })
  },
  renderChunk(code: string, chunk: { readonly fileName: string }) {
    if (!code.includes('__mai_entry__')) return undefined
    const from = path.posix.dirname(chunk.fileName)
    return { code: code.replace(MARK, (_, entry: string) => relativeUrl(path.posix.relative(from, entry))) }
  },
}

const relativeUrl = (file: string): string => (file.startsWith('.') ? file : `./${file}`)

/** The version is written in at build time: finding package.json costs each start some milliseconds. */
const writtenVersion = {
  name: 'written-version',
  transform(_: string, id: string) {
    if (!id.endsWith('/src/chat/version.ts')) return undefined
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    return `export const VERSION = ${JSON.stringify(version)}`
  },
}

const bundled = ['clipanion', 'typanion', 'zod']

// One build for all entries, so that they share one copy of every module. Declarations are tsc's: see tsconfig.build.json.
export default defineConfig({
  entry: Object.fromEntries(entries),
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  dts: false,
  // scripts/build.ts removes what a build no longer makes, so that `mai` never goes missing meanwhile.
  clean: false,
  fixedExtension: false,
  // Within our own files they load sooner, the parser of commands by 10 ms, zod by 100; scripts/build.ts adds their licences.
  deps: { alwaysBundle: bundled, onlyBundle: bundled },
  // Docs stand in the declarations; twice they would be a seventh of the package.
  outputOptions: { chunkFileNames: 'chunks/[name]-[hash].js', comments: { legal: true, annotation: true, jsdoc: false } },
  plugins: [siblingFiles, writtenVersion],
  logLevel: 'warn',
})
