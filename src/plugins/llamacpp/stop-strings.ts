/**
 * Ends an answer at the first stop string, and never lets a part of one through.
 *
 * @module
 */

/** Watches text as it comes. */
export class StopStrings {
  readonly #stops: readonly string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '')
  }

  /** @returns what may be shown, and whether a stop string has come */
  push(text: string): { readonly text: string; readonly stopped: boolean } {
    if (this.#stops.length === 0) return { text, stopped: false }
    const all = this.#held + text
    const cut = firstStop(all, this.#stops)
    if (cut !== undefined) {
      this.#held = ''
      return { text: all.slice(0, cut), stopped: true }
    }
    const keep = Math.max(...this.#stops.map((stop) => overlap(all, stop)))
    this.#held = all.slice(all.length - keep)
    return { text: all.slice(0, all.length - keep), stopped: false }
  }

  /** The answer has ended by itself: what was held back was no stop string. */
  end(): string {
    const held = this.#held
    this.#held = ''
    return held
  }
}

/** Where the stop string begins that is complete first, so that it does not matter in which pieces the text comes. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
  let first: { readonly at: number; readonly end: number } | undefined
  for (const stop of stops) {
    const at = text.indexOf(stop)
    const end = at + stop.length
    if (at >= 0 && (!first || end < first.end || (end === first.end && at < first.at))) first = { at, end }
  }
  return first?.at
}

/** Characters at the end of `text` that a stop string begins with. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) if (text.endsWith(stop.slice(0, length))) return length
  return 0
}
