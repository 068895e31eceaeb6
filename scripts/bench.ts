/**
 * Bundles benchmarks as the library is built, for Node alone to run, and runs them one after the other:
 * `jiti scripts/bench.ts bus stream --json`. Names are files of bench/; what follows them goes to each.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'tsdown'
import { root } from './dist.ts'

// Below node_modules, so that packages resolve and no other tool looks.
const out = path.join(root, 'node_modules', '.cache', 'mai', 'bench')
const words = process.argv.slice(2)
const firstOption = words.findIndex((word) => word.startsWith('-'))
const names = firstOption < 0 ? words : words.slice(0, firstOption)
const options = words.slice(names.length)

const missing = names.filter((name) => !existsSync(path.join(root, 'bench', `${name}.ts`)))
if (names.length === 0 || missing.length > 0) {
  console.error(`No benchmark ${missing.join(', ') || 'named'}: give names of files in bench/, such as bus.`)
  process.exit(2)
}

/** Processes that the sources start are started from the sources: a bundle has no file beside it. */
const sourceSiblings = {
  name: 'source-siblings',
  transform(code: string, id: string) {
    if (!code.includes('new URL(') || id.includes('node_modules')) return undefined
    return code.replace(
      /new URL\('(\.[^']+\.ts)', import\.meta\.url\)/g,
      (_, file: string) => `new URL('${file}', '${pathToFileURL(id).href}')`,
    )
  },
}

await build({
  cwd: root,
  config: false,
  entry: Object.fromEntries(names.map((name) => [name, `bench/${name}.ts`])),
  outDir: out,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  tsconfig: path.join(root, 'tsconfig.json'),
  dts: false,
  clean: true,
  fixedExtension: false,
  hash: false,
  logLevel: 'error',
  deps: { skipNodeModulesBundle: true },
  plugins: [sourceSiblings],
})

for (const name of names) {
  const { status } = spawnSync(process.execPath, [path.join(out, `${name}.js`), ...options], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
