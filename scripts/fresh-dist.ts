/**
 * Vitest's global set-up: tests that run `mai` as people do run dist/, so it is rebuilt when a source is newer.
 * `MAI_DIST=as-is` takes it as it lies there.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { isFresh, root } from './dist.ts'

/** Whether a test file runs what is built. */
function needsDist(test: string): boolean {
  return /[\\/]tests[\\/](cli|e2e|package)[\\/]/.test(test) || /\bdist\b/.test(readFileSync(test, 'utf8'))
}

/** Builds dist/ when a test of this run needs it and a source is newer. */
export function setup(project: TestProject): void {
  if (process.env.MAI_DIST === 'as-is' || !project.vitest.state.getPaths().some(needsDist) || isFresh('js')) return
  const jiti = path.join(root, 'node_modules', 'jiti', 'lib', 'jiti-cli.mjs')
  execFileSync(process.execPath, [jiti, 'scripts/build.ts', '--js', '--if-stale'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}
