/**
 * Exit codes, and errors as a person or a script gets them.
 *
 * @module
 */
import { isMaiError, toErrorFact } from '../core/errors.ts'
import { neutralise } from './neutralise.ts'
import { columnsOf, isTerminal, type Screen } from './terminal/colour.ts'
import { wrapped } from './terminal/width.ts'

/** As wide as `mai: `. */
const INDENT = '     '

/** 0 answered, 1 failed, 2 usage, 69 nothing can serve, 78 configuration, 130 interrupted. */
export function exitCodeOf(error: unknown): number {
  const code = isMaiError(error) ? error.code : ''
  if (/^MAI_(UNKNOWN|EMPTY_MESSAGE|USAGE|MESSAGE_TOO_LARGE|MODEL_REFERENCE|MODEL_NOT_OURS)/.test(code)) return 2
  if (/^MAI_(NOTHING_SERVES|BACKEND_UNREACHABLE)$/.test(code)) return 69
  if (/^MAI_(CONFIG|PLUGIN|SLOT)_/.test(code)) return 78
  return code === 'MAI_CANCELLED' ? 130 : 1
}

/** `{ code, message, cure }`. */
export function errorJson(error: unknown): { code: string; message: string; cure: string | undefined } {
  if (isMaiError(error)) return { code: error.code, message: error.problem, cure: error.cure }
  const fact = toErrorFact(error)
  return { code: 'MAI_INTERNAL', message: fact.message, cure: undefined }
}

/** What happened, and on the next line the cure; broken between words where a person reads it. */
export function errorText(error: unknown, screen: Screen): string {
  const { message, cure } = errorJson(error)
  const texts = [message, ...(cure ? [cure] : [])].map(neutralise)
  const lines = isTerminal(screen)
    ? texts.flatMap((text) => text.split('\n').flatMap((line) => wrapped(line, columnsOf(screen) - INDENT.length)))
    : texts
  return `mai: ${lines.join(`\n${INDENT}`)}\n`
}
