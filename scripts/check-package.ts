/**
 * What people get: packs the tarball, lints it, installs it in an empty project with the locked versions,
 * imports every export, compiles a third party's plugin against it and runs `mai`.
 *
 * @module
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { root } from './dist.ts'

interface Packed {
  readonly filename: string
  readonly size: number
  readonly files: readonly { readonly path: string }[]
}

interface Manifest extends Record<string, unknown> {
  readonly version: string
}

interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean; readonly peer?: boolean }>>
}

/** To notice accidents: it has about 400 kB. */
const MAX_TARBALL_BYTES = 420_000
const require = createRequire(import.meta.url)
const work = mkdtempSync(path.join(os.tmpdir(), 'mai-package-'))
const project = path.join(work, 'project')
const problems: string[] = []

/** Runs a program; its output is returned, and shown if it fails. */
function run(program: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    // Node's own error of a program that failed.
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${path.basename(program)} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error })
  }
}

const readJson = <T>(file: string): T => JSON.parse(readFileSync(file, 'utf8')) as T

/** Runs a check; what it throws is a problem, and the next check runs all the same. */
async function check(name: string, work: () => void | Promise<void>): Promise<void> {
  const began = Date.now()
  try {
    await work()
    console.log(`ok      ${name}  ${((Date.now() - began) / 1000).toFixed(1)} s`)
  } catch (error) {
    problems.push(name)
    console.log(`FAILED  ${name}\n${error instanceof Error ? error.message : String(error)}`)
  }
}

function pack(): { readonly tarball: string; readonly packed: Packed } {
  const [packed] = JSON.parse(run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', work], root)) as readonly Packed[]
  if (packed === undefined) throw new Error('npm pack made no tarball.')
  return { tarball: path.join(work, packed.filename), packed }
}

/** Names as people import them: `mai`, `mai/testing`, `mai/plugins/store`. */
function entryPoints(files: Packed['files']): string[] {
  const plugins = files.flatMap(({ path: file }) => /^dist\/(plugins\/[^/]+)\/index\.js$/.exec(file)?.[1] ?? [])
  return ['mai', 'mai/testing', ...plugins.map((plugin) => `mai/${plugin}`)]
}

function checkContents({ files, size }: Packed): void {
  const odd = files
    .map((file) => file.path)
    .filter((file) => !/^(dist\/.+\.(js|d\.ts)|dist\/bundled-licences\.txt|package\.json|README\.md|LICENSE)$/.test(file))
  if (odd.length > 0) throw new Error(`The tarball holds what nobody needs: ${odd.join(', ')}.`)
  if (size > MAX_TARBALL_BYTES) throw new Error(`The tarball takes ${size} bytes, more than ${MAX_TARBALL_BYTES}.`)
}

async function lint(tarball: string): Promise<void> {
  const bytes = new Uint8Array(readFileSync(tarball))
  const { messages, pkg } = await publint({ pack: { tarball: bytes.buffer }, strict: true })
  if (messages.length > 0) throw new Error(messages.map((message) => formatMessage(message, pkg)).join('\n'))
}

function checkTypes(tarball: string, entries: readonly string[]): void {
  const names = entries.map((entry) => entry.replace(/^mai\/?/, '') || '.')
  run('attw', [tarball, '--profile', 'esm-only', '--entrypoints', ...names, '--no-emoji', '--no-color'], root)
}

/** The versions that this repository's lockfile names, so that the install needs no more of the registry than `npm ci` did. */
function install(tarball: string): void {
  const manifest = readJson<Manifest>(path.join(root, 'package.json'))
  const { packages: locked } = readJson<Lockfile>(path.join(root, 'package-lock.json'))
  const dependencies = { mai: `file:${tarball}` }
  const packages: Record<string, unknown> = { '': { name: 'project', dependencies } }
  for (const [name, entry] of Object.entries(locked)) {
    if (name !== '' && !entry.dev && !entry.devOptional && !entry.peer) packages[name] = entry
  }
  const { scripts: _, devDependencies: __, overrides: ___, ...published } = manifest
  packages['node_modules/mai'] = { ...published, resolved: `file:${tarball}` }
  writeFileSync(path.join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module', dependencies }))
  writeFileSync(path.join(project, 'package-lock.json'), JSON.stringify({ name: 'project', lockfileVersion: 3, requires: true, packages }))
  run('npm', ['ci', '--prefer-offline', '--no-audit', '--no-fund'], project)
}

/** Each in a process of its own: an entry must stand alone. */
function importAll(entries: readonly string[]): void {
  for (const entry of entries) {
    const script = `const names = Object.keys(await import('${entry}')); if (names.length === 0) throw new Error('${entry} exports nothing')`
    run(process.execPath, ['--input-type=module', '--eval', script], project)
  }
}

/** Two entries must share one copy of each module, or a symbol or a class of the one is unknown to the other. */
function importTogether(entries: readonly string[]): void {
  const script = `
    const { MaiError, isPlugin } = await import('mai')
    const all = await Promise.all(${JSON.stringify(entries)}.map((entry) => import(entry)))
    const errors = new Set(all.map((exports) => exports.MaiError).filter(Boolean))
    if (!MaiError || errors.size !== 1) throw new Error('MaiError exists ' + errors.size + ' times')`
  run(process.execPath, ['--input-type=module', '--eval', script], project)
}

/** Compiles the third party's plugin with the whole library checked, as the strictest of users do. */
function compile(module: string, moduleResolution: string): void {
  const config = {
    compilerOptions: {
      target: 'ES2023',
      lib: ['ES2023', 'ESNext.Disposable'],
      module,
      moduleResolution,
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [path.join(root, 'node_modules', '@types')],
    },
    files: ['plugin.ts'],
  }
  const file = `tsconfig.${moduleResolution}.json`
  writeFileSync(path.join(project, file), JSON.stringify(config))
  run(process.execPath, [require.resolve('typescript/bin/tsc'), '-p', file], project)
}

function runCommand(): void {
  const mai = path.join(project, 'node_modules', '.bin', 'mai')
  const { version } = readJson<Manifest>(path.join(root, 'package.json'))
  const help = run(mai, ['--help'], project)
  if (!help.includes('mai chat')) throw new Error(`mai --help does not name mai chat:\n${help}`)
  const said = run(mai, ['--version'], project)
  if (!said.includes(version)) throw new Error(`mai --version says ${said.trim()}, package.json ${version}.`)
}

try {
  const { tarball, packed } = pack()
  const entries = entryPoints(packed.files)
  await check(`contents (${packed.files.length} files, ${Math.round(packed.size / 1000)} kB)`, () => checkContents(packed))
  await check('publint', () => lint(tarball))
  await check('attw', () => checkTypes(tarball, entries))
  mkdirSync(project)
  copyFileSync(path.join(root, 'tests', 'package', 'consumer', 'plugin.ts'), path.join(project, 'plugin.ts'))
  await check('install', () => install(tarball))
  await check(`imports (${entries.length})`, () => importAll(entries))
  await check('one copy of each module', () => importTogether(entries))
  await check('a plugin compiles (nodenext)', () => compile('nodenext', 'nodenext'))
  await check('a plugin compiles (bundler)', () => compile('esnext', 'bundler'))
  await check('mai runs', runCommand)
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.exitCode = problems.length > 0 ? 1 : 0
