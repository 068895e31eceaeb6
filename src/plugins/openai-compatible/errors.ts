/**
 * What servers' errors mean. OpenAI's codes are the surest; others say it in words. Pure.
 *
 * @module
 */
import { type BackendErrorCode, backendError } from '../../chat/failure.ts'
import { isMaiError, type MaiError } from '../../core/errors.ts'

/** An error as it came over the wire. */
export interface Refusal {
  readonly status: number
  /** As it came: it may tell a secret, and be long. */
  readonly message: string
  /** `code` and `type` of the error, in lower case, joined. */
  readonly kind: string
  /** Window and prompt as the server counts them, in tokens, where it says so. */
  readonly contextLength: number | undefined
  readonly promptTokens: number | undefined
  readonly retryAfterMs: number | undefined
}

/** Longest text of a server that is passed on, in characters. */
const LONGEST = 300

const BY_SYSTEM_CODE: Readonly<Record<string, BackendErrorCode>> = {
  ECONNREFUSED: 'MAI_BACKEND_UNREACHABLE',
  ENOTFOUND: 'MAI_BACKEND_UNREACHABLE',
  EAI_AGAIN: 'MAI_BACKEND_UNREACHABLE',
  EHOSTUNREACH: 'MAI_BACKEND_UNREACHABLE',
  ENETUNREACH: 'MAI_BACKEND_UNREACHABLE',
  ETIMEDOUT: 'MAI_BACKEND_UNREACHABLE',
  UND_ERR_CONNECT_TIMEOUT: 'MAI_BACKEND_UNREACHABLE',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'MAI_BACKEND_UNREACHABLE',
  SELF_SIGNED_CERT_IN_CHAIN: 'MAI_BACKEND_UNREACHABLE',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'MAI_BACKEND_UNREACHABLE',
  CERT_HAS_EXPIRED: 'MAI_BACKEND_UNREACHABLE',
  ERR_TLS_CERT_ALTNAME_INVALID: 'MAI_BACKEND_UNREACHABLE',
}

/** OpenAI, vLLM, llama.cpp, Ollama, LiteLLM, in this order. */
const OVERFLOW =
  /context_length_exceeded|exceed_context_size|maximum context length|exceeds? (the )?(available |model'?s? )?(context|maximum (input|prompt) length)|context (length|window|size)[^.]{0,40}(exceed|too|limit)|(prompt|input|messages?) (is |are )?too (long|large)|contextwindowexceeded/i
const FILTERED =
  /content_filter|content_policy|responsibleaipolicy|content[- ]?(management )?(filter|policy)|contentpolicyviolation|moderation/i

/** What a body of an error says, in any of the forms that servers use. */
export function readRefusal(status: number, headers: Readonly<Record<string, unknown>>, body: string, now: number): Refusal {
  const retryAfterMs = retryAfter(headers, now)
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    value = undefined
  }
  return { ...refusalIn(value, status), retryAfterMs, ...(value === undefined ? { message: body } : {}) }
}

/** The same for an error that comes as a piece of an answer. */
export function refusalIn(value: unknown, status: number): Refusal {
  const outer = isRecord(value) ? value : {}
  const error = isRecord(outer.error) ? outer.error : outer
  const inner = isRecord(error.innererror) ? error.innererror : {}
  const message = [error.message, outer.error, outer.detail, outer.message].find((text) => typeof text === 'string' && text !== '')
  const text = typeof message === 'string' ? message : outer.detail === undefined ? '' : JSON.stringify(outer.detail)
  const own = typeof error.code === 'number' ? error.code : error.status
  return {
    status: status === 200 && typeof own === 'number' ? own : status,
    message: text,
    kind: [error.code, error.type, inner.code]
      .filter((each) => typeof each === 'string')
      .join(' ')
      .toLowerCase(),
    contextLength: numberIn(error.n_ctx) ?? tokensIn(text, /maximum context length (?:is|of) (\d+)/i),
    promptTokens: numberIn(error.n_prompt_tokens) ?? tokensIn(text, /(?:resulted in|requested|contains at least|you passed) (\d+)/i),
    retryAfterMs: undefined,
  }
}

