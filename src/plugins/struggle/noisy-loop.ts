/**
 * Noisy loops: copy after copy with small changes, such as a number that counts up or one other word.
 *
 * @module
 */
import type { LoopFinding } from './exact-loop.ts'
import { NearCopies } from './near-copies.ts'
import type { LoopSettings } from './options.ts'
import type { RecentUnits } from './recent-units.ts'
import { countLines, fluency, isVerse } from './text-class.ts'

/** Fewest copies and units that are judged at all. */
const FEWEST_COPIES = 5
const FEWEST_UNITS = 96
/** Copies before certainty from which text is held back, in prose. */
const CLOSE = 1

/** Likeness of the columns of {@link COPIES}. */
const LIKENESS: readonly number[] = [0.8, 0.85, 0.9, 0.95, 0.985]
const NEVER = Infinity
/** Line breaks a copy from which copies are lines. */
const LINE_SHARE = 0.5
/** Part of the copies of short lines that long ones need: a list of paragraphs is shorter. */
const LONG_LINES = 0.6
/** Likeness of text in which nothing changes but numbers that count. */
const COUNTING = 0.985
/**
 * Copies that make a loop: by fluency, then by period in units, at least so much each, then by likeness.
 * Lists, logs, tables and generated code are near copies by nature, the more so the shorter their lines and the less they speak.
 * Each figure lies above what 7,800 files of prose, sources and data reached, but for one file in 400, none of it prose.
 */
const COPIES: readonly (readonly [fluency: number, byPeriod: readonly (readonly [period: number, copies: readonly number[]])[]])[] = [
  [
    0.45,
    [
      [24, [10, 10, 7, 7, 6]],
      [12, [36, 10, 8, 7, 6]],
      [0, [NEVER, 16, 8, 7, 6]],
    ],
  ],
  [
    0.32,
    [
      [48, [24, 14, 12, 11, 6]],
      [24, [30, 16, 14, 10, 6]],
      [12, [95, 24, 18, 10, 6]],
      [0, [NEVER, 60, 16, 12, 12]],
    ],
  ],
  [
    0.2,
    [
      [96, [NEVER, 32, 18, 12, 6]],
      [48, [NEVER, 75, 60, 12, 6]],
      [24, [NEVER, NEVER, 75, 24, 8]],
      [12, [NEVER, NEVER, 80, 50, 18]],
      [0, [NEVER, NEVER, 50, 36, 36]],
    ],
  ],
  [
    0.08,
    [
      [96, [NEVER, 60, 50, 32, 8]],
      [48, [NEVER, NEVER, NEVER, 52, 10]],
      [24, [NEVER, NEVER, NEVER, 80, 32]],
      [12, [NEVER, NEVER, NEVER, 80, 40]],
      [0, [NEVER, NEVER, NEVER, 64, 60]],
    ],
  ],
  [
    0,
    [
      [96, [NEVER, NEVER, NEVER, NEVER, 24]],
      [48, [NEVER, NEVER, NEVER, NEVER, 60]],
    ],
  ],
]

/** The noisy rule; one an answer. */
export class NoisyLoop {
  readonly #recent: RecentUnits
  readonly #settings: LoopSettings
  readonly #track: NearCopies
  #finding: LoopFinding | undefined
  /** Start of the copy at which the track was judged last. */
  #judgedAt = -1

  constructor(recent: RecentUnits, settings: LoopSettings) {
    this.#recent = recent
    this.#settings = settings
    this.#track = new NearCopies(recent, settings.maxPeriod)
  }

  /** Takes the unit that was added last. @param inFence whether it lies in a code fence */
  judge(inFence: boolean): LoopFinding | undefined {
    const track = this.#track
    track.add()
    if (track.copies < FEWEST_COPIES - CLOSE || track.units < FEWEST_UNITS) {
      this.#finding = undefined
      return undefined
    }
    // Once a copy, so that the look back costs a few steps a unit.
    if (track.copyStart !== this.#judgedAt) {
      this.#judgedAt = track.copyStart
      this.#finding = this.#look(inFence)
    }
    return this.#finding
  }

  #look(inFence: boolean): LoopFinding | undefined {
    const { copies, period, likeness, copyStart } = this.#track
    const { count } = this.#recent
    const first = Math.max(copyStart - 2 * period, 0)
    const fluent = fluency(this.#recent, first, count)
    const need = this.#need(fluent, inFence, first)
    const certain = copies >= need
    if (!certain && !(fluent >= PROSE && copies >= need - CLOSE)) return undefined
    const evidence = `${copies} near copies of about ${period} units, ${Math.round(likeness * 100)} % alike`
    return { certain, from: this.#finding?.from ?? count - 1, evidence }
  }

  /** Copies that make a loop of what the track follows. */
  #need(fluent: number, inFence: boolean, first: number): number {
    const { likeness, period } = this.#track
    const { minNearVerses, likeness: least } = this.#settings
    if (likeness < least) return NEVER
    const column = LIKENESS.findLastIndex((from) => likeness >= from)
    // In a code block even sentences may be data.
    const byPeriod = COPIES.find(([from]) => (inFence ? fluent / 2 : fluent) >= from)?.[1]
    const copies = byPeriod?.find(([from]) => period >= from)?.[1][column] ?? NEVER
    const { count } = this.#recent
    if (countLines(this.#recent, first, count) * period < (count - first) * LINE_SHARE) return copies
    // Verses and lists have many items that are alike by nature; only where nothing but numbers counts up it needs fewer.
    const short = isVerse(this.#recent, first, count) && likeness < COUNTING
    return Math.max(short ? minNearVerses : Math.ceil(minNearVerses * LONG_LINES), copies)
  }
}

const PROSE = COPIES[0]?.[0] ?? 1
