/**
 * The one session with LM Studio: opened when first needed, replaced when it is lost.
 *
 * @module
 */
import { joined } from '../../chat/joined-signal.ts'
import { isMaiError, type MaiError, toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import { bounded } from './deadline.ts'
import { classify, type Doing } from './errors.ts'
import { greeting } from './greeting.ts'
import { type Machine, thisMachine } from './home.ts'
import { Locator } from './locate.ts'
import type { LmStudioSettings } from './options.ts'
import { Session } from './session.ts'

/** How long a failure to connect is remembered, in ms: every caller would wait for the same. */
const REMEMBER_FAILURE_MS = 200
/** How long closing waits for calls that are being broken off, in ms. */
const SETTLE_MS = 1500

/** Connects, and connects again after a loss. */
export class Connection {
  readonly #ctx: PluginContext
  readonly #settings: LmStudioSettings
  readonly #locator: Locator
  readonly #secrets: readonly string[]
  readonly #running: Set<Promise<unknown>> = new Set()
  readonly #retired: Set<Promise<void>> = new Set()
  readonly #retiring: Set<Session> = new Set()
  #session: Session | undefined
  #connecting: Promise<Session> | undefined
  #failure: { readonly error: unknown; readonly at: number } | undefined

  constructor(ctx: PluginContext, settings: LmStudioSettings, machine: Machine = thisMachine()) {
    this.#ctx = ctx
    this.#settings = settings
    this.#locator = new Locator(settings, machine)
    this.#secrets = [settings.clientPasskey ?? ''].filter((secret) => secret !== '')
    ctx.onDispose(() => this.#close(), 'LM Studio client')
  }

  /**
   * Runs work with a session. Its errors become `MaiError`s, and those that say so end the session.
   * @param signal handed on, joined with the end of the plugin
   * @throws MaiError; the signal's reason when it aborts
   */
  run<T>(doing: Doing, signal: AbortSignal, work: (session: Session, signal: AbortSignal) => Promise<T>): Promise<T> {
    const running = this.#run(doing, signal, work)
    this.#running.add(running)
    running.catch(() => {}).finally(() => this.#running.delete(running))
    return running
  }

  async #run<T>(doing: Doing, outer: AbortSignal, work: (session: Session, signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, end } = joined(outer, this.#ctx.signal)
    let session: Session | undefined
    try {
      signal.throwIfAborted()
      session = await this.#open(signal)
      const result = await work(session, signal)
      this.#prove(session)
      return result
    } catch (error) {
      if (signal.aborted && error === signal.reason) throw error
      const known = classify(error, doing, this.#secrets)
      if (session) this.#judge(session, known)
      throw known
    } finally {
      end()
    }
  }

  async #open(signal: AbortSignal): Promise<Session> {
    if (this.#session && !this.#session.doubted) return this.#session
    if (this.#failure && performance.now() - this.#failure.at < REMEMBER_FAILURE_MS) throw this.#failure.error
    // For all who wait: one that leaves does not take the others along.
    this.#connecting ??= this.#connect(this.#ctx.signal).finally(() => {
      this.#connecting = undefined
    })
    const { startMs, probeMs } = this.#settings
    return bounded(this.#connecting, 'answer', startMs + 10 * probeMs, signal)
  }

  async #connect(signal: AbortSignal): Promise<Session> {
    try {
      const known = this.#session
      if (known && (await greeting(known.baseUrl, this.#settings.probeMs, signal)) === 'lmstudio') {
        known.doubted = false
        return known
      }
      if (known) this.#retire(known)
      const baseUrl = await this.#locator.locate(signal)
      const session = await Session.open(baseUrl, this.#settings)
      signal.throwIfAborted()
      this.#session = session
      this.#failure = undefined
      return session
    } catch (error) {
      this.#failure = { error, at: performance.now() }
      throw error
    }
  }

  #prove(session: Session): void {
    if (session.proven || this.#ctx.signal.aborted) return
    session.proven = true
    this.#ctx.emit('backend.connected', { backend: 'lmstudio', endpoint: session.baseUrl })
  }

  #judge(session: Session, error: MaiError): void {
    if (session !== this.#session) return
    switch (error.code) {
      case 'MAI_BACKEND_UNREACHABLE':
      case 'MAI_BACKEND_LOST':
      case 'MAI_AUTH_REFUSED':
        // A client that was refused keeps what it could not send, and would send it after the next connect.
        this.#retire(session)
        break
      case 'MAI_BACKEND_TIMEOUT':
      case 'MAI_LOAD_TIMEOUT':
        // Perhaps only this call hangs, and others go on.
        session.doubted = true
        break
      default:
        return
    }
    if (!this.#ctx.signal.aborted) this.#ctx.emit('backend.lost', { backend: 'lmstudio', error: toErrorFact(error) })
  }

  /** Lets the session end with its last call: other answers may still stream on it. */
  #retire(session: Session): void {
    if (this.#session === session) this.#session = undefined
    this.#retiring.add(session)
    const ended = session.close(this.#settings.answerIdleMs).finally(() => {
      this.#retired.delete(ended)
      this.#retiring.delete(session)
    })
    this.#retired.add(ended)
  }

  async #close(): Promise<void> {
    // The plugin's signal has broken everything off: cancels go out before the client does.
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SETTLE_MS)
    })
    await Promise.race([Promise.allSettled([...this.#running, this.#connecting]), late])
    clearTimeout(timer)
    const session = this.#session
    this.#session = undefined
    await Promise.all([session, ...this.#retiring].map((each) => each?.close()))
    await Promise.all(this.#retired)
  }
}

/** True for a load or unload of something that is not there any more. */
export function isGone(error: unknown): boolean {
  return isMaiError(error) && (error.code === 'MAI_MODEL_UNLOADED' || error.code === 'MAI_MODEL_NOT_FOUND')
}
