/**
 * Exact loops: the end of the text is a cycle.
 *
 * @module
 */
import type { LoopSettings } from './options.ts'
import type { RecentUnits } from './recent-units.ts'
import { classify, type TextClass, wordShare } from './text-class.ts'

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
  prose: { units: 10, share: 0.3 },
  verse: { units: 26, share: 0.9 },
  mixed: { units: 14, share: 0.5 },
  code: { units: 22, share: 0.75 },
  data: { units: 26, share: 0.9 },
  signs: { units: 26, share: 0.9 },
}
/**
 * Copies that make a loop, by period in units, at least so much each.
 * 15,000 files of prose, sources and data reached 2.3 in prose and 3.0 in mixed text, 2.4 from 32 units on;
 * unrolled loops, generated tables and tests have 4.7 in code, grids of numbers 11 in data.
 */
const COPIES: Readonly<Record<Exclude<TextClass, 'signs'>, readonly (readonly [period: number, copies: number])[]>> = {
  prose: [
    [16, 2.5],
    [0, 3],
  ],
  verse: [
    [64, 2.6],
    [0, 3],
  ],
  mixed: [
    [32, 2.6],
    [0, 3],
  ],
  code: [
    [64, 2.6],
    [32, 3.2],
    [16, 3.5],
    [0, 5],
  ],
  data: [
    [64, 3.2],
    [48, 4.5],
    [32, 7],
    [16, 8],
    [8, 12],
    [0, 40],
  ],
}
/** Copies for which the figures above are meant; another setting moves them all. */
const USUAL_COPIES = 3
/** Share of words from which few different units are at least words, and the part of the evidence that then does. */
const SAID_WORDS = 0.45
const SAID_PART = 0.25
/** Longest units of words that somebody says, on average, in UTF-16 units; those of base64 have 16. */
const SAID_LENGTH = 8
/** The same for one sign over and over: rulers reach 82 units of 8 signs each. */
const RULER_PART = 0.34

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
      // In a code block even sentences may be data.
      this.#class = inFence && (kind === 'prose' || kind === 'mixed') ? 'code' : kind
    }
    return this.#class
  }

  /** Units that all copies together must cover. */
  #need(kind: TextClass, period: number): number {
    const { minCopies, minUnits, minCodeUnits, minDataUnits } = this.#settings
    if (kind !== 'signs') {
      const copies = (COPIES[kind].find(([from]) => period >= from)?.[1] ?? minCopies) * (minCopies / USUAL_COPIES)
      return Math.max(kind === 'code' || kind === 'data' ? minCodeUnits : minUnits, period * copies)
    }
    const { count } = this.#recent
    const from = count - Math.max(period, SHORTEST_RUN)
    const length = (this.#recent.startAt(count - 1) - this.#recent.startAt(from)) / (count - 1 - from)
    const said = wordShare(this.#recent, from, count) >= SAID_WORDS && length <= SAID_LENGTH
    return Math.max(said ? minDataUnits * SAID_PART : period === 1 ? minDataUnits * RULER_PART : minDataUnits, period * minCopies)
  }
}
