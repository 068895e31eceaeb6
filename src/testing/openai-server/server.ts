/**
 * A stand-in for any OpenAI-compatible server: true HTTP and server-sent events, scripted answers, faults on demand.
 *
 * @module
 */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type OpenAiFault, OpenAiFaults } from './faults.ts'
import { filtered, invalid, overflow, refusalOf, type WireRefusal } from './refusals.ts'
import { readRequest, type StandInRequest } from './request.ts'
import { AnswerWriter } from './writer.ts'

/** A model of the stand-in. */
export interface OpenAiServerModel {
  readonly id: string
  /** The whole answer to the last user message. */
  readonly answer: string | ((question: string, request: StandInRequest) => string)
  /** What it thinks before it answers. */
  readonly reasoning?: string
  /** A call that it makes instead of answering, when it is given tools. */
  readonly toolCall?: { readonly name: string; readonly arguments: string }
  /** Window in tokens (words here): longer prompts are refused. Default 8,192. */
  readonly contextLength?: number
  /** Further fields of its row in `/v1/models`, such as `max_model_len`. */
  readonly listed?: Readonly<Record<string, unknown>>
}

/** How the server is made. */
export interface OpenAiServerOptions {
  readonly models: readonly OpenAiServerModel[]
  /** Default 0: any free port. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  readonly faults?: readonly OpenAiFault[]
  /** Clients must show it as `Bearer`; without it anybody is let in. */
  readonly apiKey?: string
  /** What it does with an assistant message that stands last: goes on, refuses, fails in its template, or begins a new answer. Default `continue`. */
  readonly prefill?: 'continue' | 'refuse' | 'fail' | 'ignore'
  /** Fields that it refuses as unknown. */
  readonly refusedFields?: readonly string[]
  /** Who owns its models; default `stand-in`. */
  readonly ownedBy?: string
  /** Whether `/v1/models` is there. Default true. */
  readonly lists?: boolean
  /** Ms between pieces. Default 0. */
  readonly everyMs?: number
}

/** One request that came. */
export interface LoggedRequest {
  /** Epoch ms. */
  readonly time: number
  readonly method: string
  readonly path: string
  readonly headers: Readonly<http.IncomingHttpHeaders>
  /** Undefined where the body is no request for an answer. */
  readonly request: StandInRequest | undefined
}

/** The running server. */
export interface OpenAiServer {
  /** `http://127.0.0.1:PORT/v1` */
  readonly baseUrl: string
  readonly port: number
  readonly faults: OpenAiFaults
  /** Every request so far. */
  readonly log: readonly LoggedRequest[]
  /** Those that asked for an answer. */
  readonly answers: readonly LoggedRequest[]
  /** Dies as a killed process: connections break, and nobody listens. */
  kill(): Promise<void>
  /** Listens again on the same port; kills first when it still runs. */
  restart(): Promise<void>
  close(): Promise<void>
}

/**
 * Starts the server.
 *
 * @example
 * const server = await startOpenAiServer({ models: [{ id: 'small', answer: 'Hello there.' }] })
 * server.faults.add({ kind: 'cut', afterPieces: 1 })
 * // … openaiCompatible({ endpoints: [{ baseUrl: server.baseUrl }] })
 * await server.close()
 */
export async function startOpenAiServer(options: OpenAiServerOptions): Promise<OpenAiServer> {
  const server = new StandIn(options)
  await server.listen(options.port ?? 0)
  return server
}

class StandIn implements OpenAiServer {
  readonly faults: OpenAiFaults
  readonly log: LoggedRequest[] = []
  readonly #options: OpenAiServerOptions
  readonly #http: http.Server
  readonly #closing: AbortController = new AbortController()
  #port = 0
  #comeback: NodeJS.Timeout | undefined
  /** The comeback that is under way. */
  #restarted: Promise<void> | undefined

