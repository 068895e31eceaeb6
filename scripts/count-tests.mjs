// Prints how many tests passed, failed and were skipped, from vitest's JSON report.
import { readFileSync } from 'node:fs'

const text = readFileSync(process.argv[2], 'utf8')
const report = text.trim() === '' ? { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0 } : JSON.parse(text)
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests = 0, numFailedTestSuites = 0 } = report
console.log(`${numPassedTests} passed, ${Math.max(numFailedTests, numFailedTestSuites > 0 ? 1 : 0)} failed, ${numPendingTests + numTodoTests} skipped`)
