/**
 * How many tokens a model takes for text of each kind and for the template around a message, learned from whole prompts
 * that its engine has counted.
 *
 * Recursive least squares with a prediction interval: what a prompt has at most follows from how well the weights of its
 * kinds are known (a prompt unlike those before has a wide interval), and from how far off prompts were all the same. What
 * was never seen keeps a wide spread, so estimates for a new script stay on the safe side until a prompt has had some of it.
 *
 * @module
 */
import { type Amount, KINDS, plain, total } from './amount.ts'

/** What is known of a tokenizer. */
export interface Fitted {
  /** Tokens by kind, and last for a message's template. */
  readonly weights: readonly number[]
  /** How far off each may be. */
  readonly spreads: readonly number[]
  /** How far off a prompt may be in spite of them, relative to it. */
  readonly scatter: number
}

/** "May be" is so many standard deviations: Student's t for one prompt in some thousands, with as many reports as the scatter remembers. */
const SIGMAS = 4
/** Tokens of a message's template (ChatML: four or five). */
const TEMPLATE = { usual: 5, most: 7 }
const MOST: readonly number[] = [...KINDS, TEMPLATE].map(({ most }) => most)
/** Before anything is known. The scatter is that of ordinary mixtures of prose and code. */
const UNKNOWN: Fitted = {
  weights: [...KINDS, TEMPLATE].map(({ usual }) => usual),
  spreads: [...KINDS, TEMPLATE].map(({ usual, most }) => most - usual),
  scatter: 0.1,
}
/** Scatter by which the weights are fitted: how slowly reports narrow the spread. Not the one observed, or one strange report would make all later ones count less. */
const FIT_SCATTER = 0.1
/** No prompts are foretold better, and beyond the most it is the weights that are wrong. */
const LEAST_SCATTER = 0.02
const MOST_SCATTER = 0.5
/** From so many tokens on, as a share of a prompt's, all reports together, a kind has been told of. */
const TOLD = 0.05
/** A kind that was told of keeps no more than this share of its widest spread, and what is kept says so by it. */
const TOLD_SPREAD = 0.99
/** Reports that the scatter remembers; and for how many it stands before there are any. */
const REMEMBERED = 20
const PRIOR_REPORTS = 4
/** How far a weight may move from one prompt to the next: a steady model's gain stays at about one in twenty. */
const DRIFT = 0.005
/** What was kept is known no better than this when it is read. */
const LEAST_SPREAD = 0.03
/** No tokenizer in use is further from o200k. Reports beyond are an engine's mistake. */
const MOST_RATIO = 6
/** Smaller changes are not worth a write. */
const WORTH_KEEPING = 0.01
const WORTH_KEEPING_SPREAD = 0.05

/** One tokenizer. */
export class TokenFit {
  #weights: number[]
  /** Covariance of the weights, in terms of "may be": the square of {@link SIGMAS} is in it. */
  #spread: number[][]
  #scatter: number
  #reports: number
  /** Shares of prompts by kind, summed over reports. */
  #told: number[]