function numberIn(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined
}

function tokensIn(text: string, pattern: RegExp): number | undefined {
  return numberIn(Number(pattern.exec(text)?.[1]))
}

/** Wait that a server asks for, in ms: seconds or a date, and OpenAI's finer header. */
export function retryAfter(headers: Readonly<Record<string, unknown>>, now: number): number | undefined {
  const fine = Number(headers['retry-after-ms'] ?? Number.NaN)
  if (Number.isFinite(fine) && fine >= 0) return fine
  const text = headers['retry-after']
  if (typeof text !== 'string' || text.trim() === '') return undefined
  const seconds = Number(text)
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(text) - now
  return Number.isFinite(ms) ? Math.max(0, Math.round(ms)) : undefined
}

/** The `MaiError` for a refusal. @param where the endpoint, as people read it */
export function refusalError(where: string, refusal: Refusal, secrets: readonly string[]): MaiError {
  const { status, retryAfterMs, contextLength, promptTokens } = refusal
  const code = meaning(refusal)
  const text = plain(withoutSecrets(refusal.message, secrets)) || `status ${status}`
  const cure = status >= 300 && status < 400 ? { cure: 'It points to another address; give that one as baseUrl.' } : {}
  const quota = refusal.kind.includes('insufficient_quota') ? { cure: 'Raise the quota of the key, or use another.' } : {}
  const facts = Object.entries({ status, retryAfterMs, contextLength, promptTokens }).filter(([, fact]) => fact !== undefined)
  return backendError(code, `${where}: ${text.replace(/\.$/, '')}.`, { ...cure, ...quota, details: Object.fromEntries(facts) })
}

function meaning({ status, kind, message }: Refusal): BackendErrorCode {
  const all = `${kind} ${message}`
  if (status === 401 || status === 403) return FILTERED.test(all) ? 'MAI_CONTENT_FILTERED' : 'MAI_AUTH_REFUSED'
  if (status === 429) return kind.includes('insufficient_quota') ? 'MAI_AUTH_REFUSED' : 'MAI_RATE_LIMITED'
  if (OVERFLOW.test(all) || status === 413) return 'MAI_CONTEXT_OVERFLOW'
  if (FILTERED.test(kind) || (status === 400 && FILTERED.test(message))) return 'MAI_CONTENT_FILTERED'
  if (status === 404) return 'MAI_MODEL_NOT_FOUND'
  if (status === 408 || status >= 500 || status === 200) return 'MAI_BACKEND_ERROR'
  return 'MAI_REQUEST_INVALID'
}

/** The `MaiError` for whatever the client threw. A cause that tells a secret is left out: logs print causes too. */
export function thrownError(where: string, error: unknown, secrets: readonly string[]): MaiError {
  if (isMaiError(error)) return error
  const system = systemCode(error)
  const raw = error instanceof Error ? error.message : 'something that is not an error'
  const clean = withoutSecrets(raw, secrets)
  const code =
    (system === undefined ? undefined : BY_SYSTEM_CODE[system]) ?? (system?.startsWith('HPE_') ? 'MAI_BACKEND_ERROR' : 'MAI_BACKEND_LOST')
  const text = plain(clean) || system || 'the connection broke'
  return backendError(code, `${where}: ${text}.`, clean === raw ? { cause: error } : {})
}

function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const own = 'code' in at && typeof at.code === 'string' ? at.code : undefined
    if (own !== undefined && own !== 'UND_ERR_SOCKET') return own
    // Several addresses were tried: what the first of them said.
    if (at instanceof AggregateError && at.errors.length > 0) return systemCode(at.errors[0])
  }
  return undefined
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => (secret === '' ? clean : clean.replaceAll(secret, '…')), text)
}

/** A stranger's text on one line, without control characters, cut to length. */
export function plain(text: string): string {
  const clean = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, '')}…` : clean
}

/** An object of the wire: any key may be in it. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
