/**
 * What the SDK's plain errors mean: it gives text, Mai needs codes. Pure.
 *
 * @module
 */
import { type BackendErrorCode, backendError } from '../../chat/failure.ts'
import { isMaiError, type MaiError } from '../../core/errors.ts'

/** What was being done: the same text means different things. */
export type Doing = 'call' | 'load' | 'generate'

/** Longest text of a server that is passed on, in characters. */
const LONGEST = 300

/** Codes that LM Studio gives in `displayData`; surer than any text. */
const BY_CODE: Readonly<Record<string, BackendErrorCode>> = {
  'generic.pathNotFound': 'MAI_MODEL_NOT_FOUND',
  'generic.identifierNotFound': 'MAI_MODEL_UNLOADED',
  'generic.noModelMatchingQuery': 'MAI_MODEL_UNLOADED',
  'generic.specificModelUnloaded': 'MAI_MODEL_UNLOADED',
  'generic.domainMismatch': 'MAI_REQUEST_INVALID',
  'generic.presetNotFound': 'MAI_REQUEST_INVALID',
}

const BY_SYSTEM_CODE: Readonly<Record<string, BackendErrorCode>> = {
  ECONNREFUSED: 'MAI_BACKEND_UNREACHABLE',
  ENOTFOUND: 'MAI_BACKEND_UNREACHABLE',
  EAI_AGAIN: 'MAI_BACKEND_UNREACHABLE',
  EHOSTUNREACH: 'MAI_BACKEND_UNREACHABLE',
  ENETUNREACH: 'MAI_BACKEND_UNREACHABLE',
  ETIMEDOUT: 'MAI_BACKEND_UNREACHABLE',
  ECONNRESET: 'MAI_BACKEND_LOST',
  EPIPE: 'MAI_BACKEND_LOST',
}

/** In order: the first that fits counts. */
const BY_TEXT: readonly (readonly [RegExp, BackendErrorCode])[] = [
  // What SDK 1.5 makes of the codes above, which it does not hand on.
  [/cannot find a model with path/i, 'MAI_MODEL_NOT_FOUND'],
  [/cannot find a model with (the given )?identifier|no loaded model satisfies|no model found that fits/i, 'MAI_MODEL_UNLOADED'],
  [/(been|model) unloaded/i, 'MAI_MODEL_UNLOADED'],
  [/wrong domain/i, 'MAI_REQUEST_INVALID'],
  [/failed to authenticate|failed to parse authentication/i, 'MAI_AUTH_REFUSED'],
  [/ECONNREFUSED/, 'MAI_BACKEND_UNREACHABLE'],
  [/websocket.*(closed|timed out|disposed|not open)|(connection|socket) (was )?closed|socket hang up|ECONNRESET/i, 'MAI_BACKEND_LOST'],
  [/^invalid parameter/i, 'MAI_REQUEST_INVALID'],
  [/unexpected server response|has been disposed/i, 'MAI_BACKEND_LOST'],
  [/insufficient system resources|model loading aborted due to|guardrail/i, 'MAI_LOAD_REFUSED'],
  [
    /trying to keep the first \d+ tokens|n_keep .*>= n_ctx|context (length )?overflow|exceeds? the (available )?context/i,
    'MAI_CONTEXT_OVERFLOW',
  ],
  [/out of memory|failed to allocate|unable to allocate/i, 'MAI_MODEL_CRASHED'],
  [/model has crashed|exit code/i, 'MAI_MODEL_CRASHED'],
  [/does not support (images|vision|image)|not a vision model|vision add-?on/i, 'MAI_REQUEST_INVALID'],
  [/(model|identifier|path).*(not (found|loaded)|does not exist)|(cannot find|no) (a )?model/i, 'MAI_MODEL_NOT_FOUND'],
]

const CURES: Readonly<Partial<Record<BackendErrorCode, string>>> = {
  MAI_BACKEND_UNREACHABLE: 'Start LM Studio with `lms server start`.',
  MAI_BACKEND_LOST: 'Check that LM Studio is still running.',
  MAI_BACKEND_ERROR: 'See the log of LM Studio: `lms log stream`.',
  MAI_AUTH_REFUSED: 'Give lmstudio({ apiToken }) a token of this LM Studio, or switch its authentication off.',
  MAI_LOAD_REFUSED: 'Close other programs, use a shorter context or a smaller model, or relax the guardrails in the settings of LM Studio.',
}

/** The `MaiError` for whatever the SDK threw. `secrets` are kept out of its text. */
export function classify(error: unknown, doing: Doing, secrets: readonly string[] = []): MaiError {
  if (isMaiError(error)) return error
  const raw = told(error)
  const clean = withoutSecrets(raw, secrets)
  const text = plain(clean)
  const code = meaning(error, text, doing)
  const cure = CURES[code]
  // A log prints causes too: one that tells a secret is left out.
  const cause = clean === raw ? { cause: error } : {}
  return backendError(code, `LM Studio: ${text || 'an error without a message'}`, { ...cause, ...(cure === undefined ? {} : { cure }) })
}

function meaning(error: unknown, text: string, doing: Doing): BackendErrorCode {
  const code = displayCode(error)
  const system = errorField(error, 'code')
  const found =
    (code === undefined ? undefined : BY_CODE[code]) ??
    (system === undefined ? undefined : BY_SYSTEM_CODE[system]) ??
    BY_TEXT.find(([pattern]) => pattern.test(text))?.[1]
  // While it answers, a model that cannot be found has been unloaded by somebody; while it loads, it is not there at all.
  if (doing === 'generate' && found === 'MAI_MODEL_NOT_FOUND') return 'MAI_MODEL_UNLOADED'
  if (doing === 'load' && found === 'MAI_MODEL_UNLOADED') return 'MAI_LOAD_FAILED'
  return found ?? (doing === 'load' ? 'MAI_LOAD_FAILED' : 'MAI_BACKEND_ERROR')
}

/**
 * What an error says. In a terminal the SDK draws a box round its messages and wraps them;
 * what it drew is kept beside the message. Errors with a title go on with lists of models: only their beginning is told.
 */
function told(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : 'something that is not an error'
  const message = errorField(error, 'lmstudioRawError') ?? error.message
  const title = errorField(error, 'title')
  if (title === undefined) return message
  const beginning = message.trim().split(/\n\s*\n/)[0] ?? ''
  return beginning.includes(title) ? beginning : `${title}: ${beginning}`
}

function displayData(error: unknown): Record<string, unknown> | undefined {
  const data = error instanceof Error && 'displayData' in error ? error.displayData : undefined
  // An object from the wire: any key may be in it.
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>) : undefined
}

function displayCode(error: unknown): string | undefined {
  const code = displayData(error)?.code
  return typeof code === 'string' ? code : undefined
}

function errorField(error: unknown, field: string): string | undefined {
  if (!(error instanceof Error)) return undefined
  const value: unknown = Reflect.get(error, field)
  return typeof value === 'string' ? value : undefined
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((clean, secret) => (secret === '' ? clean : clean.replaceAll(secret, '…')), text)
}

/** A stranger's text on one line: without colours, control characters and drawn boxes, cut to length. */
export function plain(text: string): string {
  const clean = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, '')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the same
    .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u2500-\u257f]+/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, '')}…` : clean
}
