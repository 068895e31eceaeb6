/**
 * Addresses of LM Studio: how they are written, which are this machine, and which are worth a try. Pure.
 *
 * @module
 */

/** The usual port, then those that the SDK scans. */
export const PORTS: readonly number[] = [1234, 41343, 52993, 16141, 39414, 22931]
const PROTOCOLS: Readonly<Record<string, string>> = { 'ws:': 'ws:', 'http:': 'ws:', 'wss:': 'wss:', 'https:': 'wss:' }

/** An address as the SDK takes it, `ws://host:port`; undefined for anything that it would refuse. */
export function parseAddress(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined
  const { protocol, host, pathname, search, hash, username, password } = new URL(text)
  const scheme = PROTOCOLS[protocol]
  if (scheme === undefined || host === '' || search + hash + username + password !== '') return undefined
  return `${scheme}//${host}${pathname.replace(/\/+$/, '')}`
}

/** Whether the endpoint is this machine. A name other than `localhost` may be anywhere. */
export function isLoopback(baseUrl: string): boolean {
  const { hostname } = new URL(baseUrl)
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname) ||
    /^\[::ffff:7f[0-9a-f]{2}:/.test(hostname)
  )
}

/** Where to look on this machine, best first. @param writtenPort the port that LM Studio wrote down */
export function localAddresses(writtenPort: number | undefined, usual: readonly number[] = PORTS): string[] {
  const ports = writtenPort === undefined ? usual : [writtenPort, ...usual.filter((port) => port !== writtenPort)]
  return ports.map((port) => `ws://127.0.0.1:${port}`)
}

/** The port in LM Studio's `http-server.json`; undefined where the text is not what it should be. */
export function portIn(text: string): number | undefined {
  try {
    const written: unknown = JSON.parse(text)
    const port = typeof written === 'object' && written !== null && 'port' in written ? written.port : undefined
    return typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined
  } catch {
    // Half written or damaged: the usual ports remain.
    return undefined
  }
}

/** `host:port`, as people read it. */
export function shown(baseUrl: string): string {
  return baseUrl.replace(/^wss?:\/\//, '')
}
