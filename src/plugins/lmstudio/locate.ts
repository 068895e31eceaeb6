/**
 * Finds a living LM Studio, and starts the one of this machine when it is down.
 *
 * @module
 */
import { backendError } from '../../chat/failure.ts'
import { isLoopback, localAddresses, shown } from './address.ts'
import { type Greeting, greeting } from './greeting.ts'
import { findLms, type Machine, writtenPort } from './home.ts'
import type { LmStudioSettings } from './options.ts'
import { startLmStudio } from './start.ts'

/** How long a start that failed is not tried again, in ms. */
const START_PAUSE_MS = 60_000

/** What was found at each address, in order of preference. */
type Findings = ReadonlyMap<string, Greeting>

/** Finds LM Studio, again and again over its life. */
export class Locator {
  readonly #settings: LmStudioSettings
  readonly #machine: Machine
  #startFailedAt: number | undefined

  constructor(settings: LmStudioSettings, machine: Machine) {
    this.#settings = settings
    this.#machine = machine
  }

  /** The address of a LM Studio that answers. Starts it when it may. @throws MaiError `MAI_BACKEND_UNREACHABLE` */
  async locate(signal: AbortSignal): Promise<string> {
    const findings = await this.#look(signal)
    const living = first(findings, 'lmstudio')
    if (living !== undefined) {
      this.#startFailedAt = undefined
      return living
    }
    if (!this.#isHere) throw unreachable(findings, 'it is on another machine', 'Start it there, or correct baseUrl in mai.config.ts.')
    const lms = await findLms(this.#machine)
    if (lms === undefined) throw unreachable(findings, 'and `lms` is not installed', 'Install LM Studio and run `lms server start`.')
    if (!this.#settings.autoStart) throw unreachable(findings, 'and autoStart is off', 'Run `lms server start`.')
    const failedAgo = performance.now() - (this.#startFailedAt ?? Number.NEGATIVE_INFINITY)
    if (failedAgo < START_PAUSE_MS) throw unreachable(findings, 'and starting it failed a moment ago', 'Run `lms server start`.')
    const look = async (): Promise<string | undefined> => first(await this.#look(signal), 'lmstudio')
    const started = await startLmStudio(lms, look, this.#settings.startMs, signal)
    if ('baseUrl' in started) return started.baseUrl
    // A start that we broke off says nothing about the next.
    signal.throwIfAborted()
    this.#startFailedAt = performance.now()
    throw unreachable(findings, `and starting it failed: ${started.tried.join('; ')}`, 'Run `lms server start` to see why.')
  }

  get #isHere(): boolean {
    const { baseUrl } = this.#settings
    return baseUrl === undefined || isLoopback(baseUrl)
  }

  /** Asks all addresses at once. */
  async #look(signal: AbortSignal): Promise<Findings> {
    const { baseUrl, probeMs } = this.#settings
    const urls = baseUrl === undefined ? localAddresses(await writtenPort(this.#machine), this.#machine.ports) : [baseUrl]
    return new Map(await Promise.all(urls.map(async (url) => [url, await greeting(url, probeMs, signal)] as const)))
  }
}

function first(findings: Findings, wanted: Greeting): string | undefined {
  return [...findings].find(([, found]) => found === wanted)?.[0]
}

function unreachable(findings: Findings, why: string, cure: string): Error {
  const of = (wanted: Greeting): string[] => [...findings].filter(([, found]) => found === wanted).map(([url]) => shown(url))
  const told = [
    ['nobody answers at', of('nobody')],
    ['no answer in time from', of('silent')],
    ['another program answers at', of('stranger')],
  ].flatMap(([what, where]) => (where?.length ? [`${what} ${Array.isArray(where) ? where.join(', ') : where}`] : []))
  return backendError('MAI_BACKEND_UNREACHABLE', `LM Studio was not found: ${told.join('; ')}; ${why}.`, { cure })
}
