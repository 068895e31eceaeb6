/**
 * What is known of messages already: their size and terms. Bounded; a message never changes, so nothing here goes stale.
 *
 * @module
 */
import type { Message } from '../../chat/message.ts'
import type { Amount } from './amount.ts'
import { countTerms, type TextTerms } from './analysis.ts'
import { promptText, type TokenEstimator } from './tokens.ts'

/** Most messages, and most characters of them together. */
const MOST = 4096
const MOST_CHARACTERS = 4_000_000
const MOST_TEXTS = 1000

interface Entry {
  readonly characters: number
  amount: Amount | undefined
  terms: TextTerms | undefined
}

/** Sizes and terms by message, the least recently asked forgotten first. */
export class Remembered {
  readonly #tokens: TokenEstimator
  readonly #entries: Map<string, Entry> = new Map()
  /** By the very object, as messages that are still at hand come again. */
  readonly #objects: WeakMap<Message, Entry> = new WeakMap()
  readonly #texts: Map<string, Amount> = new Map()
  #characters = 0

  constructor(tokens: TokenEstimator) {
    this.#tokens = tokens
  }

  /** Size of all its text, reasoning left out. */
  amount(message: Message): Amount {
    const entry = this.#entry(message)
    if (entry.amount) return entry.amount
    const amount = this.#tokens.amount(promptText(message))
    // A bound for want of a tokenizer is not kept.
    if (this.#tokens.loaded) entry.amount = amount
    return amount
  }

  /** Size of a text that comes again and again: a speaker, a date. */
  ofText(text: string): Amount {
    const known = this.#texts.get(text)
    if (known) return known
    const amount = this.#tokens.amount(text)
    if (!this.#tokens.loaded) return amount
    if (this.#texts.size >= MOST_TEXTS) this.#texts.clear()
    this.#texts.set(text, amount)
    return amount
  }

  /** Its terms. */
  terms(message: Message): TextTerms {
    const entry = this.#entry(message)
    entry.terms ??= countTerms(promptText(message))
    return entry.terms
  }

  #entry(message: Message): Entry {
    const same = this.#objects.get(message)
    if (same) return same
    const entry = this.#find(message)
    this.#objects.set(message, entry)
    return entry
  }

  #find(message: Message): Entry {
    const characters = promptText(message).length
    // The same message may be asked for with its tool output capped.
    const key = `${message.id} ${characters}`
    const known = this.#entries.get(key)
    if (known) {
      this.#entries.delete(key)
      this.#entries.set(key, known)
      return known
    }
    const entry: Entry = { characters, amount: undefined, terms: undefined }
    this.#entries.set(key, entry)
    this.#characters += entry.characters
    for (const [oldest, { characters: size }] of this.#entries) {
      if ((this.#entries.size <= MOST && this.#characters <= MOST_CHARACTERS) || oldest === key) break
      this.#entries.delete(oldest)
      this.#characters -= size
    }
    return entry
  }
}
