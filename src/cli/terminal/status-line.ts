/**
 * One line that is repainted while something is waited for, and gone before anything else is written.
 *
 * @module
 */
import { neutraliseLine } from '../neutralise.ts'
import { columnsOf, dimmed, type Screen } from './colour.ts'
import { fitted } from './width.ts'

/** To the first column, and empty from there. */
const CLEAR = '\r\u001b[K'

/** The cursor must stand in the first column when it begins. */
export class StatusLine {
  readonly #screen: Screen | undefined
  #shown = ''

  /** @param screen undefined where nothing may be repainted: nothing is shown then */
  constructor(screen: Screen | undefined) {
    this.#screen = screen
  }

  show(text: string): void {
    if (!this.#screen || text === this.#shown) return
    this.#shown = text
    // A column less: the last one would wrap on some terminals.
    this.#screen.write(`${CLEAR}${dimmed(fitted(neutraliseLine(text), columnsOf(this.#screen) - 1), true)}`)
  }

  clear(): void {
    if (this.#shown === '') return
    this.#shown = ''
    this.#screen?.write(CLEAR)
  }
}
