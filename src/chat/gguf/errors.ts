/**
 * What can be wrong with a model's file.
 *
 * @module
 */
import { MaiError } from '../../core/errors.ts'

const CURE = 'Fetch the model again, with mai models pull or with the program that brought it.'

export const headerErrors = {
  notGguf: (file: string): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} is not a GGUF file.`, { cure: 'Give a model in the GGUF format, which llama.cpp reads.' }),
  version: (file: string, version: number): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} is GGUF version ${version}; versions 2 and 3 can be read.`, { cure: CURE }),
  truncated: (file: string): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} is cut off: it ends before its own header says.`, { cure: CURE }),
  damaged: (file: string, what: string): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} is damaged: its header speaks of ${what}.`, { cure: CURE }),
  unsupported: (file: string, why: string): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} cannot be run: ${why}.`, { cure: 'Use another model, or another conversion of this one.' }),
  unnamedPart: (file: string, count: number): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} is one of ${count} files of a model, and its name does not say which.`, {
      cure: 'Name them as they were: NAME-00001-of-00003.gguf, say.',
    }),
  notAFile: (file: string, what: string): MaiError =>
    new MaiError('MAI_MODEL_FILE', `${file} is ${what}, not a file.`, { cure: 'Give the path of a .gguf file.' }),
  unreadable: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_MODEL_FILE_UNREADABLE', `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}.`, {
      cure: 'Check that it exists and that you may read it.',
      cause,
    }),
}
