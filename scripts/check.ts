/**
 * `npm run check`: everything that must hold before a change goes in. `--fast` leaves out the tests and the package.
 * Steps that only read run two at a time, the package among them; what a step says is printed when it fails.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { root } from './dist.ts'
import { testReport } from './test-report.ts'

interface Step {
  readonly name: string
  readonly command: readonly string[]
  /** Print as it goes. */
  readonly loud?: boolean
}

const jiti = (script: string, ...args: string[]): string[] => ['jiti', `scripts/${script}.ts`, ...args]

const reading: readonly Step[] = [
  { name: 'types', command: ['tsc'] },
  { name: 'declarations', command: ['tsc', '-p', 'tsconfig.src.json'] },
  { name: 'format and lint', command: ['biome', 'check', '--error-on-warnings'] },
  { name: 'layers', command: ['depcruise', 'src', '--config', '.dependency-cruiser.mjs'] },
  { name: 'unused', command: ['knip', '--no-progress'] },
]
const build: Step = { name: 'build', command: jiti('build', '--if-stale') }
const tests: Step = {
  name: 'tests',
  command: ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${testReport}`],
  loud: true,
}
const packaged: Step = { name: 'package', command: jiti('check-package') }

const failed: string[] = []

/** Runs a step with the programs of node_modules/.bin. */
async function run(step: Step): Promise<void> {
  const began = Date.now()
  const [program = '', ...args] = step.command
  const PATH = [path.join(root, 'node_modules', '.bin'), process.env.PATH].join(path.delimiter)
  const said: Buffer[] = []
  const code = await new Promise<number>((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: root,
      env: { ...process.env, PATH },
      stdio: ['ignore', step.loud ? 'inherit' : 'pipe', step.loud ? 'inherit' : 'pipe'],
      shell: process.platform === 'win32',
    })
    child.stdout?.on('data', (data: Buffer) => said.push(data))
    child.stderr?.on('data', (data: Buffer) => said.push(data))
    child.on('error', reject)
    child.on('close', (status) => resolve(status ?? 1))
  })
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'}  ${step.name}  ${((Date.now() - began) / 1000).toFixed(1)} s`)
  if (code === 0) return
  failed.push(step.name)
  process.stdout.write(Buffer.concat(said))
}

/** Runs steps in their order, so many at a time. */
async function runAll(steps: readonly Step[], atOnce: number): Promise<void> {
  const waiting = [...steps]
  const worker = async (): Promise<void> => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) await run(step)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

const fast = process.argv.includes('--fast')
await run(build)
await runAll(fast ? reading : [packaged, ...reading], 2)
if (!fast) await run(tests)
if (failed.length > 0) console.log(`\nFailed: ${failed.join(', ')}.`)
process.exitCode = failed.length > 0 ? 1 : 0
