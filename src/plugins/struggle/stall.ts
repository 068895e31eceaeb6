/**
 * Stall: nothing comes. Only content counts as life.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from '../../chat/watcher.ts'
import type { StallSettings } from './options.ts'

const CLEAR: Verdict = { state: 'clear' }

/** Watches silence. */
export function stallWatcher(settings: StallSettings): Watcher {
  return { name: 'struggle: stall', start: (answer) => new StallWatch(answer, settings) }
}

/** How long the first content may take, in ms: a model must read the prompt first. */
function firstTokenLimit({ promptTokens, shown }: AnswerStart, settings: StallSettings): number {
  const speed = shown.prefillPerSecond ?? settings.coldPrefillPerSecond
  return Math.max(settings.firstTokenMs, (settings.firstTokenFactor * promptTokens * 1000) / speed)
}

class StallWatch implements AnswerWatch {
  readonly #firstLimit: number
  readonly #gapMs: number
  readonly #began: number
  #lastAt: number | undefined
  /** Characters so far, those of other models included. */
  #chars: number

  constructor(answer: AnswerStart, settings: StallSettings) {
    this.#firstLimit = firstTokenLimit(answer, settings)
    this.#gapMs = settings.gapMs
    this.#began = answer.time
    this.#chars = answer.already.length
  }

  push(text: string, now: number): Verdict {
    this.#chars += text.length
    if (text !== '') this.#lastAt = now
    return CLEAR
  }

  alive(now: number): Verdict {
    this.#lastAt = now
    return CLEAR
  }

  tick(now: number): Verdict {
    const silent = now - (this.#lastAt ?? this.#began)
    const limit = this.#lastAt === undefined ? this.#firstLimit : this.#gapMs
    if (silent <= limit) return CLEAR
    const what = this.#lastAt === undefined ? 'no content' : 'nothing more'
    return { state: 'struggle', kind: 'stall', evidence: `${what} for ${Math.round(silent / 1000)} s`, cutAt: this.#chars }
  }

  end(): Verdict {
    return CLEAR
  }
}
