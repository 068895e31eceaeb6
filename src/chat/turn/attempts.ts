/**
 * What a turn has tried so far, and what it must not try again.
 *
 * @module
 */
import type { ModelKey } from '../model.ts'
import type { StruggleKind } from '../policy.ts'
import type { Attempt, SwitchNote } from '../reply.ts'

/** A struggle whose rescue is still to come. */
export interface Pending {
  readonly from: ModelKey
  readonly kind: StruggleKind
}

/** Repetition, exact or not. */
const REPEATING: readonly StruggleKind[] = ['loop', 'noisy-loop']
/** Models that repeat themselves within so many characters do so at the same place: a detector needs about that many to be sure. */
const SAME_PLACE_CHARS = 2000

/** The attempts of one turn. */
export class Attempts {
  readonly list: Attempt[] = []
  readonly switches: SwitchNote[] = []
  /** Models that are not asked again in this turn. */
  readonly failed: Set<ModelKey> = new Set()
  /** Windows that turned out to be too much for the memory, in tokens. */
  readonly shortened: Map<ModelKey, number> = new Map()
  /** Memory ran out. */
  outOfMemory = false
  /** The last resort was taken. */
  minimal = false
  /** What the next `switched` is the rescue of. */
  pending: Pending | undefined
  /** The model that is to try again. */
  again: ModelKey | undefined
  /** The error that says most about why. */
  cause: unknown
  /** What was found to be the text itself. */
  readonly accepted: Set<StruggleKind> = new Set()
  /** The latest model that repeated itself, and the latest that had nothing to add, and where. */
  readonly #signs: Map<'loop' | 'empty', { readonly model: ModelKey; readonly atChar: number }> = new Map()
  readonly #generations: Map<ModelKey, number> = new Map()

  get count(): number {
    return this.list.length
  }

  /** Generations on a model so far. */
  on(model: ModelKey): number {
    return this.#generations.get(model) ?? 0
  }

  generating(model: ModelKey): void {
    this.#generations.set(model, this.on(model) + 1)
  }

  ended(attempt: Attempt): void {
    this.list.push(attempt)
  }

  /** A model repeats itself, or has nothing to add to what is there. @returns whether another one did so at this place */
  agrees(model: ModelKey, kind: StruggleKind, atChar: number): boolean {
    const repeats = REPEATING.includes(kind)
    if (!repeats && kind !== 'empty') return false
    const sign = repeats ? 'loop' : 'empty'
    const before = this.#signs.get(sign)
    this.#signs.set(sign, { model, atChar })
    return before !== undefined && before.model !== model && atChar - before.atChar <= (repeats ? SAME_PLACE_CHARS : 0)
  }

  /** What looked like a struggle is the text itself. @returns whether that is whole: the latest attempt had nothing to add */
  accept(kind: StruggleKind): boolean {
    for (const accepted of REPEATING.includes(kind) ? REPEATING : [kind]) this.accepted.add(accepted)
    if (kind !== 'empty') return false
    const last = this.list.pop()
    if (last) this.list.push({ model: last.model, outcome: 'completed', ms: last.ms })
    return true
  }

  /** The model failed for this turn. */
  giveUp(model: ModelKey, kind: StruggleKind): void {
    this.failed.add(model)
    this.pending ??= { from: model, kind }
  }

  /** The model that answers now. @returns the struggle that this rescues */
  rescued(to: ModelKey, atChar: number): Pending | undefined {
    const { pending } = this
    this.pending = undefined
    if (pending && pending.from !== to) this.switches.push({ ...pending, to, atChar })
    return pending
  }

  /** For people: `model (code)`. */
  describe(): string[] {
    return this.list.map(({ model, code }) => `${model} (${code ?? 'failed'})`)
  }
}
