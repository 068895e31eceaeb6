/**
 * Addresses of endpoints: how they are written, which are this machine, and where a key may go. Pure.
 *
 * @module
 */

/** A base address as requests are built from it, without a slash at its end; undefined for anything else. */
export function parseBaseUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined
  const { protocol, host, origin, pathname, search, hash, username, password } = new URL(text)
  if ((protocol !== 'http:' && protocol !== 'https:') || host === '' || search + hash + username + password !== '') return undefined
  return `${origin}${pathname.replace(/\/+$/, '')}`
}

/**
 * Whether the endpoint is this machine: 127.0.0.0/8 (also as IPv6 writes it), ::1, `localhost` and names below it.
 * Any other name may be anywhere, whatever it resolves to today.
 */
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

/** A key must not be readable on its way. */
export function mayCarryKey(baseUrl: string): boolean {
  return new URL(baseUrl).protocol === 'https:' || isLoopback(baseUrl)
}

/** `host:port/path`, as people read it. */
export function shown(baseUrl: string): string {
  return baseUrl.replace(/^https?:\/\//, '')
}

/** An address of the server that is not part of the OpenAI protocol, beside its `/v1`. */
export function besideV1(baseUrl: string, path: string): string {
  return `${baseUrl.replace(/\/v1$/, '')}${path}`
}
