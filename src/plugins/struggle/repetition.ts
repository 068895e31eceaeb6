/**
 * The watcher of loops: cuts the answer into units and asks the exact and the noisy rule.
 *
 * @module
 */
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from '../../chat/watcher.ts'
import { ExactLoop } from './exact-loop.ts'
import { endsInFence, Fences } from './fences.ts'
import { Lexer, type UnitKind } from './lexer.ts'
import { NoisyLoop } from './noisy-loop.ts'
import type { LoopSettings } from './options.ts'
import { RecentUnits } from './recent-units.ts'

/** What of an earlier model's text is read again, in characters: the rules see no further back. */
const EARLIER_CHARS = 16_384
/** Units that a model writes before it is judged: one that takes over may finish the sentence it was given. */
const FIRST_UNITS = 16
const CLEAR: Verdict = { state: 'clear' }

/** Watches for loops. */
export function repetitionWatcher(settings: LoopSettings): Watcher {
  return { name: 'struggle: loops', kinds: ['loop', 'noisy-loop'], start: (answer) => new RepetitionWatch(answer, settings) }
}

class RepetitionWatch implements AnswerWatch {
  readonly #recent: RecentUnits
  readonly #exact: ExactLoop
  readonly #noisy: NoisyLoop
  readonly #fences = new Fences()
  readonly #lexer: Lexer
  /** Offset of the lexer's text in the answer's. */
  readonly #offset: number
  /** Offset from which text is this model's. */
  readonly #own: number
  #ownUnits = 0
  #verdict: Verdict = CLEAR

  constructor({ already }: AnswerStart, settings: LoopSettings) {
    this.#recent = new RecentUnits(settings.maxPeriod)
    this.#exact = new ExactLoop(this.#recent, settings)
    this.#noisy = new NoisyLoop(this.#recent, settings)
    this.#lexer = new Lexer((hash, kind, start, end, value) => this.#take(hash, kind, start, end, value))
    this.#own = already.length
    this.#offset = Math.max(0, already.length - EARLIER_CHARS)
    if (this.#offset > 0) this.#fences.inside = endsInFence(already.slice(0, this.#offset))
    this.#lexer.push(already.slice(this.#offset))
  }

  push(text: string): Verdict {
    if (this.#verdict.state !== 'struggle') this.#lexer.push(text)
    return this.#verdict
  }

  tick(): Verdict {
    return this.#verdict
  }

  end(): Verdict {
    return this.#verdict.state === 'struggle' ? this.#verdict : CLEAR
  }

  #take(hash: number, kind: UnitKind, start: number, end: number, value: number): void {
    if (this.#verdict.state === 'struggle') return
    this.#fences.add(hash, kind)
    this.#recent.add(hash, kind, start, end, value)
    const exact = this.#exact.judge(this.#fences.inside)
    const noisy = this.#noisy.judge(this.#fences.inside)
    if (this.#offset + end <= this.#own) return
    this.#ownUnits++
    if (!exact && !noisy) {
      if (this.#verdict !== CLEAR) this.#verdict = CLEAR
      return
    }
    const certain = this.#ownUnits < FIRST_UNITS ? undefined : exact?.certain ? exact : noisy?.certain ? noisy : undefined
    const from = Math.min(exact ? this.#charOf(exact.from) : Infinity, noisy ? this.#charOf(noisy.from) : Infinity)
    this.#verdict = certain
      ? {
          state: 'struggle',
          kind: certain === exact ? 'loop' : 'noisy-loop',
          evidence: certain.evidence,
          cutAt: from,
        }
      : { state: 'suspect', from }
  }

  #charOf(unit: number): number {
    return Math.max(this.#own, this.#offset + this.#recent.startAt(unit))
  }
}
