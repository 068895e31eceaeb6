/**
 * What LM Studio left on this machine: its home, the port it wrote down, and its command `lms`.
 *
 * @module
 */
import { access, constants, readFile, realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { PORTS, portIn } from './address.ts'

/** Where to look; a test gives its own. */
export interface Machine {
  readonly home: string
  /** The search path of commands. */
  readonly path: string
  /** Ports to try after the one that is written down. */
  readonly ports: readonly number[]
}

/** This machine, as its user sees it. */
export function thisMachine(): Machine {
  return { home: homedir(), path: process.env.PATH ?? '', ports: PORTS }
}

/** The folder of LM Studio: where the pointer file says, if that is there. */
export async function lmStudioHome({ home }: Machine): Promise<string> {
  const moved = (await textOf(path.join(home, '.lmstudio-home-pointer')))?.trim()
  const usable = moved !== undefined && path.isAbsolute(moved) && (await isFolder(moved))
  return usable ? moved : path.join(home, '.lmstudio')
}

/** The port that LM Studio wrote down when its server last started. */
export async function writtenPort(machine: Machine): Promise<number | undefined> {
  const text = await textOf(path.join(await lmStudioHome(machine), '.internal', 'http-server.json'))
  return text === undefined ? undefined : portIn(text)
}

/**
 * The real path of a model's file, by which two backends that see it know that it is one.
 * @param listed as LM Studio lists it: below its folder of models
 */
export async function modelFile(machine: Machine, listed: string): Promise<string | undefined> {
  const home = await lmStudioHome(machine)
  const chosen = downloadsFolderIn((await textOf(path.join(home, 'settings.json'))) ?? '')
  for (const folder of [chosen ?? path.join(home, 'models'), path.join(home, 'hub', 'models')]) {
    const file = await realpath(path.resolve(folder, listed)).catch(() => undefined)
    if (file !== undefined && (await isFile(file))) return file
  }
  return undefined
}

function downloadsFolderIn(text: string): string | undefined {
  try {
    const settings: unknown = JSON.parse(text)
    const folder = typeof settings === 'object' && settings !== null && 'downloadsFolder' in settings ? settings.downloadsFolder : undefined
    return typeof folder === 'string' && path.isAbsolute(folder) ? folder : undefined
  } catch {
    // No settings, or not as we know them: the usual folder remains.
    return undefined
  }
}

/** The command `lms`: on the search path, or in LM Studio's own folder. */
export async function findLms(machine: Machine): Promise<string | undefined> {
  const name = process.platform === 'win32' ? 'lms.exe' : 'lms'
  // A relative entry means another command in each folder: not one to start by itself.
  const folders = machine.path.split(path.delimiter).filter((folder) => path.isAbsolute(folder))
  for (const folder of [...folders, path.join(await lmStudioHome(machine), 'bin')]) {
    const file = path.join(folder, name)
    if (await isProgram(file)) return file
  }
  return undefined
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch {
    // Not there, or not ours to read.
    return undefined
  }
}

async function isFolder(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  )
}

async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile(),
    () => false,
  )
}

async function isProgram(file: string): Promise<boolean> {
  const may = access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
  return (await may) && isFile(file)
}
