/**
 * Makes untrusted strings harmless: model names, error messages and the like may hold escape sequences,
 * bidirectional controls, line breaks or secrets.
 *
 * @module
 */

/** Shown instead of a secret. */
export const REDACTED = '[redacted]'

/** What a terminal acts on instead of showing: C0, C1, bidirectional controls, and the two Unicode line breaks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ACTIVE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** The same without C0, which JSON escapes by itself. */
const ACTIVE_IN_JSON = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

const SECRET_KEY = /(?:api_?key|passkey|pass_?word|passphrase|authorization|secret|(?:^|[a-z_])token)$/i

/** Patterns of secrets inside text, each with what stays of it. */
const SECRETS: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{4,}/gi, `$1 ${REDACTED}`],
  [/\bsk-[\w-]{6,}/g, REDACTED],
  [/\b(?:hf|ghp|gho|github_pat)_\w{10,}/g, REDACTED],
  [/(\/\/)[^\s/@:]*:[^\s/@]+@/g, `$1${REDACTED}@`],
  [
    /\b((?:[a-z]+[_-])*(?:api_?-?key|passkey|password|passphrase|secret|token)["']?\s{0,3}[:=]\s{0,3}["']?)(?!\[redacted\])[^\s"',;&}]+/gi,
    `$1${REDACTED}`,
  ],
]

/** One quick look tells most strings, such as model keys, to be clean. */
const SUSPICIOUS = /bearer|basic|sk-|hf_|gh[po]_|github_pat|\/\/|key|pass|secret|token/i

/** Text that a terminal only shows: each active character becomes its escape, such as `\x1b`. */
export function neutralise(text: string): string {
  return text.replace(ACTIVE, escapeOf)
}

/** A line of JSON that is harmless when printed as it is; it parses to the same value. */
export function neutraliseJson(line: string): string {
  return line.replace(ACTIVE_IN_JSON, (character) => `\\u${hex(character, 4)}`)
}

/** The keys of events are few and come again and again. */
const keysSeen = new Map<string, boolean>()
const MAX_KEYS = 500

/** Whether a value under this key is a secret. Counts such as `promptTokens` are none. */
export function isSecretKey(key: string): boolean {
  const known = keysSeen.get(key)
  if (known !== undefined) return known
  const secret = SECRET_KEY.test(key.replaceAll('-', '_'))
  if (keysSeen.size < MAX_KEYS) keysSeen.set(key, secret)
  return secret
}

/** Text without secrets that can be told by their looks. */
export function redactText(text: string): string {
  if (!SUSPICIOUS.test(text)) return text
  let clean = text
  for (const [pattern, replacement] of SECRETS) clean = clean.replace(pattern, replacement)
  return clean
}

function escapeOf(character: string): string {
  if (character === '\n') return '\\n'
  if (character === '\t') return '\\t'
  const wide = character.charCodeAt(0) > 0xff
  return wide ? `\\u${hex(character, 4)}` : `\\x${hex(character, 2)}`
}

function hex(character: string, width: number): string {
  return character.charCodeAt(0).toString(16).padStart(width, '0')
}
