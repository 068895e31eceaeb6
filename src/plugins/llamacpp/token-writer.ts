/**
 * Tokens as text: a character may be made of several, and what a token says may depend on those before it.
 *
 * @module
 */
import type { LlamaModel, Token } from 'node-llama-cpp'

/** Tokens before a piece that its detokenizing may depend on. */
const LOOK_BACK = 8
/** A character has at most four bytes, each of which may be a token; a model that goes on so writes no character. */
const MOST_BYTES = 8

/** Turns tokens into whole characters. */
export class TokenWriter {
  readonly #model: LlamaModel
  #before: Token[]
  #waiting: Token[] = []

  /** @param before the tokens of the prompt */
  constructor(model: LlamaModel, before: readonly Token[]) {
    this.#model = model
    this.#before = before.slice(-LOOK_BACK)
  }

  /** @returns text, and of how many tokens it was made; none of either while a character is not whole */
  push(token: Token): { readonly text: string; readonly count: number } {
    this.#waiting.push(token)
    const text = this.#text()
    return text.endsWith('\ufffd') && this.#waiting.length < MOST_BYTES ? { text: '', count: 0 } : this.#taken(text)
  }

  /** What is left, whole or not. */
  end(): { readonly text: string; readonly count: number } {
    return this.#waiting.length > 0 ? this.#taken(this.#text()) : { text: '', count: 0 }
  }

  #text(): string {
    return this.#model.detokenize(this.#waiting, false, this.#before)
  }

  #taken(text: string): { readonly text: string; readonly count: number } {
    const count = this.#waiting.length
    this.#before = [...this.#before, ...this.#waiting].slice(-LOOK_BACK)
    this.#waiting = []
    return { text, count }
  }
}
