/**
 * `npm run test:chaos`: every scenario with all seeds, ten thousand schedules, a hundred kills. What follows goes to vitest.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { root } from './dist.ts'

const files = [
  'chaos',
  'tests/chat/residency/scheduler.test.ts',
  'tests/chat/residency/preload.test.ts',
  'tests/plugins/llamacpp/whole.test.ts',
  'tests/plugins/store/processes.test.ts',
]
const env = {
  MAI_CHAOS_SEEDS: '20',
  MAI_TEST_SCHEDULES: '10000',
  MAI_TEST_KILLS: '100',
  MAI_TEST_CYCLES: '20',
  MAI_TEST_OPENERS: '10',
  MAI_CHAOS: '1',
  ...process.env,
}
const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs')
const { status } = spawnSync(process.execPath, [vitest, 'run', '--project', '!lmstudio-sdk-2', ...files, ...process.argv.slice(2)], {
  cwd: root,
  env,
  stdio: 'inherit',
})
process.exit(status ?? 1)
