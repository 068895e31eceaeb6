/**
 * Requests over undici: no redirect is followed, no limit is hidden, proxies as the environment says for other machines.
 *
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type Duplex, pipeline, type Readable } from 'node:stream'
import type { Dispatcher } from 'undici'

/** One request. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}

/** An answer whose body has yet to come. */
export interface HttpResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Readable
}

/** Longest body of an error that is read, in bytes, and longest wait for it, in ms. */
const LONGEST_ERROR = 65_536
const ERROR_LIMIT_MS = 2000

/** Connections to one endpoint. Loads the client on first use. */
export class Http {
  readonly #connectMs: number
  readonly #proxied: boolean
  #dispatcher: Promise<Dispatcher> | undefined

  /** @param proxied whether the environment's proxies apply: never to this machine */
  constructor(connectMs: number, proxied: boolean) {
    this.#connectMs = connectMs
    this.#proxied = proxied
  }

  /** Loads the client: no part of how long a server takes. */
  async ready(): Promise<void> {
    await this.#dispatch()
  }

  /** Settles when the headers are there. @throws what undici throws */
  async send(url: string, { method, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
    const [{ request }, zlib, dispatcher] = await Promise.all([import('undici'), import('node:zlib'), this.#dispatch()])
    const answer = await request(url, { method, headers, signal, dispatcher, ...(body === undefined ? {} : { body }) })
    const decoder = decoderFor(zlib, answer.headers['content-encoding'])
    // Whoever reads it hears what goes wrong.
    const plain = decoder === undefined ? answer.body : pipeline(answer.body, decoder, () => {})
    return { status: answer.statusCode, headers: answer.headers, body: plain }
  }

  async close(): Promise<void> {
    await (await this.#dispatcher)?.destroy()
  }

  #dispatch(): Promise<Dispatcher> {
    // Silence is measured where it is known what it means.
    const options = { connect: { timeout: this.#connectMs }, headersTimeout: 0, bodyTimeout: 0 }
    this.#dispatcher ??= import('undici').then(({ Agent, EnvHttpProxyAgent }) =>
      this.#proxied ? new EnvHttpProxyAgent(options) : new Agent(options),
    )
    return this.#dispatcher
  }
}

/** Nobody asked for it; some proxies compress all that passes. (undici's own interceptor warns on standard error that it is experimental.) */
function decoderFor(zlib: typeof import('node:zlib'), encoding: string | string[] | undefined): Duplex | undefined {
  switch (String(encoding).toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip()
    case 'deflate':
      return zlib.createInflate()
    case 'br':
      return zlib.createBrotliDecompress()
    default:
      return undefined
  }
}

/** The beginning of a body as text. What cannot be read in time is left. Never rejects. */
export async function readText(body: Readable, longest: number = LONGEST_ERROR, limitMs: number = ERROR_LIMIT_MS): Promise<string> {
  const timer = setTimeout(() => body.destroy(), limitMs)
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of body) {
      // undici's bodies are of bytes.
      const data = chunk as Buffer
      chunks.push(data)
      bytes += data.length
      if (bytes >= longest) break
    }
  } catch {
    // What came before it broke off still says something.
  } finally {
    clearTimeout(timer)
    body.on('error', () => {}).destroy()
  }
  return Buffer.concat(chunks).toString('utf8').slice(0, longest)
}
