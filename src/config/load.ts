/**
 * Finds and loads a configuration file. cosmiconfig finds, jiti runs TypeScript; neither is imported without need.
 *
 * @module
 */
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { configErrors } from './errors.ts'
import { issuesOf, type MaiConfig } from './schema.ts'

const NAMES: readonly string[] = ['mai.config.ts', 'mai.config.mts', 'mai.config.mjs', 'mai.config.js']

/** A configuration and where it came from. */
export interface LoadedConfig {
  readonly config: MaiConfig
  /** Undefined: no file, the default set runs. */
  readonly file: string | undefined
}

/** Where to look. */
export interface ConfigPlace {
  /** As given with `--config`. */
  readonly file?: string | undefined
  /** Default: the present folder. */
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

/** @throws MaiError `MAI_CONFIG_*`, one for each way of being broken */
export async function loadConfig({ file, cwd = process.cwd(), env = process.env }: ConfigPlace = {}): Promise<LoadedConfig> {
  if (file !== undefined) {
    const given = path.resolve(cwd, file)
    if (!existsSync(given)) throw configErrors.missing(given)
    return { config: await read(given), file: given }
  }
  if (env.MAI_NO_PROJECT_CONFIG === '1' || !anyAbove(cwd)) return { config: {}, file: undefined }
  const { cosmiconfig } = await import('cosmiconfig')
  const loader = async (found: string): Promise<unknown> => read(found)
  const loaders = { '.ts': loader, '.mts': loader, '.mjs': loader, '.js': loader }
  const found = await cosmiconfig('mai', { searchPlaces: [...NAMES], searchStrategy: 'project', loaders }).search(cwd)
  return found ? { config: found.config as MaiConfig, file: found.filepath } : { config: {}, file: undefined }
}

/** A cheap look upwards first: most runs have no file, and then need no cosmiconfig. */
function anyAbove(cwd: string): boolean {
  for (let folder = path.resolve(cwd); ; folder = path.dirname(folder)) {
    if (NAMES.some((name) => existsSync(path.join(folder, name)))) return true
    if (folder === path.dirname(folder)) return false
  }
}

/** Runs a file that this user wrote, TypeScript too. @throws MaiError `MAI_CONFIG_UNTRUSTED`, `MAI_CONFIG_BROKEN` */
export async function importTrusted(file: string, ofDefault: boolean): Promise<unknown> {
  checkTrust(file)
  const { createJiti } = await import('jiti')
  try {
    return await createJiti(import.meta.url, { alias: ownEntries() }).import(file, ofDefault ? { default: true } : {})
  } catch (error) {
    throw configErrors.broken(file, error)
  }
}

async function read(file: string): Promise<MaiConfig> {
  const value = await importTrusted(file, true)
  if (typeof value !== 'object' || value === null || (Object.keys(value).length === 0 && !isPlainConfig(value)))
    throw configErrors.noExport(file)
  const issues = issuesOf(value)
  if (issues.length > 0) throw configErrors.invalid(file, issues)
  return value
}

/** jiti gives the module itself when there is no default export. */
function isPlainConfig(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype
}

/** @throws MaiError `MAI_CONFIG_UNTRUSTED` for a file of another user, or one that all may write */
function checkTrust(file: string): void {
  if (process.platform === 'win32' || !process.getuid) return
  const { uid, mode } = statSync(file)
  if (uid !== process.getuid() && uid !== 0) throw configErrors.untrusted(file, 'belongs to another user')
  if ((mode & 0o002) !== 0) throw configErrors.untrusted(file, 'may be written by everybody')
}

/** `mai` in a configuration means the copy that is running, not one that the project may hold. */
function ownEntries(): Record<string, string> {
  const here = fileURLToPath(import.meta.url)
  const extension = path.extname(here)
  // In the repository this file is src/config/load.ts; built, it is somewhere in dist.
  const root = extension === '.ts' ? path.resolve(here, '../..') : here.slice(0, here.lastIndexOf(`${path.sep}dist${path.sep}`) + 5)
  const entry = (name: string): string => path.join(root, `${name}${extension}`)
  const plugins = [
    'compression',
    'ledger',
    'llamacpp',
    'lmstudio',
    'logging',
    'openai-compatible',
    'resources',
    'store',
    'struggle',
    'switching',
  ]
  const inner = plugins.map((name) => [`mai/plugins/${name}`, entry(`plugins/${name}/index`)] as const)
  return Object.fromEntries([...inner, ['mai/testing', entry('testing/index')], ['mai', entry('index')]])
}
