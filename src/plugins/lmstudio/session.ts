/**
 * One client of the SDK and what belongs to it, with an end that always comes.
 *
 * @module
 */
import type { LLM, LMStudioClient } from '@lmstudio/sdk'
import { backendError } from '../../chat/failure.ts'
import { bounded } from './deadline.ts'
import type { LmStudioSettings } from './options.ts'

/** How long a goodbye may take before the sockets are cut, in ms. */
const GOODBYE_MS = 300

/** `readyState` of an open WebSocket. */
const OPEN = 1

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** A client for an address that has greeted. Handles live and die with their client. */
export class Session {
  readonly client: LMStudioClient
  readonly baseUrl: string
  /** Something timed out: probe before the next call. */
  doubted = false
  /** A call has come back: address and passkey are right. */
  proven = false
  readonly #handles: Map<string, LLM> = new Map()
  #goodbye: Promise<void> | undefined
  /** Its sockets have been cut: whoever else is closing it need not wait any longer. */
  #cut: () => void = () => {}
  readonly #isCut: Promise<void> = new Promise((resolve) => {
    this.#cut = resolve
  })

  private constructor(client: LMStudioClient, baseUrl: string) {
    this.client = client
    this.baseUrl = baseUrl
  }

  /** Makes the client; nothing is sent before its first call. */
  static async open(baseUrl: string, { clientIdentifier, clientPasskey }: LmStudioSettings): Promise<Session> {
    // 80 ms of work: not before it is needed.
    const { LMStudioClient: Client } = await import('@lmstudio/sdk')
    const client = new Client({
      baseUrl,
      logger: silent,
      verboseErrorMessages: false,
      ...(clientIdentifier === undefined ? {} : { clientIdentifier }),
      ...(clientPasskey === undefined ? {} : { clientPasskey }),
    })
    return new Session(client, baseUrl)
  }

  /** Whether it can still be told anything: a client that is closing throws where its line has broken, past every handler. */
  get reachable(): boolean {
    const transport = field(field(this.client, 'llmPort'), 'transport')
    return field(transport, 'disposed') !== true || field(field(transport, 'ws'), 'readyState') === OPEN
  }

  remember(handle: LLM): void {
    this.#handles.set(handle.identifier, handle)
  }

  forget(instanceId: string): void {
    this.#handles.delete(instanceId)
  }

  /** A handle by its instance, never by query: a query may load something. @throws MaiError `MAI_MODEL_UNLOADED` */
  async handle(instanceId: string, callMs: number, signal: AbortSignal): Promise<LLM> {
    const known = this.#handles.get(instanceId)
    if (known) return known
    for (const handle of await bounded(this.client.llm.listLoaded(), 'list what is loaded', callMs, signal)) this.remember(handle)
    const found = this.#handles.get(instanceId)
    if (!found) throw backendError('MAI_MODEL_UNLOADED', `"${instanceId}" is no longer loaded in LM Studio.`)
    return found
  }

  /**
   * Ends the client. The SDK waits for calls that may never settle, and keeps the process alive for them:
   * after `graceMs` their sockets are cut.
   */
  async close(graceMs: number = GOODBYE_MS): Promise<void> {
    this.#goodbye ??= this.client[Symbol.asyncDispose]().catch(() => {
      // A client whose server is gone may fail to say goodbye; nothing hangs on it.
    })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs).unref()
    })
    await Promise.race([this.#goodbye, late, this.#isCut])
    clearTimeout(timer)
    cutSockets(this.client)
    this.#cut()
  }
}

/** Ends what the SDK would leave open. It offers no way, so its ports are taken as they are found, or left alone. */
function cutSockets(client: object): void {
  for (const port of Object.values(client)) {
    const socket = field(field(port, 'transport'), 'ws')
    const terminate = field(socket, 'terminate')
    if (typeof terminate === 'function') terminate.call(socket)
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
