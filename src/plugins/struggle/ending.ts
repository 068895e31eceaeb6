/**
 * Ending: an answer that ends well by its own account, but has nothing in it or stops inside a character.
 *
 * @module
 */
import type { FinishReason } from '../../chat/backend.ts'
import type { AnswerStart, AnswerWatch, PieceFacts, Verdict, Watcher } from '../../chat/watcher.ts'

const CLEAR: Verdict = { state: 'clear' }

/** Watches how answers end. Ends that are failures by themselves are the turn's. */
export function endingWatcher(): Watcher {
  return { name: 'struggle: ending', start: (answer) => new EndingWatch(answer) }
}

class EndingWatch implements AnswerWatch {
  #chars: number
  #hasContent: boolean
  /** The last UTF-16 unit. */
  #last = 0

  constructor({ already }: AnswerStart) {
    this.#chars = already.length
    this.#hasContent = already.trim() !== ''
  }

  push(text: string): Verdict {
    if (text === '') return CLEAR
    this.#chars += text.length
    this.#last = text.charCodeAt(text.length - 1)
    this.#hasContent ||= text.trim() !== ''
    return CLEAR
  }

  alive(_: number, facts?: PieceFacts): Verdict {
    // A call of a tool is an answer without text.
    if (facts?.toolCall) this.#hasContent = true
    return CLEAR
  }

  tick(): Verdict {
    return CLEAR
  }

  end(finish: FinishReason): Verdict {
    if (finish !== 'stop' && finish !== 'length') return CLEAR
    if (finish === 'stop' && !this.#hasContent) {
      return { state: 'struggle', kind: 'empty', evidence: 'the answer has no content', cutAt: this.#chars }
    }
    const halved = this.#last >= 0xd800 && this.#last <= 0xdbff
    if (!halved) return CLEAR
    return { state: 'struggle', kind: 'cut-off', evidence: 'the answer ends inside a character', cutAt: this.#chars - 1 }
  }
}
