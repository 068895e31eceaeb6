/**
 * What the SDK's plain errors mean: it gives text, Mai needs codes.
 *
 * @module
 */
import { type BackendErrorCode, backendError } from '../../chat/failure.ts'
import { isMaiError, type MaiError } from '../../core/errors.ts'

/** What was being done: the same text means different things. */
export type Doing = 'call' | 'load' | 'generate'

/** Longest text of a server that is passed on, in characters. */
const LONGEST = 300

const RULES: readonly (readonly [RegExp, BackendErrorCode])[] = [
  [/failed to authenticate/i, 'MAI_AUTH_REFUSED'],
  [/websocket (connection )?(was )?closed|connection (was )?closed|socket hang up|ECONNRESET/i, 'MAI_BACKEND_LOST'],
  [/insufficient system resources|model loading aborted due to/i, 'MAI_LOAD_REFUSED'],
  [/trying to keep the first \d+ tokens|n_keep .*>= n_ctx|context (length )?overflow/i, 'MAI_CONTEXT_OVERFLOW'],
  [/model has crashed|exit code/i, 'MAI_MODEL_CRASHED'],
  [/unloaded/i, 'MAI_MODEL_UNLOADED'],
  [/not (found|loaded)|cannot find|no model (found|loaded)|does not exist/i, 'MAI_MODEL_NOT_FOUND'],
]

/** The `MaiError` for whatever the SDK threw. */
export function classify(error: unknown, doing: Doing): MaiError {
  if (isMaiError(error)) return error
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const title = error instanceof Error && 'title' in error ? String(error.title) : ''
  const message = error instanceof Error ? error.message : String(error)
  const text = plain(title && !message.includes(title) ? `${title}: ${message}` : message)
  if (code === 'ECONNREFUSED' || /ECONNREFUSED/.test(text)) {
    return backendError('MAI_BACKEND_UNREACHABLE', `LM Studio refused the connection: ${text}`, {
      cause: error,
      cure: 'Start it with `lms server start`.',
    })
  }
  const found = RULES.find(([pattern]) => pattern.test(text))?.[1]
  return backendError(meaning(found, doing), `LM Studio: ${text}`, { cause: error })
}

function meaning(found: BackendErrorCode | undefined, doing: Doing): BackendErrorCode {
  // While it answers, a model that cannot be found has been unloaded by somebody.
  if (doing === 'generate' && found === 'MAI_MODEL_NOT_FOUND') return 'MAI_MODEL_UNLOADED'
  return found ?? (doing === 'load' ? 'MAI_LOAD_FAILED' : 'MAI_BACKEND_ERROR')
}

/** A server's text without control characters and cut to length. */
function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const clean = text.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, '').replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, ' ')
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST)}…` : clean.trim()
}
