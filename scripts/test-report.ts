/**
 * Where `npm run check` leaves vitest's report; run by itself, says in one line how many tests passed, failed and were skipped.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root } from './dist.ts'

/** The report, in vitest's JSON form. */
export const testReport: string = path.join(root, 'node_modules', '.cache', 'mai', 'tests.json')

interface Report {
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly { readonly status: string }[] }[]
}

/** A file that could not be loaded, or no report at all, counts as one failed test. */
function summary(): string {
  if (!existsSync(testReport)) return '0 passed, 1 failed, 0 skipped'
  // Written by vitest, whose form this is.
  const { testResults } = JSON.parse(readFileSync(testReport, 'utf8')) as Report
  const statuses = testResults.flatMap(({ status, assertionResults }) => {
    const inside = assertionResults.map((test) => test.status)
    return status === 'failed' && !inside.includes('failed') ? [...inside, 'failed'] : inside
  })
  const passed = statuses.filter((status) => status === 'passed').length
  const failures = statuses.filter((status) => status === 'failed').length
  return `${passed} passed, ${failures} failed, ${statuses.length - passed - failures} skipped`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(summary())
