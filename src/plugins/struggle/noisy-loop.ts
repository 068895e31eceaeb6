/**
 * Noisy loops: copy after copy with small changes, such as a number that counts up or one other word.
 *
 * @module
 */
import type { LoopFinding } from './exact-loop.ts'
import { NearCopies } from './near-copies.ts'
import type { LoopSettings } from './options.ts'
import type { RecentUnits } from './recent-units.ts'
import { countLines, fluency } from './text-class.ts'

/** What makes a loop: copies, units that they cover, and their likeness. */
interface Need {
  readonly copies: number
  readonly units: number
  readonly likeness: number
  /** Whether text is held back just before. */
  readonly holds: boolean
}

/** Units between two judgements of one track. */
const EVERY = 8
/** Copies before certainty from which text is held back. */
const SUSPICIOUS_BEFORE = 1
/** Fluency of running prose, and of text that is neither prose nor code, such as lists of short items. */
const PROSE_FLUENCY = 0.45
const MIXED_FLUENCY = 0.2
/** Such text repeats itself more by nature: over 60 MB of sources and data one file in 2,000 has more. */
const IN_MIXED: Need = { copies: 20, units: 240, likeness: 0.87, holds: false }
/** Lists, logs, tables and generated code are near copies by nature. */
const IN_CODE: Need = { copies: 100, units: 3000, likeness: 0.97, holds: false }
/** Units that near copies must cover at least, in prose. */
const MIN_UNITS = 120
/** Lines shorter than this, in units, are verses or items of a list. */
const VERSE_UNITS = 24

/** The noisy rule; one an answer. */
export class NoisyLoop {
  readonly #recent: RecentUnits
  readonly #settings: LoopSettings
  readonly #track: NearCopies
  #finding: LoopFinding | undefined
  #judgedAt = 0

  constructor(recent: RecentUnits, settings: LoopSettings) {
    this.#recent = recent
    this.#settings = settings
    this.#track = new NearCopies(recent, settings.maxPeriod)
  }

  /** Takes the unit that was added last. @param inFence whether it lies in a code fence */
  judge(inFence: boolean): LoopFinding | undefined {
    const track = this.#track
    track.add()
    if (track.copies < this.#settings.minNearCopies - SUSPICIOUS_BEFORE) {
      this.#finding = undefined
      return undefined
    }
    const { count } = this.#recent
    if (count - this.#judgedAt >= EVERY) {
      this.#judgedAt = count
      this.#finding = this.#look(inFence)
    }
    return this.#finding
  }

  #look(inFence: boolean): LoopFinding | undefined {
    const { copies, period, units, likeness, copyStart } = this.#track
    const { count } = this.#recent
    const first = Math.max(copyStart - 2 * period, 0)
    const need = this.#need(fluency(this.#recent, first, count), inFence, first)
    if (likeness < need.likeness) return undefined
    const certain = copies >= need.copies && units >= need.units
    const close = need.holds && copies >= need.copies - SUSPICIOUS_BEFORE && units >= need.units - period
    if (!certain && !close) return undefined
    const evidence = `${copies} near copies of about ${period} units, ${Math.round(likeness * 100)} % alike`
    return { certain, from: this.#finding?.from ?? count - 1, evidence }
  }

  #need(fluent: number, inFence: boolean, first: number): Need {
    if (fluent < MIXED_FLUENCY) return IN_CODE
    if (fluent < PROSE_FLUENCY || inFence) return IN_MIXED
    const { minNearCopies, minNearVerses, likeness } = this.#settings
    const { count } = this.#recent
    const lines = countLines(this.#recent, first, count)
    const verses = lines > 0 && (count - first) / lines < VERSE_UNITS
    return { copies: verses ? minNearVerses : minNearCopies, units: MIN_UNITS, likeness, holds: true }
  }
}
