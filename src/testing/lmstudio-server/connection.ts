/**
 * One WebSocket: authentication, calls and channels of one namespace.
 *
 * @module
 */
import type { Duplex } from 'node:stream'
import type { RawData, WebSocket } from 'ws'
import { calls, channels } from './endpoints.ts'
import { toWire } from './errors.ts'
import { aborted, pause } from './pause.ts'
import type { ChannelContext, Studio } from './studio.ts'
import { authFrame, type ClientFrame, clientFrame } from './wire.ts'

/** What a connection tells its server, and asks it. */
export interface ConnectionHost {
  readonly studio: Studio
  /** The error to refuse a client with; undefined lets it in. */
  refusal(clientIdentifier: string, clientPasskey: string): string | undefined
  onCall(namespace: string, endpoint: string, parameter: unknown): void
  /** Work that `close()` waits for. */
  track(work: Promise<void>): void
}

/** Bytes that may wait in a socket. Small, so that a cancelled answer has few late fragments under way. */
const HIGH_WATER = 65_536

/** Serves one client on one namespace until either side ends it. */
export class Connection {
  readonly #host: ConnectionHost
  readonly #namespace: string
  readonly #ws: WebSocket
  readonly #socket: Duplex
  readonly #closed = new AbortController()
  readonly #channels = new Map<number, AbortController>()
  #authenticated = false
  #corked = false

  constructor(host: ConnectionHost, namespace: string, ws: WebSocket, socket: Duplex) {
    this.#host = host
    this.#namespace = namespace
    this.#ws = ws
    this.#socket = socket
    ws.on('message', (data) => this.#receive(data))
    ws.on('close', () => this.#closed.abort('closed'))
    // A broken socket closes as well; `close` is where its work ends.
    ws.on('error', () => {})
  }

  /** Aborts when the connection ends. */
  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /** Ends it at once; what was not yet on its way is lost. */
  destroy(): void {
    this.#closed.abort('closed')
    this.#ws.terminate()
  }

  /** Ends it once everything sent so far is on its way. */
  async drop(): Promise<void> {
    this.#uncork()
    await Promise.race([new Promise<void>((resolve) => this.#socket.write('', () => resolve())), aborted(this.closed)])
    this.destroy()
  }

  #receive(data: RawData): void {
    let frame: unknown
    try {
      frame = JSON.parse(String(data))
    } catch {
      return this.#warn('Received invalid JSON')
    }
    if (!this.#authenticated) return this.#authenticate(frame)
    const parsed = clientFrame.safeParse(frame)
    if (parsed.success) this.#dispatch(parsed.data)
    else this.#warn(`Received invalid message: ${parsed.error.message}`)
  }

  #authenticate(frame: unknown): void {
    const parsed = authFrame.safeParse(frame)
    const error = parsed.success
      ? this.#host.refusal(parsed.data.clientIdentifier, parsed.data.clientPasskey)
      : 'Invalid authentication packet'
    this.#authenticated = error === undefined
    this.#send(error === undefined ? { success: true } : { success: false, error })
    if (error !== undefined) this.#ws.close()
  }

  #dispatch(frame: ClientFrame): void {
    switch (frame.type) {
      case 'rpcCall':
        return this.#host.track(this.#call(frame.endpoint, frame.callId, frame.parameter))
      case 'channelCreate':
        return this.#host.track(this.#open(frame.endpoint, frame.channelId, frame.creationParameter))
      case 'channelSend':
        return this.#toChannel(frame.channelId, frame.message)
      case 'keepAlive':
        return this.#send({ type: 'keepAliveAck' })
      case 'channelAck':
      case 'communicationWarning':
        return
    }
  }

  async #call(endpoint: string, callId: number, parameter: unknown): Promise<void> {
    const { studio } = this.#host
    this.#host.onCall(this.#namespace, endpoint, parameter)
    const handler = calls[this.#namespace]?.[endpoint]
    if (!handler) return this.#warn(`Received rpcCall for unknown endpoint, endpoint = ${endpoint}, callId = ${callId}`)
    try {
      const fault = studio.faults.takeCall(endpoint)
      if (fault?.kind === 'hang-call') return
      if (fault?.kind === 'drop-call') return await this.drop()
      if (fault?.kind === 'fail-call') throw new Error(fault.message)
      if (fault?.kind === 'slow-call') await pause(fault.ms, this.closed)
      this.#send({ type: 'rpcResult', callId, result: await handler(studio, parameter) })
    } catch (error) {
      this.#send({ type: 'rpcError', callId, error: toWire(error) })
    }
  }

  async #open(endpoint: string, channelId: number, parameter: unknown): Promise<void> {
    this.#host.onCall(this.#namespace, endpoint, parameter)
    const handler = channels[this.#namespace]?.[endpoint]
    if (!handler) return this.#warn(`Received channelCreate for unknown endpoint, endpoint = ${endpoint}, channelId = ${channelId}`)
    const cancel = new AbortController()
    this.#channels.set(channelId, cancel)
    const context: ChannelContext = {
      parameter,
      signal: AbortSignal.any([cancel.signal, this.closed]),
      closed: this.closed,
      send: (message) => this.#send({ type: 'channelSend', channelId, message }),
      sendJson: (message) => this.#sendText(`{"type":"channelSend","channelId":${channelId},"message":${message}}`),
      congestion: () => this.#congestion(),
      dropSocket: () => this.drop(),
    }
    try {
      await handler(this.#host.studio, context)
      this.#send({ type: 'channelClose', channelId })
    } catch (error) {
      this.#send({ type: 'channelError', channelId, error: toWire(error) })
    } finally {
      this.#channels.delete(channelId)
    }
  }

  #toChannel(channelId: number, message: unknown): void {
    // A cancel that crosses the end of its channel is normal.
    const isCancel =
      typeof message === 'object' && message !== null && 'type' in message && (message.type === 'cancel' || message.type === 'stop')
    if (isCancel) this.#channels.get(channelId)?.abort('cancel')
  }

  #warn(warning: string): void {
    this.#send({ type: 'communicationWarning', warning })
  }

  #send(message: unknown): void {
    this.#sendText(JSON.stringify(message))
  }

  /** Frames of one turn of the event loop leave in one write. */
  #sendText(text: string): void {
    if (this.closed.aborted || this.#ws.readyState !== this.#ws.OPEN) return
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      setImmediate(() => this.#uncork())
    }
    this.#ws.send(text)
  }

  #congestion(): Promise<void> | undefined {
    if (this.#socket.writableLength < HIGH_WATER || this.closed.aborted) return undefined
    return new Promise((resolve) => {
      const end = (): void => {
        this.#socket.off('drain', end)
        this.closed.removeEventListener('abort', end)
        resolve()
      }
      this.#socket.on('drain', end)
      this.closed.addEventListener('abort', end)
    })
  }

  #uncork(): void {
    if (!this.#corked) return
    this.#corked = false
    this.#socket.uncork()
  }
}
