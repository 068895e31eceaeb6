import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const mai = [
  { find: /^mai$/, replacement: here('src/index.ts') },
  { find: /^mai\/testing$/, replacement: here('src/testing/index.ts') },
  { find: /^mai\/plugins\/([^/]+)$/, replacement: here('src/plugins/$1/index.ts') },
]

/**
 * Tests with a process a file: they start many, count what they have started or measure themselves, or take so long that
 * they had better not begin last. All others share one process for each worker, which loads Mai and its libraries once.
 */
const apart = [
  'tests/{chaos,e2e,examples}/**',
  'tests/cli/{bad-input,commands,doctor,estimate,first-run,session-file,simulate}.test.ts',
  'tests/config/sync.test.ts',
  'tests/docs/snippets.test.ts',
  'tests/plugins/compression/windows.test.ts',
  'tests/plugins/llamacpp/{backend,driver,pull,spare-process,threads,whole}.test.ts',
  'tests/plugins/lmstudio/{leaving,starting}.test.ts',
  'tests/plugins/store/{chaos,processes,safety,scale}.test.ts',
  'tests/chat/memory/observed.test.ts',
  'tests/testing/gguf.test.ts',
]

export default defineConfig({
  resolve: { alias: mai },
  test: {
    globalSetup: ['scripts/fresh-dist.ts'],
    pool: 'forks',
    // Twice as many as two cores: tests wait for processes and sockets a good part of their time.
    maxWorkers: 4,
    // For what hangs; a machine that does other things too may be ten times slower. What must be quick has limits of its own.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    projects: [
      // Projects run in the order of their names: the short files come last and keep both workers busy to the end.
      { extends: true, test: { name: 'apart', include: apart.map((files) => files.replace(/\*\*$/, '**/*.test.ts')) } },
      { extends: true, test: { name: 'together', include: ['tests/**/*.test.ts'], exclude: apart, isolate: false } },
      {
        // The same plugin with the next version of LM Studio's client.
        extends: true,
        resolve: { alias: [...mai, { find: /^@lmstudio\/sdk$/, replacement: 'lmstudio-sdk-2' }] },
        test: {
          name: 'lmstudio-sdk-2',
          include: ['tests/plugins/lmstudio/{calls,generate,load}.test.ts', 'tests/e2e/ten-turns.test.ts'],
          env: { LMSTUDIO_SDK: '2' },
          isolate: false,
        },
      },
    ],
  },
})
