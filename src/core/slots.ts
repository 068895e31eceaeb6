/**
 * Slots: questions with one answerer, or with a list of contributors.
 *
 * @module
 */
import { kernelErrors } from './errors.ts'
import type { Disposer } from './events.ts'

declare const listSlot: unique symbol

/** Marks a slot that any number of plugins contribute to. */
export interface ListSlot<T> {
  readonly [listSlot]: T
}

/**
 * Slot name → interface, or `ListSlot<interface>`.
 *
 * @example
 * declare module 'mai' {
 *   interface MaiSlots { clock: Clock; greeter: ListSlot<Greeter> }
 * }
 */
// biome-ignore lint/suspicious/noEmptyInterface: plugins merge into it
export interface MaiSlots {}

/** Any slot. */
export type SlotName = keyof MaiSlots & string
/** Slots with many contributors. */
export type ListSlotName = { [K in SlotName]: MaiSlots[K] extends ListSlot<infer _> ? K : never }[SlotName]
/** Slots with one answerer. */
export type SingleSlotName = Exclude<SlotName, ListSlotName>
/** What a contributor to a list slot implements. */
export type Contribution<K extends ListSlotName> = MaiSlots[K] extends ListSlot<infer T> ? T : never

interface Held {
  readonly owner: string
  readonly impl: unknown
}

/** Who answers which slot. */
export class Slots {
  readonly #lists: Set<string>
  readonly #single: Map<string, Held> = new Map()
  readonly #many: Map<string, Set<Held>> = new Map()

  constructor(lists: Iterable<string>) {
    this.#lists = new Set(lists)
  }

  declareList(slot: string): void {
    this.#lists.add(slot)
  }

  isList(slot: string): boolean {
    return this.#lists.has(slot)
  }

  /** @throws MaiError `MAI_SLOT_TAKEN`, `MAI_SLOT_KIND` */
  provide(slot: string, impl: unknown, owner: string): Disposer {
    if (this.isList(slot)) throw kernelErrors.slotKind(slot, owner, true)
    const holder = this.#single.get(slot)
    if (holder) throw kernelErrors.slotTaken(slot, holder.owner, owner)
    const held: Held = { owner, impl }
    this.#single.set(slot, held)
    return () => {
      if (this.#single.get(slot) === held) this.#single.delete(slot)
    }
  }

  /** @throws MaiError `MAI_SLOT_KIND` */
  contribute(slot: string, impl: unknown, owner: string): Disposer {
    if (!this.isList(slot)) throw kernelErrors.slotKind(slot, owner, false)
    const held: Held = { owner, impl }
    const all = this.#many.get(slot) ?? new Set<Held>()
    this.#many.set(slot, all.add(held))
    return () => void all.delete(held)
  }

  /** The answerer's name and implementation, if there is one. */
  find(slot: string): Held | undefined {
    return this.#single.get(slot)
  }

  /** All contributions, in the order of registration. */
  all(slot: string): unknown[] {
    return [...(this.#many.get(slot) ?? [])].map((held) => held.impl)
  }

  /** Slot names that an owner answers or contributes to. */
  ownedBy(owner: string): string[] {
    const single = [...this.#single].filter(([, held]) => held.owner === owner).map(([slot]) => slot)
    const many = [...this.#many].filter(([, all]) => [...all].some((held) => held.owner === owner)).map(([slot]) => slot)
    return [...single, ...many]
  }
}
