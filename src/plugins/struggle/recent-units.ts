/**
 * The last units of a text, and how long each period has been repeating itself at its end.
 *
 * @module
 */
import { IDEOGRAPH, NEWLINE, type UnitKind, WORD } from './lexer.ts'

/** Units that are remembered; a power of two. */
export const MEMORY = 2048
const MASK = MEMORY - 1
/** Marks of a unit. */
const FOLLOWS = 1
const APART = 2

/** A ring of units with an index by hash. Positions count from the start of the text. */
export class RecentUnits {
  /** Units added so far; the last has position `count - 1`. */
  count = 0
  /** The period whose run is longest at the end, 0 for none; and that run, in units: each equals the unit one period before. */
  period = 0
  run = 0
  readonly #hashes = new Int32Array(MEMORY)
  readonly #kinds = new Uint8Array(MEMORY)
  readonly #starts = new Float64Array(MEMORY)
  readonly #values = new Float64Array(MEMORY)
  readonly #marks = new Uint8Array(MEMORY)
  #lastKind: UnitKind | 0 = 0
  #lastEnd = 0
  /** Position after that of the last unit in a bucket, and before it of the one before. */
  readonly #heads = new Int32Array(MEMORY)
  readonly #previous = new Int32Array(MEMORY)
  readonly #maxPeriod: number
  /** By period: the run that ended at unit `stamps[period]`. */
  readonly #runs: Int32Array
  readonly #stamps: Int32Array

  constructor(maxPeriod: number) {
    this.#maxPeriod = Math.min(maxPeriod, MEMORY / 2)
    this.#runs = new Int32Array(this.#maxPeriod + 1)
    this.#stamps = new Int32Array(this.#maxPeriod + 1).fill(-2)
    this.#heads.fill(-1)
  }

  /** Visits only earlier units that are equal, so that ordinary text costs a few steps a unit. */
  add(hash: number, kind: UnitKind, start: number, end: number, value: number): void {
    const at = this.count++
    const bucket = hash & MASK
    const hashes = this.#hashes
    const oldest = at - this.#maxPeriod
    let period = 0
    let longest = 0
    for (let other = this.#heads[bucket] ?? -1; other >= oldest && other >= 0; other = this.#previous[other & MASK] ?? -1) {
      if (hashes[other & MASK] !== hash) continue
      const distance = at - other
      const run = this.#stamps[distance] === at - 1 ? (this.#runs[distance] ?? 0) + 1 : 1
      this.#runs[distance] = run
      this.#stamps[distance] = at
      if (run > longest) {
        longest = run
        period = distance
      }
    }
    this.period = period
    this.run = longest
    const slot = at & MASK
    hashes[slot] = hash
    this.#kinds[slot] = kind
    this.#starts[slot] = start
    this.#values[slot] = value
    const gap = start - this.#lastEnd
    const follows = kind === this.#lastKind && isSpoken(kind, gap)
    this.#marks[slot] = (follows ? FOLLOWS : 0) | (gap > 0 || this.#lastKind === NEWLINE ? APART : 0)
    this.#lastKind = kind
    this.#lastEnd = end
    this.#previous[slot] = this.#heads[bucket] ?? -1
    this.#heads[bucket] = at
  }

  /** The period within `drift` of another whose run at the end is longest, 0 where none is at least `shortest` long. */
  periodNear(period: number, drift: number, shortest: number): number {
    const at = this.count - 1
    let found = 0
    let longest = shortest - 1
    const last = Math.min(this.#maxPeriod, period + drift)
    for (let other = Math.max(1, period - drift); other <= last; other++) {
      if (this.#stamps[other] !== at) continue
      const run = this.#runs[other] ?? 0
      if (run > longest) {
        longest = run
        found = other
      }
    }
    return found
  }

  /** The shortest period whose run at the end is at least so long, in units; 0 where none is. */
  shortestPeriod(run: number): number {
    const at = this.count - 1
    for (let period = 1; period <= this.#maxPeriod; period++) {
      if (this.#stamps[period] === at && (this.#runs[period] ?? 0) >= run) return period
    }
    return 0
  }

  /** Run at the end with a given period, in units. */
  runOf(period: number): number {
    return this.#stamps[period] === this.count - 1 ? (this.#runs[period] ?? 0) : 0
  }

  /** Units among the last `many` that differ from the one `period` before; counting stops beyond `most`. */
  differing(period: number, many: number, most: number): number {
    let differing = 0
    for (let at = this.count - 1; at >= this.count - many && differing <= most; at--) {
      if (this.hashAt(at) !== this.hashAt(at - period)) differing++
    }
    return differing
  }

  /** Hash of the unit at a position that is still remembered. */
  hashAt(position: number): number {
    return this.#hashes[position & MASK] ?? 0
  }

  kindAt(position: number): UnitKind {
    return (this.#kinds[position & MASK] ?? 0) as UnitKind
  }

  /** Its value: that of a number, or the place of a word in the alphabet. */
  valueAt(position: number): number {
    return this.#values[position & MASK] ?? 0
  }

  /** Whether it is a word that follows a word as in a sentence. */
  followsAt(position: number): boolean {
    return ((this.#marks[position & MASK] ?? 0) & FOLLOWS) !== 0
  }

  /** Whether a blank or a line break is before it. */
  isApartAt(position: number): boolean {
    return ((this.#marks[position & MASK] ?? 0) & APART) !== 0
  }

  /** Where it starts, in UTF-16 units. */
  startAt(position: number): number {
    return this.#starts[position & MASK] ?? 0
  }
}

/** Words of a sentence have one blank between them, or none in a script without spaces. */
function isSpoken(kind: UnitKind, gap: number): boolean {
  return (kind === WORD && gap === 1) || (kind === IDEOGRAPH && gap === 0)
}
