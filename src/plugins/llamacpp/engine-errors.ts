/**
 * What the engine throws, as errors of Mai.
 *
 * @module
 */
import { backendError } from '../../chat/failure.ts'
import { isMaiError, toErrorFact } from '../../core/errors.ts'

/** The embedded engine is an optional package. */
export function notInstalled(cause: unknown): Error {
  return backendError('MAI_BACKEND_UNREACHABLE', 'The embedded engine (node-llama-cpp) is not installed.', {
    cure: 'Install it beside Mai: npm install node-llama-cpp',
    cause,
  })
}

/** There is no server whose log could tell more. */
const BROKEN = 'The file may be broken: fetch the model again, or use another.'

/** A file that must not be given to the engine, as it would end the process. */
export function deadlyFile(file: string, problem: string): Error {
  return backendError('MAI_LOAD_FAILED', `${file} would crash the engine: ${problem}.`, { cure: BROKEN })
}

/** @returns the error of a load that failed: by memory, or by its file */
export function loadError(file: string, cause: unknown): Error {
  if (isMaiError(cause)) return cause
  const { code, message } = toErrorFact(cause)
  // The name that the library gives to its class; a failed allocation of llama.cpp itself has only its text.
  const memory = code === 'InsufficientMemoryError' || /memory|failed to allocate|too large/i.test(message)
  if (memory) return backendError('MAI_LOAD_REFUSED', `There is not enough memory for ${file}: ${message}`, { cause })
  return backendError('MAI_LOAD_FAILED', `${file} cannot be loaded: ${message}.`, { cause, cure: BROKEN })
}
