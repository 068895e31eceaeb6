/**
 * `npm run test:chaos`: the tests named chaos, with all their kills and minutes instead of a few.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { root } from './dist.ts'

const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs')
const { status } = spawnSync(process.execPath, [vitest, 'run', '--project', 'mai', 'chaos', ...process.argv.slice(2)], {
  cwd: root,
  env: { ...process.env, MAI_CHAOS: '1' },
  stdio: 'inherit',
})
process.exitCode = status ?? 1
