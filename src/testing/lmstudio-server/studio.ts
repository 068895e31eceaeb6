/**
 * What all connections of one stand-in server share, and what an endpoint handler gets.
 *
 * @module
 */
import type { FaultScript } from './faults.ts'
import type { Instances } from './instances.ts'

/** The program behind the sockets. */
export interface Studio {
  readonly instances: Instances
  readonly faults: FaultScript
  /** Whether models loaded on demand evict each other. */
  readonly jitEvicts: boolean
  /** Bytes that loaded models may take together; undefined: any. */
  memoryBytes(): number | undefined
  /** Breaks all connections and stops listening, then comes back after so many ms (undefined: not by itself). */
  vanish(options: { readonly keepModels: boolean; readonly backAfterMs: number | undefined }): void
}

/** One open channel, as its handler sees it. */
export interface ChannelContext {
  readonly parameter: unknown
  /** Aborts on the client's `cancel` and when the connection ends. */
  readonly signal: AbortSignal
  /** Aborts when the connection ends: nobody listens any more. */
  readonly closed: AbortSignal
  send(message: unknown): void
  /** Like `send`, with the message as JSON already. */
  sendJson(message: string): void
  /** Pending while the client reads slower than the server writes; undefined when there is no need to wait. */
  congestion(): Promise<void> | undefined
  /** Breaks the connection after everything sent so far is on its way. */
  dropSocket(): Promise<void>
}

/** Serves one channel; its end closes the channel, its error is sent. */
export type ChannelHandler = (studio: Studio, channel: ChannelContext) => Promise<void>

/** Answers one call. */
export type RpcHandler = (studio: Studio, parameter: unknown) => unknown
