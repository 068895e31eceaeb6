/**
 * Fetching over the web: proxies as the environment says, addresses that are safe, time limits for silence.
 *
 * @module
 */
import type { Dispatcher, Response } from 'undici'
import { pullErrors } from './errors.ts'
import { isSafeAddress } from './reference.ts'

/** Until a connection stands, in ms: a source that cannot be reached gives way to the next soon. */
const CONNECT_MS = 5000
/** Longest silence, in ms. */
const SILENCE_MS = 30_000
const MAX_REDIRECTS = 5

/** Answers to requests, until it is closed. */
export interface Web {
  /** @throws MaiError `MAI_PULL_NETWORK`; the signal's reason */
  get(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response>
  close(): Promise<void>
}

/** Loads the client on first use. */
export function openWeb(): Web {
  let dispatcher: Dispatcher | undefined
  const once = async (url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response> => {
    const { EnvHttpProxyAgent, fetch } = await import('undici')
    dispatcher ??= new EnvHttpProxyAgent({ connect: { timeout: CONNECT_MS }, headersTimeout: SILENCE_MS, bodyTimeout: SILENCE_MS })
    try {
      return await fetch(url, { headers, signal, dispatcher, redirect: 'manual' })
    } catch (error) {
      signal.throwIfAborted()
      throw pullErrors.network(url.host, error)
    }
  }
  return {
    async get(url, headers, signal) {
      let at = url
      for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
        // A key is for its own origin only.
        const { authorization: _, ...others } = headers
        const response = await once(at, at.origin === url.origin ? headers : others, signal)
        const location = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null
        if (location === null) return response
        await response.body?.cancel()
        at = new URL(location, at)
        if (!isSafeAddress(at))
          throw pullErrors.network(url.host, new Error(`it points to ${at.protocol}//${at.host}, which is not encrypted`))
      }
      throw pullErrors.network(url.host, new Error('it points round in a circle'))
    },
    async close() {
      await dispatcher?.destroy()
    },
  }
}
