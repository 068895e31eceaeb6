/**
 * Exact loops: the end of the text is a cycle.
 *
 * @module
 */
import type { LoopSettings } from './options.ts'
import type { RecentUnits } from './recent-units.ts'
import { classify, type TextClass } from './text-class.ts'

/** Where a second copy may begin, and whether it is certain. Positions are units. */
export interface LoopFinding {
  readonly certain: boolean
  /** The first unit of the second copy. */
  readonly from: number
  readonly evidence: string
}

/** Runs below this are never looked at, in units. */
const SHORTEST_RUN = 10
/**
 * Length of a second copy that raises suspicion: units at least, and share of the period.
 * Chosen on 60 MB of real text so that each kind of text has less than 1 % held back,
 * and below one period and 32 units, so that no more than that is released twice.
 */
const SUSPICION: Readonly<Record<TextClass, { readonly units: number; readonly share: number }>> = {
  prose: { units: 12, share: 0.5 },
  code: { units: 22, share: 0.75 },
  data: { units: 26, share: 0.9 },
}
/** Copies of code that make a loop where its cycle is short: generated tables and unrolled loops have some. */
const CODE_COPIES = 5
/** Cycles from here on are long, in units: three copies of one are no accident in code either. */
const LONG_PERIOD = 64
/** A long cycle of prose needs less than the third copy to its end. */
const LONG_COPIES = 2.6

/** The exact rule; one an answer. */
export class ExactLoop {
  readonly #recent: RecentUnits
  readonly #settings: LoopSettings
  #class: TextClass = 'prose'
  /** The run that was classified last. */
  #classified = -1

  constructor(recent: RecentUnits, settings: LoopSettings) {
    this.#recent = recent
    this.#settings = settings
  }

  /** Judges the end of the text. @param inFence whether it lies in a code fence */
  judge(inFence: boolean): LoopFinding | undefined {
    const { run, period, count } = this.#recent
    if (run < SHORTEST_RUN) return undefined
    const kind = this.#classOf(count - run, period, inFence)
    const { units, share } = SUSPICION[kind]
    if (run < Math.max(units, share * period)) return undefined
    const certain = run + period >= this.#need(kind, period)
    return { certain, from: count - run, evidence: `${((run + period) / period).toFixed(1)} copies of ${period} units of ${kind}` }
  }

  /** A run is classified when it becomes long enough to matter, and again when the whole cycle can be seen. */
  #classOf(start: number, period: number, inFence: boolean): TextClass {
    const { count, run } = this.#recent
    const key = (start * 2048 + period) * 2 + (run >= period ? 1 : 0)
    if (key !== this.#classified) {
      this.#classified = key
      const kind = classify(this.#recent, count - Math.max(period, SHORTEST_RUN), count)
      this.#class = kind === 'prose' && inFence ? 'code' : kind
    }
    return this.#class
  }

  /** Units that all copies together must cover. */
  #need(kind: TextClass, period: number): number {
    const { minCopies, minUnits, minCodeUnits, minDataUnits } = this.#settings
    const long = period >= LONG_PERIOD
    if (kind === 'prose') return Math.max(minUnits, period * (long ? Math.min(LONG_COPIES, minCopies) : minCopies))
    if (kind === 'code') return Math.max(minCodeUnits, period * (long ? minCopies : Math.max(CODE_COPIES, minCopies)))
    return Math.max(minDataUnits, period * Math.max(CODE_COPIES, minCopies))
  }
}
