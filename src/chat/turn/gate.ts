/**
 * The gate between a model's raw text and the person.
 *
 * While nobody is suspicious, text passes at once. From where a watcher suspects, text is held back;
 * it is released when suspicion clears and dropped when a struggle is confirmed.
 * What has been released is never taken back.
 *
 * @module
 */
import type { FinishReason } from '../backend.ts'
import type { AnswerStart, AnswerWatch, PieceFacts, Verdict, Watcher } from '../watcher.ts'
import { isHighSurrogate, PendingText } from './pending-text.ts'

/** A confirmed struggle. */
export type Struggle = Extract<Verdict, { state: 'struggle' }>

/** Longest rest of a word that is still released when an answer is cut, in UTF-16 units. */
const WORD_REST = 32

interface Watching {
  readonly name: string
  readonly watch: AnswerWatch
  /** Offset from which it wants text held back; Infinity for nowhere. */
  suspectFrom: number
}

/** Guards one attempt at an answer. */
export class Gate {
  readonly #held: PendingText
  #watching: Watching[] = []
  #struggle: Struggle | undefined
  /** The last UTF-16 unit that the person has. */
  #lastReleased: number
  readonly #onBroken: (watcher: string, error: unknown) => void

  /** @param onBroken told of a watcher that threw; it is dropped for this answer */
  constructor(watchers: readonly Watcher[], start: AnswerStart, onBroken: (watcher: string, error: unknown) => void) {
    this.#held = new PendingText(start.already.length)
    this.#lastReleased = start.already.length > 0 ? start.already.charCodeAt(start.already.length - 1) : 0
    this.#onBroken = onBroken
    for (const watcher of watchers) {
      try {
        this.#watching.push({ name: watcher.name, watch: watcher.start(start), suspectFrom: Infinity })
      } catch (error) {
        onBroken(watcher.name, error)
      }
    }
  }

  /** The first confirmed struggle; nothing passes after it. */
  get struggle(): Struggle | undefined {
    return this.#struggle
  }

  /** Takes raw text. @returns what the person may see now */
  push(text: string, now: number, facts?: PieceFacts): string {
    if (this.#struggle) return ''
    for (const watching of this.#watching) this.#ask(watching, (watch) => watch.push(text, now, facts))
    if (this.#struggle === undefined && this.#open && !endsInHalf(text)) return this.#pass(text)
    this.#held.push(text)
    return this.#struggle ? '' : this.#release()
  }

  /** Content came that is no text of the answer. @returns what the person may see now */
  alive(now: number, facts: PieceFacts): string {
    return this.#struggle ? '' : this.#judged((watch) => watch.alive?.(now, facts))
  }

  /** Lets time pass, for watchers of silence. @returns what the person may see now */
  tick(now: number): string {
    return this.#struggle ? '' : this.#judged((watch) => watch.tick(now))
  }

  /** The model has ended. @returns what was still held, unless a watcher objects to the end itself */
  end(finish: FinishReason, now: number): string {
    if (this.#struggle) return ''
    for (const watching of this.#watching) this.#ask(watching, (watch) => watch.end(finish, now))
    return this.#struggle ? '' : this.#take(this.#held.end)
  }

  /** After a confirmed struggle: the good text that was held before it. @returns what the person may see now */
  cut(): string {
    if (!this.#struggle) return this.#release()
    const { cutAt } = this.#struggle
    const { start } = this.#held
    // What repeats may be released already; then the next model should at least not begin inside a word.
    return this.#take(cutAt > start ? this.#whole(cutAt) : this.#held.wordEnd(this.#lastReleased, WORD_REST))
  }

  /** Whether nothing waits, and nobody wants anything to. */
  get #open(): boolean {
    return this.#held.start === this.#held.end && this.#watching.every(({ suspectFrom }) => suspectFrom === Infinity)
  }

  /** As nearly all text of nearly all answers: it need not be kept first. */
  #pass(text: string): string {
    this.#held.pass(text)
    if (text !== '') this.#lastReleased = text.charCodeAt(text.length - 1)
    return text
  }

  #judged(ask: (watch: AnswerWatch) => Verdict | undefined): string {
    for (const watching of this.#watching) this.#ask(watching, ask)
    return this.#struggle ? '' : this.#release()
  }

  #ask(watching: Watching, ask: (watch: AnswerWatch) => Verdict | undefined): void {
    try {
      const verdict = ask(watching.watch)
      if (verdict === undefined) return
      // Not a number: the watcher knows no place, so nothing more passes.
      watching.suspectFrom = verdict.state === 'suspect' ? (Number.isNaN(verdict.from) ? 0 : verdict.from) : Infinity
      if (verdict.state === 'struggle') this.#struggle ??= verdict
    } catch (error) {
      this.#watching = this.#watching.filter((other) => other !== watching)
      this.#onBroken(watching.name, error)
    }
  }

  #release(): string {
    let limit = this.#held.end
    for (const { suspectFrom } of this.#watching) if (suspectFrom < limit) limit = suspectFrom
    return this.#take(this.#whole(limit))
  }

  /** An offset that does not part a surrogate pair: the first half waits for the second. */
  #whole(limit: number): number {
    const at = Math.min(Math.floor(limit), this.#held.end)
    return isHighSurrogate(this.#held.unitBefore(at)) ? at - 1 : at
  }

  #take(limit: number): string {
    const text = this.#held.take(limit)
    if (text !== '') this.#lastReleased = text.charCodeAt(text.length - 1)
    return text
  }
}

function endsInHalf(text: string): boolean {
  return isHighSurrogate(text.charCodeAt(text.length - 1))
}
