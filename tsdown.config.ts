import { existsSync, readdirSync } from 'node:fs'
import { defineConfig } from 'tsdown'

const plugins = readdirSync('src/plugins').map((name) => [`plugins/${name}/index`, `src/plugins/${name}/index.ts`] as const)
const entries = [['index', 'src/index.ts'], ['testing/index', 'src/testing/index.ts'], ['cli/bin', 'src/cli/bin.ts'], ...plugins] as const

// One build for all entries, so that they share one copy of every module.
export default defineConfig({
  entry: Object.fromEntries(entries.filter(([, file]) => existsSync(file))),
  format: 'esm',
  platform: 'node',
  target: 'node20',
  dts: false,
  clean: true,
  fixedExtension: false,
})
