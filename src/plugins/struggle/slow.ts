/**
 * Slow: the model writes far below what it has shown on this machine, as when its memory is being swapped out.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, PieceFacts, Verdict, Watcher } from '../../chat/watcher.ts'
import type { SlowSettings } from './options.ts'

/** Parts of the window; speed is known to this grain, and memory stays the same whatever the speed. */
const SLICES = 20
/** Characters a token where the backend does not say how many tokens a piece has: usual for English. */
const CHARS_A_TOKEN = 4
const CLEAR: Verdict = { state: 'clear' }

/** Watches writing speed. Judges nothing where neither a shown speed nor an absolute floor is known. */
export function slowWatcher(settings: SlowSettings): Watcher {
  return { name: 'struggle: slow', start: (answer) => new SlowWatch(answer, settings) }
}

class SlowWatch implements AnswerWatch {
  readonly #settings: SlowSettings
  /** Tokens/s below which the model struggles. */
  readonly #floor: number
  /** Tokens by slice of time, and the slice that each entry belongs to. */
  readonly #tokens = new Float64Array(SLICES)
  readonly #slices = new Float64Array(SLICES).fill(-1)
  #firstAt: number | undefined
  #chars: number

  constructor(answer: AnswerStart, settings: SlowSettings) {
    const relative = settings.share * (answer.shown.writingPerSecond ?? 0)
    this.#settings = settings
    this.#floor = Math.max(relative, settings.floorPerSecond ?? 0)
    this.#chars = answer.already.length
  }

  push(text: string, now: number, facts?: PieceFacts): Verdict {
    this.#chars += text.length
    return this.#add(facts?.tokens ?? text.length / CHARS_A_TOKEN, now)
  }

  alive(now: number, facts?: PieceFacts): Verdict {
    // Progress of the prompt is not writing: it has no tokens.
    return facts && facts.tokens > 0 ? this.#add(facts.tokens, now) : CLEAR
  }

  tick(now: number): Verdict {
    const { windowMs, graceMs } = this.#settings
    if (this.#floor === 0 || this.#firstAt === undefined || now - this.#firstAt < graceMs + windowMs) return CLEAR
    const oldest = this.#sliceOf(now - windowMs)
    let tokens = 0
    for (let n = 0; n < SLICES; n++) if ((this.#slices[n] ?? -1) > oldest) tokens += this.#tokens[n] ?? 0
    const speed = (tokens * 1000) / windowMs
    if (speed >= this.#floor) return CLEAR
    const evidence = `${speed.toFixed(1)} tokens/s over ${Math.round(windowMs / 1000)} s; at least ${this.#floor.toFixed(1)} expected`
    return { state: 'struggle', kind: 'slow', evidence, cutAt: this.#chars }
  }

  end(): Verdict {
    return CLEAR
  }

  #add(tokens: number, now: number): Verdict {
    this.#firstAt ??= now
    const slice = this.#sliceOf(now)
    const entry = slice % SLICES
    if (this.#slices[entry] !== slice) {
      this.#slices[entry] = slice
      this.#tokens[entry] = 0
    }
    this.#tokens[entry] = (this.#tokens[entry] ?? 0) + tokens
    return CLEAR
  }

  #sliceOf(time: number): number {
    return Math.floor((time * SLICES) / this.#settings.windowMs)
  }
}
