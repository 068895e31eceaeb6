/**
 * Finds a living LM Studio on this machine, as the `lms` tool does, and starts it when it is down.
 *
 * @module
 */
import { execFile } from 'node:child_process'
import { access, constants, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { backendError } from '../../chat/failure.ts'
import type { LmStudioSettings } from './options.ts'

const run = promisify(execFile)

/** The usual port, then those that the SDK scans. */
const PORTS: readonly number[] = [1234, 41343, 52993, 16141, 39414, 22931]
/** Limit for `lms` to start the server, in ms. */
const START_LIMIT_MS = 30_000

/** Whether the endpoint is this machine. */
export function isLoopback(baseUrl: string): boolean {
  const { hostname } = new URL(baseUrl)
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/** The address of a LM Studio that answers. Starts it when it may. @throws MaiError `MAI_BACKEND_UNREACHABLE` */
export async function locate(settings: LmStudioSettings, signal: AbortSignal): Promise<string> {
  const { baseUrl, autoStart } = settings
  const tried = baseUrl ? [baseUrl] : await addresses()
  const living = await firstLiving(tried, settings.probeMs, signal)
  if (living) return living
  const local = baseUrl === undefined || isLoopback(baseUrl)
  const lms = local ? await findLms() : undefined
  const started = lms !== undefined && autoStart ? await start(lms, signal) : undefined
  const now = started ? await firstLiving(baseUrl ? tried : await addresses(), settings.probeMs, signal) : undefined
  if (now) return now
  const looked = `no answer at ${tried.map((url) => url.replace('ws://', '')).join(', ')}`
  const how = !local ? '' : lms === undefined ? '; `lms` is not installed' : autoStart ? '; starting it with `lms` did not help' : ''
  throw backendError('MAI_BACKEND_UNREACHABLE', `LM Studio is not running (${looked}${how}).`, {
    cure: lms === undefined && local ? 'Install LM Studio and run `lms server start`.' : 'Run `lms server start`.',
  })
}

/** True when a LM Studio greets at this address. */
export async function greets(baseUrl: string, limitMs: number, signal: AbortSignal): Promise<boolean> {
  try {
    const url = `${baseUrl.replace(/^ws/, 'http')}/lmstudio-greeting`
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(limitMs)]), redirect: 'error' })
    const body: unknown = await response.json()
    return typeof body === 'object' && body !== null && 'lmstudio' in body && body.lmstudio === true
  } catch {
    // Nobody there, or somebody else: either way not LM Studio.
    return false
  }
}

/** Asks all at once; the first in order that greets wins. */
async function firstLiving(urls: readonly string[], limitMs: number, signal: AbortSignal): Promise<string | undefined> {
  const answers = urls.map((url) => greets(url, limitMs, signal))
  for (const [index, answer] of answers.entries()) if (await answer) return urls[index]
  return undefined
}

async function addresses(): Promise<string[]> {
  const written = await portFromFile()
  const ports = written === undefined ? PORTS : [written, ...PORTS.filter((port) => port !== written)]
  return ports.map((port) => `ws://127.0.0.1:${port}`)
}

/** LM Studio writes its port down; its home may have been moved. */
async function portFromFile(): Promise<number | undefined> {
  try {
    const file = path.join(await lmStudioHome(), '.internal', 'http-server.json')
    const written: unknown = JSON.parse(await readFile(file, 'utf8'))
    const port = typeof written === 'object' && written !== null && 'port' in written ? Number(written.port) : Number.NaN
    return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined
  } catch {
    // No such file, or not readable: the usual ports remain.
    return undefined
  }
}

async function lmStudioHome(): Promise<string> {
  try {
    const moved = (await readFile(path.join(homedir(), '.lmstudio-home-pointer'), 'utf8')).trim()
    if (moved !== '') return moved
  } catch {
    // Not moved.
  }
  return path.join(homedir(), '.lmstudio')
}

async function findLms(): Promise<string | undefined> {
  const name = process.platform === 'win32' ? 'lms.exe' : 'lms'
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), path.join(await lmStudioHome(), 'bin')]
  for (const folder of folders.filter((entry) => path.isAbsolute(entry))) {
    const file = path.join(folder, name)
    const found = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (found) return file
  }
  return undefined
}

/** The daemon where this `lms` has one, else the server of the application. @returns whether one of them said yes */
async function start(lms: string, signal: AbortSignal): Promise<boolean> {
  for (const args of [
    ['daemon', 'up', '--json'],
    ['server', 'start'],
  ]) {
    const said = await run(lms, args, { signal, timeout: START_LIMIT_MS, windowsHide: true }).then(
      () => true,
      () => false,
    )
    if (said) return true
  }
  return false
}
