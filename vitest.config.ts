import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const mai = [
  { find: /^mai$/, replacement: here('src/index.ts') },
  { find: /^mai\/testing$/, replacement: here('src/testing/index.ts') },
  { find: /^mai\/plugins\/([^/]+)$/, replacement: here('src/plugins/$1/index.ts') },
]

export default defineConfig({
  resolve: { alias: mai },
  test: {
    globalSetup: ['scripts/fresh-dist.ts'],
    // Tests open sockets, databases and child processes: a process a file keeps them apart.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    projects: [
      { extends: true, test: { name: 'mai', include: ['tests/**/*.test.ts'] } },
      {
        // The same plugin with the next version of LM Studio's client.
        extends: true,
        resolve: { alias: [...mai, { find: /^@lmstudio\/sdk$/, replacement: 'lmstudio-sdk-2' }] },
        test: {
          name: 'lmstudio-sdk-2',
          include: ['tests/plugins/lmstudio/{calls,generate,load}.test.ts', 'tests/e2e/ten-turns.test.ts'],
          env: { LMSTUDIO_SDK: '2' },
        },
      },
    ],
  },
})
