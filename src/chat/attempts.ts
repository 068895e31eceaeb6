/**
 * What a turn has tried so far, and what it must not try again.
 *
 * @module
 */
import type { ModelKey } from './model.ts'
import type { StruggleKind } from './policy.ts'
import type { Attempt, SwitchNote } from './reply.ts'

/** A struggle whose rescue is still to come. */
export interface Pending {
  readonly from: ModelKey
  readonly kind: StruggleKind
}

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
