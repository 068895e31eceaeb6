/**
 * Follows text that repeats itself with small changes: each unit is held against the copy before, and the place is found
 * again after a word that was changed, put in or left out.
 *
 * @module
 */
import { CopyNews } from './copy-news.ts'
import { NUMBER } from './lexer.ts'
import { MEMORY, type RecentUnits } from './recent-units.ts'

/** A run this long, in units, starts a track, and one this long finds the place again. */
const SEED_RUN = 5
const RESUME_RUN = 3
/** Units, and share of the period, by which a copy may be longer or shorter than the one before. */
const DRIFT_UNITS = 8
const DRIFT_SHARE = 0.25
const MOST_DRIFT = 32
/** Units in a row, and share of the period, that may differ before the track is lost. */
const LOST_UNITS = 6
const LOST_SHARE = 0.5
/** Share of a copy that must equal the one before. */
const LIKE_SHARE = 0.5
/** A number for a number is half a difference, and none where it goes on counting in equal steps. */
const NUMBER_WEIGHT = 0.5
/** Shortest copy, in units. */
const SHORTEST = 3
/** Units after which the length of a copy is looked at again, and the run, in units, that makes a longer one a candidate. */
const REVIEW_UNITS = 256
const REVIEW_RUN = 12
/** A shorter length holds where it differs in no more than so many times the units and one; a longer one where it does in so much less. */
const AS_GOOD = 1.25
const BETTER_SHARE = 0.4
const BETTER_UNITS = 8
const MASK = MEMORY - 1

/** Tracks one repetition; positions are units. */
export class NearCopies {
  /** Copies in a row that are like the one before, the first one included; 0 without a track. */
  copies = 0
  /** Length of the last whole copy, in units. */
  period = 0
  /** The first unit of the copy that is being written. */
  copyStart = 0
  readonly news: CopyNews
  readonly #recent: RecentUnits
  readonly #maxPeriod: number
  /** By unit: the one it was held against. */
  readonly #sources = new Int32Array(MEMORY)
  /** The unit of the copy before that the next unit should equal. */
  #expected = -1
  #copyAlike = 0
  /** Units in a row that differ. */
  #differing = 0
  #alike = 0
  #units = 0
  /** The unit at which the length of a copy was looked at last. */
  #reviewed = 0

  constructor(recent: RecentUnits, maxPeriod: number) {
    this.#recent = recent
    this.news = new CopyNews(recent)
    this.#maxPeriod = maxPeriod
  }

  /** Share of all units of the track that equal the copy before, 0 to 1. */
  get likeness(): number {
    return this.#units === 0 ? 0 : this.#alike / this.#units
  }

  /** Units of the track, the first copy not counted. */
  get units(): number {
    return this.#units
  }

  /** Looks at the unit that was added last. */
  add(): void {
    const recent = this.#recent
    const at = recent.count - 1
    if (this.copies === 0) {
      if (recent.run >= SEED_RUN && recent.period <= this.#maxPeriod) this.#seed(at, recent.shortestPeriod(SEED_RUN))
      return
    }
    this.#units++
    const expected = this.#expected++
    this.#sources[at & MASK] = expected
    if (recent.hashAt(expected) === recent.hashAt(at)) {
      this.#count(1)
      this.news.same(at)
      this.#differing = 0
    } else {
      this.#differ(at, expected)
      this.#resume(at)
    }
    if (this.#expected >= this.copyStart) this.#endCopy(at)
    else if (this.#differing > Math.max(LOST_UNITS, this.period * LOST_SHARE)) this.copies = 0
  }

  #differ(at: number, expected: number): void {
    const weight = this.#numberWeight(at, expected)
    this.#count(weight)
    if (weight === 1) this.news.count(at)
    else this.news.differ(at, expected, this.#sources[expected & MASK] ?? 0, this.#differing === 0)
    this.#differing++
  }

  #numberWeight(at: number, expected: number): number {
    const recent = this.#recent
    const before = 2 * expected - at
    if (recent.kindAt(at) !== NUMBER || recent.kindAt(expected) !== NUMBER) return 0
    const step = recent.valueAt(at) - recent.valueAt(expected)
    const counts = recent.kindAt(before) === NUMBER && recent.valueAt(expected) - recent.valueAt(before) === step
    return counts ? 1 : NUMBER_WEIGHT
  }

  #count(alike: number): void {
    this.#alike += alike
    this.#copyAlike += alike
  }

  #seed(at: number, period: number): void {
    const run = this.#recent.runOf(period)
    this.period = period
    // The first copy ended where the run began.
    this.copyStart = at - run + 1
    this.#expected = at + 1 - period
    this.copies = 1
    this.#alike = this.#units = this.#copyAlike = run
    this.#differing = 0
    this.news.begin()
    this.#reviewed = at
    for (let unit = this.copyStart - period; unit <= at; unit++) this.#match(unit, period)
    if (this.#expected >= this.copyStart) this.#endCopy(at)
  }

  /** Out of step after a word more or less: a run beside the expected place shows where the copy goes on. */
  #resume(at: number): void {
    const drift = Math.min(MOST_DRIFT, Math.max(DRIFT_UNITS, Math.floor(this.period * DRIFT_SHARE)))
    const lag = this.#recent.periodNear(at - this.#expected + 1, drift, RESUME_RUN)
    if (lag === 0 || at + 1 - lag === this.#expected) return
    this.#expected = at + 1 - lag
    this.news.shift()
    const run = this.#recent.runOf(lag)
    for (let unit = at - run + 1; unit <= at; unit++) this.#match(unit, lag)
    // The units of the run before this one were counted as differences.
    this.#count(Math.min(run, this.#differing))
    this.#differing = 0
  }

  #match(unit: number, lag: number): void {
    this.#sources[unit & MASK] = unit - lag
    this.news.same(unit)
  }

  /** The expected place has reached the copy that is being written: the next one begins. */
  #endCopy(at: number): void {
    const size = at + 1 - this.copyStart
    if (size < SHORTEST || this.#copyAlike < LIKE_SHARE * size) {
      this.copies = 0
      return
    }
    this.copies++
    this.news.endCopy(size, size === this.period)
    this.period = size
    this.copyStart = at + 1
    this.#copyAlike = 0
    if (at - this.#reviewed >= REVIEW_UNITS) this.#review(at)
  }

  /** A track may have begun with several copies taken for one, or with a part that a copy has more than once. */
  #review(at: number): void {
    this.#reviewed = at
    const recent = this.#recent
    const { period } = this
    const most = this.#differingUnits(at, period) * AS_GOOD + 1
    for (let shorter = SHORTEST; shorter <= period / 2; shorter++) {
      if (recent.differing(shorter, period, most) <= most) {
        this.#seed(at, shorter)
        return
      }
    }
    const longer = recent.period
    if (longer <= period || recent.run < REVIEW_RUN) return
    const now = this.#differingUnits(at, longer)
    const least = Math.min(now * BETTER_SHARE, now - BETTER_UNITS)
    if (least >= 0 && recent.differing(longer, longer, least) <= least) this.#seed(at, longer)
  }

  /** Those of the last units that differ from what they were held against. */
  #differingUnits(at: number, many: number): number {
    let differing = 0
    for (let unit = at - many + 1; unit <= at; unit++) {
      if (this.#recent.hashAt(unit) !== this.#recent.hashAt(this.#sources[unit & MASK] ?? 0)) differing++
    }
    return differing
  }
}
