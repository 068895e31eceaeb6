/**
 * One server: its requests with their key, what it is known to take, and its rest after a failure.
 *
 * @module
 */
import type { PieceSink } from '../../chat/backend.ts'
import { backendError } from '../../chat/failure.ts'
import { isMaiError, type MaiError } from '../../core/errors.ts'
import { besideV1, isLoopback, shown } from './address.ts'
import type { Ended } from './answer.ts'
import { readRefusal, refusalError, thrownError } from './errors.ts'
import { Http, type HttpResponse, readText } from './http.ts'
import type { WireMessage } from './messages.ts'
import { dialectOf, type OfferedModel, offered, windowInProps, withConfigured } from './models.ts'
import type { Dialect, EndpointSettings, OpenAiCompatibleSettings } from './options.ts'
import { type Asked, chatBody, NO_QUIRKS, type Quirks, quirksAfter } from './request.ts'

/** Longest JSON that is read, in bytes. */
const LONGEST_BODY = 16 * 1024 * 1024
/** Fields that a server may refuse in one request before it is given up. */
const MOST_QUIRKS = 4
/** Whether anybody listens after a line broke is heard at once on this machine, in ms. */
const PROBE_MS = 300

/** Failures that say nothing about the endpoint: another one would refuse the same. */
const OF_THE_REQUEST: ReadonlySet<string> = new Set(['MAI_REQUEST_INVALID', 'MAI_CONTENT_FILTERED', 'MAI_CONTEXT_OVERFLOW'])

/** What to answer, in this server's words. */
export interface ChatOrder extends Asked {
  readonly model: string
  readonly messages: readonly WireMessage[]
  /** Further fields of the server's own. */
  readonly extra?: Readonly<Record<string, unknown>>
  /** Whether it begins anew, and may think first. */
  readonly mayThink: boolean
  readonly signal: AbortSignal
}

/** Talks to one server. Never retries, but for fields that the server refuses. */
export class Endpoint {
  readonly settings: EndpointSettings
  readonly remote: boolean
  /** For people: `host:port/v1`. */
  readonly where: string
  /** Models by id, as last seen or configured. */
  models: ReadonlyMap<string, OfferedModel>
  readonly #limits: OpenAiCompatibleSettings
  readonly #http: Http
  readonly #env: Readonly<Record<string, string | undefined>>
  readonly #now: () => number
  #dialect: Dialect | undefined
  #quirks: Quirks = NO_QUIRKS
  #restsUntil = 0
  /** The line broke: the server may be gone, which is quick to find out, and starting again. */
  #lost = false
  /** Windows that turned out to be smaller than told, in tokens. */
  readonly #learned: Map<string, number> = new Map()
  /** Whether a partial answer at the end is taken up, by model; absent: not yet known. */
  readonly #prefills: Map<string, boolean> = new Map()

  constructor(
    settings: EndpointSettings,
    limits: OpenAiCompatibleSettings,
    env: Readonly<Record<string, string | undefined>>,
    now: () => number,
  ) {
    this.settings = settings
    this.remote = !isLoopback(settings.baseUrl)
    this.where = shown(settings.baseUrl)
    this.models = new Map(withConfigured([], settings.models ?? []).map((model) => [model.id, model]))
    this.#limits = limits
    this.#http = new Http(limits.connectMs, this.remote)
    this.#env = env
    this.#now = now
  }

  get dialect(): Dialect {
    return this.settings.dialect ?? this.#dialect ?? 'openai'
  }

  /** Whether it failed so lately that others go before it. */
  get resting(): boolean {
    return this.#now() < this.#restsUntil
  }

  get restsUntil(): number {
    return this.#restsUntil
  }

  /** Whether it may be used without being asked for. */
  get automatic(): boolean {
    return !this.remote || this.settings.allowRemote
  }

