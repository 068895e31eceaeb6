/**
 * How many tokens a model takes for text of each script and for the template around a message, learned from whole
 * prompts that its engine has counted.
 *
 * Recursive least squares: each report narrows what it tells of. What was never seen keeps a wide spread, so estimates
 * for a new script stay on the safe side until a prompt has had some of it.
 *
 * @module
 */

/**
 * Size of a text by script: o200k tokens of its ASCII, and signs (UTF-16 units) of scripts with two bytes a sign in UTF-8
 * and typographic signs, of Chinese, Japanese and Korean, and of all others.
 */
export type Amount = readonly [ascii: number, western: number, eastern: number, rare: number]

/** What is known of a tokenizer, script by script and last for a message's template: tokens for each, and how far off that may be. */
export interface Fitted {
  readonly weights: readonly number[]
  readonly spreads: readonly number[]
}

/**
 * Before anything is known: what is usual, and together with the spread not less than tokenizers of few hundred words take
 * of ASCII, and than one token for each UTF-8 byte of other scripts, which is the most that any takes.
 */
const UNKNOWN: Fitted = { weights: [1.2, 0.7, 1, 1.2, 5], spreads: [1.8, 1.4, 2, 2, 2] }
/** Relative scatter of a prompt's tokens around a perfect fit: how slowly reports narrow the spread. */
const SCATTER = 0.1
/** How far a weight may move from one prompt to the next: a steady model's gain stays at about one in twenty. */
const DRIFT = 0.005
/** What was kept is known no better than this when it is read. */
const LEAST_SPREAD = 0.03
/** On top of everything; and by how much the worst recent surprise is exceeded, as code or links may come after much plain talk. */
const MARGIN = 1.02
const SURPRISE_MARGIN = 1.1
const MOST_SURPRISE = 0.5
/** A surprise is forgotten by so much with each report. */
const FORGET = 0.97
/**
 * No tokenizer in use is further from o200k, and of signs none takes less: even o200k has 0.33 to 0.46 tokens a sign of
 * Cyrillic, Arabic, Hindi or Thai. Reports beyond are an engine's mistake.
 */
const LEAST_RATIO = 0.5
const LEAST_SIGN_RATIO = 0.1
const MOST_RATIO = 6
/** Smaller changes are not worth a write. */
const WORTH_KEEPING = 0.01
const WORTH_KEEPING_SPREAD = 0.05

/** One tokenizer. */
export class TokenFit {
  #weights: number[]
  /** Covariance of the weights. */
  #spread: number[][]
  #surprise = 0

  constructor({ weights, spreads }: Fitted = UNKNOWN) {
    const known = weights.length === UNKNOWN.weights.length && spreads.length === weights.length
    this.#weights = [...(known ? weights : UNKNOWN.weights)]
    this.#spread = (known ? spreads : UNKNOWN.spreads).map((spread, at, all) =>
      all.map((_, other) => (other === at ? Math.min(Math.max(spread, LEAST_SPREAD), UNKNOWN.spreads[at] ?? 0) ** 2 : 0)),
    )
  }

  /** What to keep of it. */
  get fitted(): Fitted {
    return { weights: this.#weights, spreads: this.#spread.map((row, at) => Math.sqrt(Math.max(0, row[at] ?? 0))) }
  }

  /** Tokens that this probably comes to, with a margin; not rounded. */
  likely(amount: Amount, messages: number): number {
    return dot(this.#weights, [...amount, messages]) * Math.max(MARGIN, 1 + SURPRISE_MARGIN * this.#surprise)
  }

  /** Tokens that this comes to at most, as far as is known; not rounded. Of parts together never less than of the whole. */
  bound(amount: Amount, messages: number): number {
    const x = [...amount, messages]
    return this.likely(amount, messages) + Math.sqrt(this.#varianceOf(x))
  }

  /** @param reported tokens of the whole prompt by the model's own tokenizer */
  learn(amount: Amount, messages: number, reported: number): void {
    // Taken relative to its size, a short prompt tells as much as a long one.
    const size = total(amount)
    const x = [...amount, messages].map((value) => value / size)
    const template = (x.at(-1) ?? 0) * (this.#weights.at(-1) ?? 0)
    const least = LEAST_SIGN_RATIO + (LEAST_RATIO - LEAST_SIGN_RATIO) * (x[0] ?? 0)
    const seen = Math.min(MOST_RATIO + template, Math.max(least + template, reported / size))
    const expected = dot(this.#weights, x)
    this.#widen(x.map((value) => (DRIFT * value) ** 2))
    const deviation = Math.sqrt(this.#varianceOf(x))
    const surprise = (seen - expected - deviation) / expected
    if (seen > expected * (1 + SURPRISE_MARGIN * MOST_SURPRISE) + deviation) {
      // No scatter: the weights themselves are wrong, and as far off as this.
      const wrong = (seen - expected) ** 2 / dot(x, x)
      this.#widen(x.map((value) => (value > 0 ? wrong : 0)))
      this.#surprise *= FORGET
    } else this.#surprise = Math.min(MOST_SURPRISE, Math.max(surprise, FORGET * this.#surprise))
    const spread = times(this.#spread, x)
    const variance = this.#varianceOf(x)
    const gain = spread.map((value) => value / (variance + SCATTER ** 2))
    this.#weights = this.#weights.map((weight, at) => Math.max(0, weight + (gain[at] ?? 0) * (seen - expected)))
    this.#spread = this.#spread.map((row, at) => row.map((value, other) => value - (gain[at] ?? 0) * (spread[other] ?? 0)))
  }

  #varianceOf(x: readonly number[]): number {
    return Math.max(0, dot(x, times(this.#spread, x)))
  }

  /** @param more variance by weight; none gets wider than before anything was known */
  #widen(more: readonly number[]): void {
    for (const [at, row] of this.#spread.entries()) {
      const now = row[at] ?? 0
      row[at] = Math.max(now, Math.min(now + (more[at] ?? 0), (UNKNOWN.spreads[at] ?? 0) ** 2))
    }
  }
}

/** Whether two fits differ by so little that the older may stay. */
export function isNear(a: Fitted, b: Fitted): boolean {
  const within = (x: readonly number[], y: readonly number[], most: number): boolean =>
    x.every((value, at) => Math.abs(value - (y[at] ?? 0)) < most)
  return within(a.weights, b.weights, WORTH_KEEPING) && within(a.spreads, b.spreads, WORTH_KEEPING_SPREAD)
}

/** All scripts together. */
export function total([ascii, western, eastern, rare]: Amount): number {
  return ascii + western + eastern + rare
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0)
  return sum
}

function times(matrix: readonly (readonly number[])[], x: readonly number[]): number[] {
  return matrix.map((row) => dot(row, x))
}
