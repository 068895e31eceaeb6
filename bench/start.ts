/**
 * The program's start against an empty Node process, whole processes in turn.
 *
 * @module
 */
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { alternate, report } from './harness.ts'

const ROUNDS = 11
const bin = path.resolve('dist/cli/bin.js')

function timed(...args: string[]): number {
  const began = performance.now()
  const { status } = spawnSync(process.execPath, args, { stdio: 'ignore' })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}`)
  return performance.now() - began
}

const figures = await alternate(
  { 'node -e 0': () => timed('-e', '0'), 'mai --help': () => timed(bin, '--help'), 'mai --version': () => timed(bin, '--version') },
  ROUNDS,
)
const empty = figures.get('node -e 0')?.median ?? Number.NaN
report({
  title: 'Start of the program',
  columns: [
    { key: 'what', heading: 'command' },
    { key: 'ms', heading: 'ms' },
    { key: 'more', heading: 'ms more than Node' },
  ],
  rows: [...figures].map(([what, { median }]) => ({ what, ms: median, more: median - empty })),
  notes: [`Median of ${ROUNDS}, in turn. Goal: at most 60 ms more.`],
})
