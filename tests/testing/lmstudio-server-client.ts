import { LMStudioClient, type LMStudioClientConstructorOpts } from '@lmstudio/sdk'
import { onTestFinished } from 'vitest'
import { type LmStudioServer, type LmStudioServerOptions, startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** The unmodified SDK, silent, connected to `baseUrl`. */
export function connect(baseUrl: string, options: LMStudioClientConstructorOpts = {}): LMStudioClient {
  const client = new LMStudioClient({ baseUrl, logger: quiet, ...options })
  onTestFinished(async () => {
    // The SDK waits for calls that never settle; nobody waits for the SDK.
    void client[Symbol.asyncDispose]().catch(() => {})
  })
  return client
}

/** A server that closes with the test, and a client of it. */
export async function start(options: LmStudioServerOptions): Promise<{ server: LmStudioServer; client: LMStudioClient }> {
  const server = await startLmStudioServer(options)
  onTestFinished(() => server.close())
  return { server, client: connect(server.baseUrl) }
}

/** The error that a promise rejects with. */
export async function failure(
  promise: PromiseLike<unknown>,
): Promise<Error & { title?: string; code?: string; displayData?: { code: string } }> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Error) return error
    throw new Error('Rejected with something that is no error', { cause: error })
  }
  throw new Error('Did not reject')
}

/** True when the promise has not settled after `ms`. */
export async function hangsFor(ms: number, promise: PromiseLike<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  const winner = await Promise.race([
    Promise.resolve(promise).catch(() => undefined),
    new Promise<symbol>((resolve) => setTimeout(() => resolve(pending), ms)),
  ])
  return winner === pending
}
