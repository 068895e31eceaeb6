/**
 * Gathers pieces on their way to another process: a message for each token would cost up to 7 % of the rate.
 *
 * @module
 */

/** How long pieces are gathered, in ms: below what a person notices. */
const GATHER_MS = 10

/** The first piece goes at once, the others in batches. */
export class PieceBatch {
  readonly #send: (texts: string[], tokens: number[]) => void
  readonly #now: () => number
  #texts: string[] = []
  #tokens: number[] = []
  #sentAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(send: (texts: string[], tokens: number[]) => void, now: () => number = () => performance.now()) {
    this.#send = send
    this.#now = now
  }

  push(text: string, tokens: number): void {
    this.#texts.push(text)
    this.#tokens.push(tokens)
    // Under load no timer runs between two tokens, so the clock is asked too.
    if (this.#now() - this.#sentAt >= GATHER_MS) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), GATHER_MS)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#texts.length === 0) return
    this.#send(this.#texts, this.#tokens)
    this.#texts = []
    this.#tokens = []
    this.#sentAt = this.#now()
  }
}
