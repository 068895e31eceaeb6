import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^mai$/, replacement: here('src/index.ts') },
      { find: /^mai\/testing$/, replacement: here('src/testing/index.ts') },
      { find: /^mai\/plugins\/([^/]+)$/, replacement: here('src/plugins/$1/index.ts') },
    ],
  },
  test: {
    include: ['tests/**/*.test.ts'],
    globalSetup: ['scripts/fresh-dist.ts'],
    // Tests open sockets, databases and child processes: a process a file keeps them apart.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    typecheck: { enabled: false },
  },
})
