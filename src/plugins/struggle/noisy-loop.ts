/**
 * Noisy loops: copy after copy with small changes, such as a number that counts up or one other word.
 *
 * Lists, logs, tables and generated code are near copies by nature. What parts them from a loop is news: each of their rows has
 * something new at the same place. A loop is certain where many copies have no news, or news of a kind that no list has (see
 * `CopyNews`), or where the news is so little and the copies are so many that no real list has been seen to go on for as long.
 *
 * @module
 */
import type { LoopFinding } from './exact-loop.ts'
import { NearCopies } from './near-copies.ts'
import type { LoopSettings } from './options.ts'
import type { RecentUnits } from './recent-units.ts'
import { APART_SHARE, apartness, CODE_FLUENCY, countLines, fluency, isStamped } from './text-class.ts'

/** Fewest copies and units that are judged at all. */
const FEWEST_COPIES = 5
const FEWEST_UNITS = 96
/** Fewest units of text without sentences: its shortest lines repeat themselves most. */
const FEWEST_CODE_UNITS = 600
const NEVER = Infinity
/** Share of units that copies without news have in common at least. */
const QUIET_LIKENESS = 0.75
/** Text of a code block needs so many times the evidence. */
const FENCE_FACTOR = 2
/** Changes a copy up to which a row of `steady` holds; more are in the last. */
const ONE_CHANGE = 1.25
const TWO_CHANGES = 2.25
/** Mean lengths of a copy from which it is long, and longer, in units. */
const LONG = 24
const LONGER = 48
/** Part of `minNearVerses` that longer copies with line breaks need at least, and how many times it others with several changes do. */
const LONGER_LINES = 0.6
const CHANGING_LINES = 2

/** What makes a loop, in copies unless it says otherwise. */
interface Evidence {
  /** What `CopyNews.slips` must reach. */
  readonly slips: number
  /** Units that `CopyNews.marches` must cover, and not fewer than `FEWEST_MARCHES`. */
  readonly march: number
  /** What a balance of `CopyNews.quiet` must reach, and which one; for copies that are longer, the second number. */
  readonly quiet: readonly [figure: 0 | 1, copies: number, longer: number]
  /** Copies where news is at the same places: with one change a copy, two, and more; each for short, long and longer copies. */
  readonly steady: readonly (readonly [short: number, long: number, longer: number])[]
}

const NONE: Evidence['steady'][number] = [NEVER, NEVER, NEVER]
/**
 * By fluency, at least so much. Each figure lies above what 90 MB of prose, sources, data and logs reach,
 * but for two texts in a thousand of sources and data. Slips: in 17,000 texts one reaches 19, the others 4.
 */
const EVIDENCE: readonly (readonly [fluency: number, evidence: Evidence])[] = [
  [
    0.45,
    {
      slips: 6,
      march: 2400,
      quiet: [1, 12, 8],
      steady: [
        [14, 10, 8],
        [24, 14, 12],
        [32, 20, 14],
      ],
    },
  ],
  [
    0.32,
    {
      slips: 6,
      march: 2400,
      quiet: [1, 16, 10],
      steady: [
        [44, 12, 14],
        [50, 16, 16],
        [50, 20, 20],
      ],
    },
  ],
  [0.2, { slips: 8, march: 2400, quiet: [0, 28, 18], steady: [[54, 16, 12], [NEVER, 40, 40], NONE] }],
  [0.08, { slips: 8, march: 3200, quiet: [0, 28, 20], steady: [[NEVER, 64, 24], NONE, NONE] }],
  [0, { slips: 12, march: 3200, quiet: [0, 64, 28], steady: [[NEVER, NEVER, 66], NONE, NONE] }],
]
/** For data without blanks: its short copies are fields. */
const PACKED: Evidence = { slips: 12, march: 3200, quiet: [0, NEVER, 24], steady: [NONE, NONE, NONE] }
/**
 * What `CopyNews.turns` must reach: so many, and so many units over the length of a copy. In 17,000 texts lines reach 18 and longer
 * copies 10, but somebody may write words down as they come: a hundred lines of 16 units say nothing yet, and shorter ones never.
 */
const TURNS = 14
const TURN_UNITS = 1600
const TURN_COPY = 8
/** Fewest `CopyNews.marches`. In 17,000 texts the longest is 43, and generated tests reach 100. */
const FEWEST_MARCHES = 24
/** Fluency below which text is no prose. */
const SPOKEN = 0.32
/** Fluency from which text is held back when one more copy would make it certain. */
const PROSE = 0.45

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
    if (track.copies < FEWEST_COPIES - 1 || track.units < FEWEST_UNITS) {
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
    const { copies, period, likeness, copyStart, units } = this.#track
    const { count } = this.#recent
    if (likeness < QUIET_LIKENESS) return undefined
    const first = Math.max(copyStart - 2 * period, 0)
    const fluent = fluency(this.#recent, first, count)
    if (fluent < SPOKEN && units < FEWEST_CODE_UNITS) return undefined
    const isPacked = fluent < CODE_FLUENCY && apartness(this.#recent, first, count) < APART_SHARE
    const evidence = isPacked ? PACKED : EVIDENCE.find(([from]) => fluent >= from)?.[1]
    if (!evidence) return undefined
    const isLog = isStamped(this.#recent, copyStart - period, copyStart)
    const hasLines = countLines(this.#recent, first, count) > 0
    const factor = inFence ? FENCE_FACTOR : 1
    const judge = (more: number): boolean =>
      this.#isUnlikeLists(evidence, factor) || (!isLog && this.#isLoop(evidence, hasLines, factor, more))
    const certain = judge(0)
    if (!certain && !(fluent >= PROSE && judge(1))) return undefined
    return {
      certain,
      from: this.#finding?.from ?? count - 1,
      evidence: `${copies} near copies of about ${period} units, ${Math.round(likeness * 100)} % alike`,
    }
  }

  /** Whether copies differ as rows of lists do not. */
  #isUnlikeLists({ slips }: Evidence, factor: number): boolean {
    const { copies, news, units } = this.#track
    const mean = units / (copies - 1)
    if (copies < FEWEST_COPIES) return false
    if (news.slips >= slips * factor) return true
    return mean >= TURN_COPY && news.turns >= Math.max(TURNS, TURN_UNITS / mean) * factor
  }

  /** @param more copies like the last that are taken for granted */
  #isLoop({ march, quiet: [figure, short, longer], steady }: Evidence, hasLines: boolean, factor: number, more: number): boolean {
    const { copies, likeness, news, units } = this.#track
    const { minNearVerses } = this.#settings
    if (copies + more < FEWEST_COPIES || news.isSorted) return false
    const mean = units / (copies - 1)
    if (news.quiet[figure] + more >= (mean < LONGER ? short : longer) * factor) return true
    if (news.marches + more >= Math.max(FEWEST_MARCHES, march / mean) * factor) return true
    if (likeness < this.#settings.likeness) return false
    const rate = news.changes / copies
    const row = rate <= ONE_CHANGE ? 0 : rate <= TWO_CHANGES ? 1 : 2
    const need = steady[row]?.[mean < LONG ? 0 : mean < LONGER ? 1 : 2] ?? NEVER
    const lines = minNearVerses * (mean >= LONGER ? LONGER_LINES : row === 0 ? 1 : CHANGING_LINES)
    return copies + more >= Math.max(need * factor, hasLines ? lines : 0)
  }
}