  constructor(options: OpenAiServerOptions) {
    this.#options = options
    this.faults = new OpenAiFaults(options.faults)
    this.#http = http.createServer((request, response) => {
      // A client that leaves in the middle is no failure of the server.
      this.#serve(request, response).catch(() => response.destroy())
    })
  }

  get port(): number {
    return this.#port
  }

  get baseUrl(): string {
    return `http://${this.#options.host ?? '127.0.0.1'}:${this.#port}/v1`
  }

  get answers(): readonly LoggedRequest[] {
    return this.log.filter(({ path }) => path === '/v1/chat/completions')
  }

  async listen(port: number): Promise<void> {
    this.#http.listen(port, this.#options.host ?? '127.0.0.1')
    await once(this.#http, 'listening')
    // A TCP server's address is never a string (a pipe's is) nor null while it listens.
    this.#port = (this.#http.address() as AddressInfo).port
  }

  async kill(): Promise<void> {
    clearTimeout(this.#comeback)
    if (!this.#http.listening) return
    const closed = once(this.#http, 'close')
    this.#http.close()
    this.#http.closeAllConnections()
    await closed
  }

  async restart(): Promise<void> {
    await this.kill()
    if (this.#closing.signal.aborted) return
    await this.listen(this.#port)
    // It may have been closed meanwhile.
    if (this.#closing.signal.aborted) await this.kill()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#comeback)
    await this.#restarted
    await this.kill()
  }

  #die(restartAfterMs: number | undefined): void {
    const dead = this.kill()
    if (restartAfterMs === undefined) return
    this.#comeback = setTimeout(() => {
      // Somebody else may have the port by now: it stays dead then.
      this.#restarted = dead.then(() => this.restart()).catch(() => {})
    }, restartAfterMs)
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    const text = await bodyOf(request)
    const read = path === '/v1/chat/completions' ? readRequest(text) : undefined
    const asked = read && 'messages' in read ? read : undefined
    this.log.push({ time: Date.now(), method: request.method ?? '', path, headers: request.headers, request: asked })
    const { apiKey } = this.#options
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`) return refuse(response, refusalOf(401))
    if (path === '/v1/models' && this.#options.lists !== false) return json(response, 200, this.#list())
    if (!read)
      return refuse(response, refusalOf(404, { message: `Invalid URL (${request.method} ${path})`, type: 'invalid_request_error' }))
    if ('status' in read) return refuse(response, read)
    await this.#answer(read, response)
  }

  #list(): unknown {
    const created = Math.floor(Date.now() / 1000)
    const row = { object: 'model', created, owned_by: this.#options.ownedBy ?? 'stand-in' }
    return { object: 'list', data: this.#options.models.map(({ id, listed }) => ({ id, ...row, ...listed })) }
  }

  async #answer(request: StandInRequest, response: http.ServerResponse): Promise<void> {
    const model = this.#options.models.find(({ id }) => id === request.model)
    if (!model) return refuse(response, refusalOf(404))
    const field = this.#options.refusedFields?.find((name) => name in request.body)
    if (field !== undefined) return refuse(response, invalid(`Unrecognized request argument supplied: ${field}`, field))
    const last = request.messages.at(-1)
    const partial = last?.role === 'assistant' ? last.text : undefined
    if (partial !== undefined && this.#options.prefill === 'refuse')
      return refuse(response, invalid('Assistant message prefill is not supported; the last message must be from the user.'))
    if (partial !== undefined && this.#options.prefill === 'fail')
      return refuse(
        response,
        refusalOf(500, { message: 'Conversation roles must alternate user/assistant', type: 'server_error', code: 500 }),
      )
    const fault = this.faults.take(model.id)
    if (fault && (await this.#refused(fault, model, response))) return
    const promptTokens = request.messages.reduce((sum, { text }) => sum + wordsIn(text), 0)
    const { contextLength = 8192 } = model
    if (promptTokens > contextLength) return refuse(response, overflow('openai', contextLength, promptTokens))
    const question = request.messages.findLast(({ role }) => role === 'user')?.text ?? ''
    const whole = typeof model.answer === 'string' ? model.answer : model.answer(question, request)
    const continues = partial !== undefined && this.#options.prefill !== 'ignore' && whole.startsWith(partial)
    const { everyMs = 0 } = this.#options
    const die = (restartAfterMs: number | undefined): void => this.#die(restartAfterMs)
    const writer = new AnswerWriter(response, request, { promptTokens, everyMs, signal: this.#closing.signal, die })
    await writer.write({
      reasoning: model.reasoning ?? '',
      text: continues ? whole.slice(partial.length) : whole,
      toolCall: request.tools ? model.toolCall : undefined,
      fault,
    })
  }

  /** What goes wrong before an answer begins. @returns whether that was all */
  async #refused(fault: OpenAiFault, { contextLength = 8192 }: OpenAiServerModel, response: http.ServerResponse): Promise<boolean> {
    switch (fault.kind) {
      case 'status':
        if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter)
        refuse(response, refusalOf(fault.status, fault.error))
        return true
      case 'overflow':
        refuse(response, overflow(fault.words ?? 'openai', contextLength, contextLength + 1))
        return true
      case 'filter':
        if (fault.afterPieces !== undefined) return false
        refuse(response, filtered(fault.reason ?? 'The response was filtered due to the prompt triggering a content management policy.'))
        return true
      case 'redirect':
        response.writeHead(307, { location: fault.location }).end()
        return true
      case 'reset':
        response.socket?.resetAndDestroy()
        return true
      case 'silence':
        if (fault.headers) response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        return true
      case 'late':
        await sleep(fault.ms, undefined, { signal: this.#closing.signal })
        return false
      default:
        return false
    }
  }
}

async function bodyOf(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  // A stream of a request gives bytes.
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function wordsIn(text: string): number {
  return text.match(/\S+/g)?.length ?? 0
}

function json(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function refuse(response: http.ServerResponse, { status, body }: WireRefusal): void {
  json(response, status, body)
}
