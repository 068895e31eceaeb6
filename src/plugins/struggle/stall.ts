/**
 * Stall: nothing comes. Only content counts as life.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, PieceFacts, Verdict, Watcher } from '../../chat/watcher.ts'
import type { StallSettings } from './options.ts'

const CLEAR: Verdict = { state: 'clear' }

/** Watches silence. */
export function stallWatcher(settings: StallSettings): Watcher {
  return { name: 'struggle: stall', start: (answer) => new StallWatch(answer, settings) }
}

/** How long the first content may take, in ms: a model must read the prompt first. */
function firstTokenLimit({ promptTokens, shown, limits }: AnswerStart, settings: StallSettings): number {
  const speed = shown.prefillPerSecond ?? settings.coldPrefillPerSecond
  return Math.max(settings.firstTokenMs ?? limits.firstTokenMs, (settings.firstTokenFactor * promptTokens * 1000) / speed)
}

class StallWatch implements AnswerWatch {
  readonly #firstLimit: number
  readonly #gapMs: number
  /** The last sign of life. */
  #lastAt: number
  #hasContent = false
  /** Characters so far, those of other models included. */
  #chars: number

  constructor(answer: AnswerStart, settings: StallSettings) {
    this.#firstLimit = firstTokenLimit(answer, settings)
    this.#gapMs = settings.gapMs ?? answer.limits.gapMs
    this.#lastAt = answer.time
    this.#chars = answer.already.length
  }

  push(text: string, now: number): Verdict {
    if (text === '') return CLEAR
    this.#chars += text.length
    this.#hasContent = true
    this.#lastAt = now
    return CLEAR
  }

  alive(now: number, { tokens, toolCall }: PieceFacts): Verdict {
    this.#lastAt = now
    // Progress of the prompt is a sign of life, and no content: it may come in large steps.
    if (tokens > 0 || toolCall) this.#hasContent = true
    return CLEAR
  }

  tick(now: number): Verdict {
    const silent = now - this.#lastAt
    if (silent <= (this.#hasContent ? this.#gapMs : this.#firstLimit)) return CLEAR
    const what = this.#hasContent ? 'nothing more' : 'no content'
    return { state: 'struggle', kind: 'stall', evidence: `${what} for ${Math.round(silent / 1000)} s`, cutAt: this.#chars }
  }

  end(): Verdict {
    return CLEAR
  }
}
