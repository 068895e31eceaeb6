/**
 * A few lines that are painted again and again in the same place.
 *
 * @module
 */
import { columnsOf, type Screen } from './colour.ts'
import { fitted } from './width.ts'

const ESC = '\u001b['

/** Owns the rows below where the cursor was. */
export class Repainter {
  readonly #screen: Screen
  #rows = 0

  constructor(screen: Screen) {
    this.#screen = screen
  }

  /** Lines are cut to the width of the terminal, and to its height, so that they can be found again. */
  paint(lines: readonly string[]): void {
    const shown = lines.slice(0, Math.max(1, (this.#screen.rows ?? 24) - 1))
    const up = this.#rows > 0 ? `${ESC}${this.#rows}A` : ''
    const columns = columnsOf(this.#screen) - 1
    this.#screen.write(`${up}\r${shown.map((line) => `${fitted(line, columns)}${ESC}K\n`).join('')}${ESC}J`)
    this.#rows = shown.length
  }
}