  constructor(kept?: Fitted) {
    const known = kept?.weights.length === UNKNOWN.weights.length && kept.spreads.length === UNKNOWN.spreads.length
    const { weights, spreads, scatter } = known ? kept : UNKNOWN
    this.#weights = [...weights]
    this.#spread = spreads.map((spread, at, all) =>
      all.map((_, other) => (other === at ? Math.min(Math.max(spread, LEAST_SPREAD), UNKNOWN.spreads[at] ?? 0) ** 2 : 0)),
    )
    this.#scatter = Math.min(Math.max(scatter, LEAST_SCATTER), MOST_SCATTER)
    this.#reports = known ? REMEMBERED : 0
    this.#told = spreads.map((spread, at) => (spread <= TOLD_SPREAD * (UNKNOWN.spreads[at] ?? 0) ? TOLD : 0))
  }

  /** What to keep of it. */
  get fitted(): Fitted {
    const spreads = UNKNOWN.spreads.map((widest, at) => {
      const spread = Math.sqrt(Math.max(0, this.#spread[at]?.[at] ?? 0))
      return this.#isTold(at) ? Math.min(spread, TOLD_SPREAD * widest) : widest
    })
    return { weights: this.#weights, spreads, scatter: this.#scatter }
  }

  /** Tokens that this probably comes to, half the scatter above the mean; not rounded. */
  likely(amount: Amount, messages: number): number {
    return dot(this.#weights, [...amount, messages]) * (1 + this.#scatter / 2)
  }

  /**
   * Tokens that this comes to at most, as far as is known; not rounded: kinds that reports told of by their interval, the
   * others at their most together, as a tokenizer that is poor at one script is poor at the next. Of parts together never
   * less than of the whole.
   */
  bound(amount: Amount, messages: number): number {
    const x = [...amount, messages]
    let unknown = 0
    for (let at = 0; at < x.length; at++) {
      const units = x[at] ?? 0
      if (units === 0 || this.#isTold(at)) continue
      unknown += units * Math.max(MOST[at] ?? 0, (this.#weights[at] ?? 0) * (1 + this.#scatter / 2))
      x[at] = 0
    }
    const mean = dot(this.#weights, x)
    return unknown + mean + Math.sqrt((this.#scatter * mean) ** 2 + this.#varianceOf(x))
  }

  /**
   * The same for what cannot be left out. Signs count at their bytes, which tokenizers in use reach; words before the first
   * report at what is likely, so that no model is refused for what a toy would take.
   */
  needed(amount: Amount, messages: number): number {
    if (this.#reports > 0) return this.bound(amount, messages)
    const [words = 0, ...others] = amount
    return this.bound([0, ...others], messages) + this.likely(plain(words), 0)
  }

  /** @param reported tokens of the whole prompt by the model's own tokenizer */
  learn(amount: Amount, messages: number, reported: number): void {
    // Taken relative to its size, a short prompt tells as much as a long one.
    const size = total(amount)
    const x = [...amount, messages].map((value) => value / size)
    const template = (x.at(-1) ?? 0) * (this.#weights.at(-1) ?? 0)
    const least = KINDS.reduce((sum, kind, at) => sum + kind.least * (x[at] ?? 0), template)
    const seen = Math.min(MOST_RATIO + template, Math.max(least, reported / size))
    const expected = dot(this.#weights, x)
    const error = seen - expected
    this.#widen(x.map((value) => (DRIFT * value) ** 2))
    const wrong = error > MOST_SCATTER * expected + Math.sqrt(this.#varianceOf(x))
    // No scatter: the weights themselves are wrong, and as far off as this.
    if (wrong) this.#widen(x.map((value) => (value > 0 ? error ** 2 / dot(x, x) : 0)))
    const spread = this.#spread.map((row) => dot(row, x))
    const variance = dot(spread, x)
    const gain = spread.map((value) => value / (variance + FIT_SCATTER ** 2))
    if (!wrong) this.#noteScatter(error / expected, FIT_SCATTER ** 2 / (variance + FIT_SCATTER ** 2))
    this.#told = this.#told.map((told, at) => told + ((x[at] ?? 0) * (this.#weights[at] ?? 0)) / expected)
    this.#weights = this.#weights.map((weight, at) => Math.max(0, weight + (gain[at] ?? 0) * error))
    this.#spread = this.#spread.map((row, at) => row.map((value, other) => value - (gain[at] ?? 0) * (spread[other] ?? 0)))
    this.#reports++
  }

  /**
   * The error before a report times the error after it is the variance that no weights explain. Only longer prompts than
   * expected threaten a window; of an even scatter they are half, so they count twice.
   *
   * @param remaining share of the error that is left after the report
   */
  #noteScatter(error: number, remaining: number): void {
    const unexplained = 2 * (SIGMAS * Math.max(0, error)) ** 2 * remaining
    const share = 1 / Math.min(REMEMBERED, PRIOR_REPORTS + this.#reports)
    const scatter = Math.sqrt((1 - share) * this.#scatter ** 2 + share * unexplained)
    this.#scatter = Math.min(Math.max(scatter, LEAST_SCATTER), MOST_SCATTER)
  }

  #isTold(at: number): boolean {
    return (this.#told[at] ?? 0) >= TOLD
  }

  #varianceOf(x: readonly number[]): number {
    let sum = 0
    for (let at = 0; at < x.length; at++) {
      const value = x[at] ?? 0
      const row = this.#spread[at]
      if (value !== 0 && row) sum += value * dot(row, x)
    }
    return Math.max(0, sum)
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
  return within(a.weights, b.weights, WORTH_KEEPING) && within([...a.spreads, a.scatter], [...b.spreads, b.scatter], WORTH_KEEPING_SPREAD)
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0)
  return sum
}
