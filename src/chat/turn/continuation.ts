/**
 * Going on in the middle of an answer, by whatever way the backend has.
 *
 * @module
 */
import { isMaiError } from '../../core/errors.ts'
import type { Backend, GenerateRequest, GenerationResult, PieceSink } from '../backend.ts'
import { askForTheRest, Joint } from './seam.ts'

/** One answer. What no engine takes up, or one refuses to, is asked for in words, and what it repeats is taken off. */
export async function generateFrom(
  backend: Pick<Backend, 'abilities' | 'generate'>,
  request: GenerateRequest,
  sink: PieceSink,
): Promise<GenerationResult> {
  const { continueFrom, ...fresh } = request
  const { continuation } = backend.abilities
  if (!continueFrom || continuation === 'raw') return backend.generate(request, sink)
  if (continuation === 'prefill') {
    let begun = false
    try {
      return await backend.generate(request, (piece) => {
        begun ||= piece.type !== 'prefill'
        sink(piece)
      })
    } catch (error) {
      const refused = isMaiError(error) && error.code === 'MAI_REQUEST_INVALID'
      if (!refused || begun || request.signal.aborted) throw error
    }
  }
  const joint = new Joint(continueFrom, sink)
  const result = await backend.generate({ ...fresh, messages: askForTheRest(request.messages, continueFrom) }, joint.sink)
  joint.end(result.finish)
  return result
}
