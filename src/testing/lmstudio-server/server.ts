/**
 * A stand-in LM Studio: a real HTTP and WebSocket server that the unmodified `@lmstudio/sdk` talks to,
 * in front of any {@link EngineModel}, with faults on demand.
 *
 * @module
 */
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { EngineModel } from '../engine.ts'
import { Connection, type ConnectionHost } from './connection.ts'
import { calls } from './endpoints.ts'
import { type Fault, FaultScript } from './faults.ts'
import { Instances } from './instances.ts'
import { loadInstance } from './load.ts'
import type { Studio } from './studio.ts'

/** A model that is loaded when the server starts, as a person would have done by hand. */
export interface Preloaded {
  readonly model: string
  readonly identifier?: string
  /** Tokens. */
  readonly contextLength?: number
}

/** How the server is made. */
export interface LmStudioServerOptions {
  readonly models: readonly EngineModel[]
  /** Default 0: any free port. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  readonly faults?: readonly Fault[]
  /** Clients must show it; without it anybody is let in. */
  readonly passkey?: string
  readonly preloaded?: readonly (string | Preloaded)[]
  /** Bytes that loaded models may take together before the guardrail refuses a load. Default: any. */
  readonly memoryBytes?: number
  /** Answers that one instance gives at the same time; more wait. Default 1. */
  readonly parallel?: number
  /** Whether models loaded by `client.llm.model()` evict each other. Default true, as in LM Studio. */
  readonly jitEvicts?: boolean
}

/** A loaded model. */
export interface LoadedModel {
  readonly identifier: string
  readonly model: string
  /** Tokens. */
  readonly contextLength: number
  readonly ttlMs: number | undefined
  /** Answers under way. */
  readonly predicting: number
}

/** One call or channel that a client opened. */
export interface LoggedCall {
  /** Epoch ms. */
  readonly time: number
  readonly namespace: string
  readonly endpoint: string
  /** Key of the model it is about, as far as that is known. */
  readonly model: string | undefined
  readonly parameter: unknown
}

/** The running server. */
export interface LmStudioServer {
  /** `ws://127.0.0.1:PORT` */
  readonly baseUrl: string
  readonly port: number
  /** What shall go wrong; add to it at any time. */
  readonly faults: FaultScript
  /** Every call so far. */
  readonly log: readonly LoggedCall[]
  /** Open WebSockets. */
  readonly connections: number
  /** Like the option; may be changed at any time, `undefined` lifts it. */
  memoryBytes: number | undefined
  loaded(): readonly LoadedModel[]
  /** Unloads as another program would. @throws Error when nothing has that identifier */
  unload(identifier: string): Promise<void>
  /** Loads as another program would; resolves with the identifier. */
  load(preloaded: string | Preloaded): Promise<string>
  /** Breaks all connections at once; the server goes on. */
  dropConnections(): void
  /** Dies as a killed process: connections break, nobody listens, models are gone. */
  kill(): Promise<void>
  /** Listens again on the same port, with nothing loaded; kills first when it still runs. */
  restart(): Promise<void>
  close(): Promise<void>
}

/**
 * Starts the server.
 *
 * @example
 * const server = await startLmStudioServer({ models: [scriptedEngine({ key: 'a', answer: 'Hello there.' })] })
 * const client = new LMStudioClient({ baseUrl: server.baseUrl })
 * server.faults.add({ kind: 'drop-socket', model: 'a', afterFragments: 1 })
 * await server.close()
 */
export async function startLmStudioServer(options: LmStudioServerOptions): Promise<LmStudioServer> {
  const server = new StandIn(options)
  await server.listen(options.port ?? 0)
  try {
    for (const preloaded of options.preloaded ?? []) await server.load(preloaded)
  } catch (error) {
    await server.close()
    throw error
  }
  return server
}

