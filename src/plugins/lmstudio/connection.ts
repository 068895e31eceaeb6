/**
 * The one client: made when first needed, only for an address that answers, kept until it is lost.
 *
 * @module
 */
import type { LMStudioClient } from '@lmstudio/sdk'
import { isMaiError, toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import { greets, locate } from './locate.ts'
import type { LmStudioSettings } from './options.ts'

/** How long a failure to connect is remembered, in ms: every caller would wait for the same. */
const REMEMBER_FAILURE_MS = 200

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** Connects, and connects again after a loss. */
export class Connection {
  readonly #ctx: PluginContext
  readonly #settings: LmStudioSettings
  #client: LMStudioClient | undefined
  #baseUrl: string | undefined
  #doubted = false
  #connecting: Promise<LMStudioClient> | undefined
  #failure: { readonly error: unknown; readonly at: number } | undefined

  constructor(ctx: PluginContext, settings: LmStudioSettings) {
    this.#ctx = ctx
    this.#settings = settings
    ctx.onDispose(() => this.#drop(), 'LM Studio client')
  }

  /** A client whose server answered. @throws MaiError `MAI_BACKEND_UNREACHABLE` */
  client(signal: AbortSignal): Promise<LMStudioClient> {
    if (this.#client && !this.#doubted) return Promise.resolve(this.#client)
    const { at, error } = this.#failure ?? {}
    if (at !== undefined && performance.now() - at < REMEMBER_FAILURE_MS) return Promise.reject(error)
    this.#connecting ??= this.#connect(signal).finally(() => {
      this.#connecting = undefined
    })
    return this.#connecting
  }

  /** The next call probes first: this error may mean that the server is gone. */
  doubt(error: unknown): void {
    if (!isMaiError(error) || !/UNREACHABLE|LOST|TIMEOUT/.test(error.code)) return
    if (!this.#doubted) this.#ctx.emit('backend.lost', { backend: 'lmstudio', error: toErrorFact(error) })
    this.#doubted = true
  }

  async #connect(signal: AbortSignal): Promise<LMStudioClient> {
    try {
      const known = this.#baseUrl
      if (this.#client && known && (await greets(known, this.#settings.probeMs, signal))) {
        // The SDK reconnects by itself: the old client serves again.
        this.#doubted = false
        return this.#client
      }
      await this.#drop()
      const baseUrl = await locate(this.#settings, signal)
      const { clientIdentifier, clientPasskey } = this.#settings
      const { LMStudioClient: Client } = await import('@lmstudio/sdk')
      const client = new Client({
        baseUrl,
        logger: silent,
        verboseErrorMessages: false,
        ...(clientIdentifier === undefined ? {} : { clientIdentifier }),
        ...(clientPasskey === undefined ? {} : { clientPasskey }),
      })
      this.#client = client
      this.#baseUrl = baseUrl
      this.#doubted = false
      this.#failure = undefined
      this.#ctx.emit('backend.connected', { backend: 'lmstudio', endpoint: baseUrl })
      return client
    } catch (error) {
      this.#failure = { error, at: performance.now() }
      throw error
    }
  }

  async #drop(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    // A client whose server is gone may fail to say goodbye; nothing hangs on it.
    await client?.[Symbol.asyncDispose]().catch(() => {})
  }
}