  /** Window of a model, in tokens. */
  contextLength(id: string): number {
    const told = this.models.get(id)?.contextLength ?? this.#limits.contextLength ?? (this.dialect === 'ollama' ? 4096 : 8192)
    return Math.min(told, this.#learned.get(id) ?? Infinity)
  }

  prefills(id: string): boolean | undefined {
    const { prefill } = this.settings
    if (prefill !== 'probe') return prefill && this.#prefills.get(id) !== false
    return this.#prefills.get(id) ?? (this.dialect === 'vllm' || this.dialect === 'llama.cpp' ? true : undefined)
  }

  learnPrefill(id: string, does: boolean): void {
    this.#prefills.set(id, does)
  }

  succeeded(): void {
    this.#restsUntil = 0
    this.#lost = false
  }

  /** Notes a failure of an answer. */
  failed(id: string, error: unknown): void {
    const code = isMaiError(error) ? error.code : 'MAI_BACKEND_ERROR'
    const { contextLength, retryAfterMs } = isMaiError(error) ? { ...error.details } : {}
    if (code === 'MAI_CONTEXT_OVERFLOW' && typeof contextLength === 'number') this.#learned.set(id, contextLength)
    if (OF_THE_REQUEST.has(code)) return
    this.#lost = code === 'MAI_BACKEND_LOST'
    this.#restsUntil = this.#now() + Math.max(this.#limits.restMs, typeof retryAfterMs === 'number' ? retryAfterMs : 0)
  }

  /** Asks for the models; one that rests is not asked, unless its line broke. @throws MaiError where it has none that are known, or is gone */
  async refresh(signal: AbortSignal): Promise<void> {
    if (this.resting && this.models.size > 0 && !this.#lost) return
    const { models: configured } = this.settings
    try {
      const list = await this.#getJson(`${this.settings.baseUrl}/models`, signal)
      this.#dialect = dialectOf(list)
      const listed = this.dialect === 'llama.cpp' ? await this.#withRealWindow(offered(list), signal) : offered(list)
      this.models = new Map(withConfigured(listed, configured).map((model) => [model.id, model]))
    } catch (error) {
      signal.throwIfAborted()
      const gone = this.#lost && isMaiError(error) && error.code === 'MAI_BACKEND_UNREACHABLE'
      // While it is gone, who needs it waits for it; one that is slow or refuses is there.
      if (!gone && this.#lost && this.models.size > 0) return
      // What was configured stands, whatever the server says.
      if (configured !== undefined) {
        if (gone) throw error
        return
      }
      this.models = new Map()
      if (isMaiError(error) && error.code === 'MAI_MODEL_NOT_FOUND')
        throw backendError('MAI_MODEL_NOT_FOUND', `${this.where} does not list its models.`, {
          cure: "Check baseUrl, which mostly ends in /v1, or name them: endpoints: [{ baseUrl, models: ['…'] }].",
        })
      throw error
    }
  }

  /** One answer. @throws MaiError; the signal's reason */
  async chat(order: ChatOrder, sink: PieceSink): Promise<Ended> {
    const { signal, mayThink } = order
    // Before the request: what comes while nobody listens may be lost.
    const { readAnswer } = await import('./answer.ts')
    const response = await this.#open(order)
    const { where } = this
    return readAnswer({ where, body: response.body, sink, mayThink, idleMs: this.#limits.answerIdleMs, secrets: this.#secrets(), signal })
  }

  /** A call beside the protocol, for servers that have it. @throws MaiError */
  async post(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const response = await this.#send(besideV1(this.settings.baseUrl, path), 'POST', JSON.stringify(body), signal)
    return this.#json(response)
  }

  close(): Promise<void> {
    return this.#http.close()
  }

  async #open({ model, messages, signal, extra, mayThink: _, ...asked }: ChatOrder): Promise<HttpResponse> {
    for (let refused = 0; ; refused++) {
      const body = { ...chatBody(model, messages, asked, this.dialect, this.#quirks), ...extra }
      const response = await this.#send(`${this.settings.baseUrl}/chat/completions`, 'POST', JSON.stringify(body), signal)
      if (response.status >= 200 && response.status < 300) return response
      const error = await this.#refusal(response)
      const next =
        error.code === 'MAI_REQUEST_INVALID' && refused < MOST_QUIRKS ? quirksAfter(error.problem, body, this.#quirks) : undefined
      if (!next) throw error
      this.#quirks = next
    }
  }

  async #withRealWindow(models: readonly OfferedModel[], signal: AbortSignal): Promise<OfferedModel[]> {
    const real = await this.#getJson(besideV1(this.settings.baseUrl, '/props'), signal).then(windowInProps, () => undefined)
    return models.map((model) => ({ ...model, contextLength: real ?? model.contextLength }))
  }

  async #getJson(url: string, signal: AbortSignal): Promise<unknown> {
    // Where the models are known, nobody waits long for what the server says of them.
    const enoughMs = this.#lost && this.models.size > 0 ? PROBE_MS : this.settings.models ? 1000 : Infinity
    const limitMs = Math.min(enoughMs, this.#limits.listMs)
    await this.#http.ready()
    const late = AbortSignal.timeout(limitMs)
    try {
      return await this.#json(await this.#send(url, 'GET', undefined, AbortSignal.any([signal, late])))
    } catch (error) {
      if (!late.aborted || signal.aborted) throw error
      throw backendError('MAI_BACKEND_TIMEOUT', `${this.where} did not list its models within ${limitMs / 1000} s.`)
    }
  }

  async #json(response: HttpResponse): Promise<unknown> {
    if (response.status < 200 || response.status >= 300) throw await this.#refusal(response)
    try {
      return JSON.parse(await readText(response.body, LONGEST_BODY))
    } catch {
      throw backendError('MAI_BACKEND_ERROR', `${this.where} answered with something that is not JSON.`, {
        cure: 'Check baseUrl: most servers want /v1 at its end.',
      })
    }
  }

  async #refusal(response: HttpResponse): Promise<MaiError> {
    const text = await readText(response.body)
    return refusalError(this.where, readRefusal(response.status, response.headers, text, this.#now()), this.#secrets())
  }

  /** @throws MaiError; the signal's reason */
  async #send(url: string, method: 'GET' | 'POST', body: string | undefined, signal: AbortSignal): Promise<HttpResponse> {
    const headers = {
      accept: 'application/json, text/event-stream',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...this.#authorization(),
    }
    try {
      return await this.#http.send(url, { method, headers, signal, ...(body === undefined ? {} : { body }) })
    } catch (error) {
      signal.throwIfAborted()
      throw thrownError(this.where, error, this.#secrets())
    }
  }

  /** The key goes to this endpoint's own address only: requests are built from it, and no redirect is followed. */
  #authorization(): Readonly<Record<string, string>> {
    const { apiKeyEnv } = this.settings
    if (apiKeyEnv === undefined) return {}
    const key = this.#env[apiKeyEnv]?.trim()
    if (!key)
      throw backendError('MAI_AUTH_REFUSED', `${this.where} needs a key, and ${apiKeyEnv} is not set.`, {
        cure: `Set ${apiKeyEnv} in the environment.`,
      })
    return { authorization: `Bearer ${key}` }
  }

  #secrets(): string[] {
    const key = this.settings.apiKeyEnv === undefined ? undefined : this.#env[this.settings.apiKeyEnv]?.trim()
    return key ? [key] : []
  }
}