class StandIn implements LmStudioServer, ConnectionHost {
  readonly faults: FaultScript
  readonly log: LoggedCall[] = []
  readonly studio: Studio
  memoryBytes: number | undefined
  readonly #host: string
  readonly #passkey: string | undefined
  readonly #instances: Instances
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 30 })
  readonly #open = new Set<Connection>()
  readonly #work = new Set<Promise<void>>()
  readonly #shutdown = new AbortController()
  #http: http.Server | undefined
  #port = 0
  #comeback: NodeJS.Timeout | undefined
  /** Nobody waits for a comeback; `close()` tells of one that failed. */
  #comebackFailure: { readonly error: unknown } | undefined
  /** Listening and its end happen one after the other. */
  #lifecycle: Promise<void> = Promise.resolve()

  constructor(options: LmStudioServerOptions) {
    this.faults = new FaultScript(options.faults)
    this.memoryBytes = options.memoryBytes
    this.#host = options.host ?? '127.0.0.1'
    this.#passkey = options.passkey
    this.#instances = new Instances(options.models, options.parallel ?? 1)
    this.studio = {
      instances: this.#instances,
      faults: this.faults,
      jitEvicts: options.jitEvicts ?? true,
      memoryBytes: () => this.memoryBytes,
      vanish: ({ keepModels, backAfterMs }) => this.#vanish(keepModels, backAfterMs),
    }
  }

  get port(): number {
    return this.#port
  }

  get baseUrl(): string {
    return `ws://${this.#host}:${this.#port}`
  }

  get connections(): number {
    return this.#open.size
  }

  loaded(): LoadedModel[] {
    return this.#instances.loaded.map(({ identifier, model, engine, ttlMs, predicting }) => ({
      identifier,
      model: model.key,
      contextLength: engine.contextLength,
      ttlMs,
      predicting,
    }))
  }

  unload(identifier: string): Promise<void> {
    return this.#instances.unload(identifier)
  }

  async load(preloaded: string | Preloaded): Promise<string> {
    const { model: key, identifier, contextLength }: Preloaded = typeof preloaded === 'string' ? { model: preloaded } : preloaded
    const fields = contextLength === undefined ? [] : [{ key: 'llm.load.contextLength', value: contextLength }]
    const faults = { ending: undefined, slow: undefined, wrongContext: undefined }
    const order = { model: this.#instances.model(key), identifier, config: { fields }, ttlMs: undefined, jit: false, faults }
    const instance = await loadInstance(this.studio, order, () => {}, this.#shutdown.signal)
    if (!instance) throw new Error('The stand-in LM Studio server was closed while it loaded a model.')
    return instance.identifier
  }

  dropConnections(): void {
    for (const connection of this.#open) connection.destroy()
  }

  kill(): Promise<void> {
    clearTimeout(this.#comeback)
    this.#instances.removeAll()
    return this.#stopListening()
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.#instances.settled()
    await this.listen(this.#port)
  }

  async close(): Promise<void> {
    this.#shutdown.abort(new Error('The stand-in LM Studio server was closed.'))
    await this.kill()
    await Promise.all(this.#work)
    await this.#instances.settled()
    if (this.#comebackFailure) throw this.#comebackFailure.error
  }

  listen(port: number): Promise<void> {
    return this.#inOrder(async () => {
      if (this.#shutdown.signal.aborted || this.#http) return
      const server = http.createServer(greet)
      server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
      server.listen(port, this.#host)
      await once(server, 'listening')
      this.#http = server
      // A TCP server's address is never a string (a pipe's is) nor null while it listens.
      this.#port = (server.address() as AddressInfo).port
    })
  }

  refusal(clientIdentifier: string, clientPasskey: string): string | undefined {
    const fault = this.faults.takeAuth()
    if (fault) return fault.message ?? `Invalid passkey for client ${clientIdentifier}.`
    return this.#passkey !== undefined && clientPasskey !== this.#passkey ? `Invalid passkey for client ${clientIdentifier}.` : undefined
  }

  onCall(namespace: string, endpoint: string, parameter: unknown): void {
    this.log.push({ time: Date.now(), namespace, endpoint, model: this.#modelOf(parameter), parameter })
  }

  track(work: Promise<void>): void {
    this.#work.add(work)
    // Handlers report their errors on the wire and never reject.
    void work.finally(() => this.#work.delete(work))
  }

  #modelOf(parameter: unknown): string | undefined {
    const names = JSON.stringify(parameter, ['modelKey', 'identifier', 'specifier', 'modelSpecifier', 'query', 'instanceReference'])
    const name = /"(?:modelKey|identifier|instanceReference)":("(?:[^"\\]|\\.)*")/.exec(names ?? '')?.[1]
    if (name === undefined) return undefined
    const wanted: unknown = JSON.parse(name)
    const found = this.#instances.loaded.find(({ identifier, reference }) => identifier === wanted || reference === wanted)
    return found?.model.key ?? String(wanted)
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    const namespace = (request.url ?? '').slice(1)
    if (!(namespace in calls)) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
      return
    }
    this.#sockets.handleUpgrade(request, socket, head, (ws) => {
      const connection = new Connection(this, namespace, ws, socket)
      this.#open.add(connection)
      connection.closed.addEventListener('abort', () => this.#open.delete(connection), { once: true })
    })
  }

  #vanish(keepModels: boolean, backAfterMs: number | undefined): void {
    if (!keepModels) this.#instances.removeAll()
    this.track(this.#stopListening())
    clearTimeout(this.#comeback)
    if (backAfterMs === undefined) return
    const comeBack = (): void => {
      this.listen(this.#port).catch((error: unknown) => {
        this.#comebackFailure = { error }
      })
    }
    this.#comeback = setTimeout(comeBack, backAfterMs)
  }

  #stopListening(): Promise<void> {
    // At once, not in turn: a process that dies does not wait.
    this.dropConnections()
    return this.#inOrder(async () => {
      const server = this.#http
      if (!server) return
      this.#http = undefined
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      this.dropConnections()
      await closed
    })
  }

  #inOrder(step: () => Promise<void>): Promise<void> {
    const done = this.#lifecycle.then(step)
    // Whoever asked for the step hears of its failure; the next step is taken all the same.
    this.#lifecycle = done.catch(() => {})
    return done
  }
}

/** What LM Studio answers over plain HTTP, as far as the SDK asks. */
function greet({ method, url }: http.IncomingMessage, response: http.ServerResponse): void {
  const body =
    method === 'GET' && url === '/lmstudio-greeting' ? { lmstudio: true } : { error: `Unexpected endpoint or method. (${method} ${url})` }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
