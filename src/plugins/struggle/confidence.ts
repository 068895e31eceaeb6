/**
 * Confidence: the model guesses, by its own log-probabilities.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, PieceFacts, Verdict, Watcher } from '../../chat/watcher.ts'
import type { ConfidenceSettings } from './options.ts'

const CLEAR: Verdict = { state: 'clear' }

/** Watches the mean log-probability of the last tokens. Judges nothing where a backend gives none. */
export function confidenceWatcher(settings: ConfidenceSettings): Watcher {
  return { name: 'struggle: confidence', start: (answer) => new ConfidenceWatch(answer, settings) }
}

class ConfidenceWatch implements AnswerWatch {
  readonly #mean: number
  readonly #window: Float64Array
  #count = 0
  #sum = 0
  #chars: number

  constructor({ already }: AnswerStart, { mean, window }: ConfidenceSettings) {
    this.#mean = mean
    this.#window = new Float64Array(window)
    this.#chars = already.length
  }

  push(text: string, _: number, facts?: PieceFacts): Verdict {
    this.#chars += text.length
    for (const value of facts?.logProbabilities ?? []) this.#add(value)
    const mean = this.#sum / this.#window.length
    if (this.#count < this.#window.length || mean > this.#mean) return CLEAR
    const evidence = `mean log-probability ${mean.toFixed(2)} over ${this.#window.length} tokens`
    return { state: 'struggle', kind: 'low-confidence', evidence, cutAt: this.#chars }
  }

  tick(): Verdict {
    return CLEAR
  }

  end(): Verdict {
    return CLEAR
  }

  #add(value: number): void {
    if (!Number.isFinite(value)) return
    const slot = this.#count++ % this.#window.length
    this.#sum += value - (this.#window[slot] ?? 0)
    this.#window[slot] = value
  }
}
