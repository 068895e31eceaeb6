/**
 * Takes `<think>…</think>` at the beginning of an answer apart from the answer itself, as it streams.
 *
 * @module
 */
import type { PieceSink } from './backend.ts'

const OPEN = '<think>'
const CLOSE = '</think>'

/** Passes pieces on, those of the reasoning as such. Holds back no more than half a tag. */
export class ReasoningSplitter {
  readonly #sink: PieceSink
  #state: 'begin' | 'reasoning' | 'gap' | 'answer'
  #held = ''
  #heldTokens = 0

  /** @param may whether the model thinks before it answers; otherwise everything is the answer */
  constructor(may: boolean, sink: PieceSink) {
    this.#sink = sink
    this.#state = may ? 'begin' : 'answer'
  }

  push(text: string, tokens: number): void {
    if (this.#state === 'answer') return this.#sink({ type: 'text', text, tokens })
    this.#held += text
    this.#heldTokens += tokens
    this.#sort()
  }

  end(): void {
    if (this.#held === '') return
    this.#deliver(this.#state === 'reasoning' ? 'reasoning' : 'text', this.#held)
    this.#held = ''
  }

  #sort(): void {
    if (this.#state === 'begin') {
      const begun = this.#held.trimStart()
      if (begun !== OPEN && OPEN.startsWith(begun)) return
      if (begun.startsWith(OPEN)) {
        this.#state = 'reasoning'
        this.#held = begun.slice(OPEN.length)
      } else this.#state = 'answer'
    }
    if (this.#state === 'reasoning') this.#reason()
    if (this.#state === 'gap') {
      this.#held = this.#held.trimStart()
      if (this.#held !== '') this.#state = 'answer'
    }
    if (this.#state === 'answer' && this.#held !== '') {
      this.#deliver('text', this.#held)
      this.#held = ''
    }
  }

  #reason(): void {
    const at = this.#held.indexOf(CLOSE)
    if (at >= 0) {
      if (at > 0) this.#deliver('reasoning', this.#held.slice(0, at))
      this.#held = this.#held.slice(at + CLOSE.length)
      this.#state = 'gap'
      return
    }
    let keep = Math.min(this.#held.length, CLOSE.length - 1)
    while (keep > 0 && !CLOSE.startsWith(this.#held.slice(-keep))) keep--
    const thought = this.#held.slice(0, this.#held.length - keep)
    if (thought === '') return
    this.#held = this.#held.slice(thought.length)
    this.#deliver('reasoning', thought)
  }

  #deliver(type: 'text' | 'reasoning', text: string): void {
    this.#sink({ type, text, tokens: this.#heldTokens })
    this.#heldTokens = 0
  }
}
