/**
 * The gate between a model's raw text and the person.
 *
 * While nobody is suspicious, text passes at once. From where a watcher suspects, text is held back;
 * it is released when suspicion clears and dropped when a struggle is confirmed.
 * What has been released is never taken back.
 *
 * @module
 */
import type { FinishReason } from './backend.ts'
import type { AnswerStart, AnswerWatch, Verdict, Watcher } from './watcher.ts'

/** A confirmed struggle. */
export type Struggle = Extract<Verdict, { state: 'struggle' }>

interface Watching {
  readonly name: string
  readonly watch: AnswerWatch
  suspectFrom: number | undefined
}

/** Guards one attempt at an answer. */
export class Gate {
  /** Raw text that is not released: joined to what went before, each look at it would cost the length of the answer. */
  #held = ''
  /** Characters before it. */
  #released: number
  #watching: Watching[] = []
  #struggle: Struggle | undefined
  readonly #onBroken: (watcher: string, error: unknown) => void

  /** @param onBroken told of a watcher that threw; it is dropped for this answer */
  constructor(watchers: readonly Watcher[], start: AnswerStart, onBroken: (watcher: string, error: unknown) => void) {
    this.#released = start.already.length
    this.#onBroken = onBroken
    for (const watcher of watchers) {
      try {
        this.#watching.push({ name: watcher.name, watch: watcher.start(start), suspectFrom: undefined })
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
  push(text: string, now: number): string {
    if (this.#struggle) return ''
    this.#held += text
    if (this.#watching.length > 0) this.#judge((watch) => watch.push(text, now))
    return this.#release(false)
  }

  /** Lets time pass, for watchers of silence. @returns what the person may see now */
  tick(now: number): string {
    if (this.#struggle || this.#watching.length === 0) return ''
    this.#judge((watch) => watch.tick(now))
    return this.#release(false)
  }

  /** The model has ended. @returns what was still held, unless a watcher objects to the end itself */
  end(finish: FinishReason, now: number): string {
    if (this.#struggle) return ''
    this.#judge((watch) => watch.end(finish, now))
    for (const watching of this.#watching) watching.suspectFrom = undefined
    return this.#release(true)
  }

  /** After a confirmed struggle: the good text that was held before it. @returns what the person may see now */
  cut(): string {
    if (!this.#struggle) return this.#release(false)
    return this.#releaseTo(this.#struggle.cutAt)
  }

  #judge(ask: (watch: AnswerWatch) => Verdict): void {
    for (const watching of this.#watching) {
      try {
        const verdict = ask(watching.watch)
        watching.suspectFrom = verdict.state === 'suspect' ? verdict.from : undefined
        if (verdict.state === 'struggle') this.#struggle ??= verdict
      } catch (error) {
        this.#watching = this.#watching.filter((other) => other !== watching)
        this.#onBroken(watching.name, error)
      }
    }
  }

  #release(ended: boolean): string {
    if (this.#struggle) return ''
    let limit = this.#released + this.#held.length
    for (const { suspectFrom } of this.#watching) {
      if (suspectFrom !== undefined && suspectFrom < limit) limit = suspectFrom
    }
    return ended ? this.#slice(limit) : this.#releaseTo(limit)
  }

  /** Never ends inside a surrogate pair: its first half waits for the second. */
  #releaseTo(limit: number): string {
    const last = this.#held.charCodeAt(limit - this.#released - 1)
    return this.#slice(last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit)
  }

  #slice(limit: number): string {
    if (limit <= this.#released) return ''
    const text = this.#held.slice(0, limit - this.#released)
    this.#held = this.#held.slice(text.length)
    this.#released += text.length
    return text
  }
}
