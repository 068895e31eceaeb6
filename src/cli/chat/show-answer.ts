/**
 * One answer from its stream to the screen, with what is shown while it is waited for.
 *
 * @module
 */
import type { Mai } from '../../chat/mai.ts'
import type { ReplyStream } from '../../chat/reply.ts'
import { type AnswerPlace, AnswerView } from '../terminal/answer-view.ts'
import { StatusLine } from '../terminal/status-line.ts'
import { showWaiting } from './waiting.ts'

/** Shows all of it. Throws what the stream throws, with the line ended. */
export async function showAnswer(
  mai: Mai,
  stream: ReplyStream,
  place: AnswerPlace,
  statusScreen: NodeJS.WritableStream | undefined,
): Promise<void> {
  const view = new AnswerView(place)
  const endWaiting = showWaiting(mai, new StatusLine(statusScreen))
  let begun = false
  try {
    for await (const piece of stream) {
      if (!begun && (piece.type === 'text' || place.reasoning)) {
        begun = true
        endWaiting()
      }
      view.push(piece)
    }
    endWaiting()
    view.end()
  } catch (error) {
    endWaiting()
    if (begun) view.end()
    throw error
  }
}
