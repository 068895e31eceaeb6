/**
 * Who answers at an address: LM Studio, somebody else, or nobody. Always in bounded time.
 *
 * Plain `http` without an agent: nothing stays open behind it.
 *
 * @module
 */
import type { IncomingMessage } from 'node:http'

/** What a probe found. */
export type Greeting = 'lmstudio' | 'stranger' | 'silent' | 'nobody'

/** A greeting is some twenty bytes; a stranger may send anything. */
const LONGEST_BYTES = 4096

/** Asks for LM Studio's greeting. Never rejects. */
export async function greeting(baseUrl: string, limitMs: number, signal: AbortSignal): Promise<Greeting> {
  const { get } = baseUrl.startsWith('wss:') ? await import('node:https') : await import('node:http')
  if (signal.aborted) return 'nobody'
  return new Promise((resolve) => {
    const url = `${baseUrl.replace(/^ws/, 'http')}/lmstudio-greeting`
    let connected = false
    const settle = (found: Greeting): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      resolve(found)
      request.destroy()
    }
    const onAbort = (): void => settle('nobody')
    const timer = setTimeout(() => settle(connected ? 'silent' : 'nobody'), limitMs)
    signal.addEventListener('abort', onAbort, { once: true })
    const request = get(url, { agent: false, headers: { connection: 'close' } }, (response) => void read(response).then(settle))
    request.on('socket', (socket) =>
      socket.once('connect', () => {
        connected = true
      }),
    )
    // Refused, or it does not speak HTTP.
    request.on('error', () => settle(connected ? 'stranger' : 'nobody'))
  })
}

async function read(response: IncomingMessage): Promise<Greeting> {
  try {
    let text = ''
    for await (const chunk of response) {
      text += String(chunk)
      if (text.length > LONGEST_BYTES) return 'stranger'
    }
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null && 'lmstudio' in body && body.lmstudio === true ? 'lmstudio' : 'stranger'
  } catch {
    // Cut off, or not JSON: whoever it is, it is not LM Studio.
    return 'stranger'
  }
}
