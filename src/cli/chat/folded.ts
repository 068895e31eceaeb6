/**
 * Long texts in one place of the line editor: a mark stands for them until they are sent.
 *
 * @module
 */
import { neutralise } from '../neutralise.ts'

/** More than this is a mark, not text, on the screen. */
const SHOWN = { lines: 8, characters: 1000 }
const MARK = /\[text #(\d+), [\d,]+ (?:lines|characters)\]/g

/** Keeps the texts behind the marks. */
export class FoldedTexts {
  readonly #texts: string[] = []

  /** The text itself where a line editor can show it, else a mark. */
  fold(text: string): string {
    const lines = text.split('\n').length
    if (lines <= SHOWN.lines && text.length <= SHOWN.characters && neutralise(text) === text) return text
    const known = this.#texts.indexOf(text)
    const number = known < 0 ? this.#texts.push(text) : known + 1
    return `[text #${number}, ${lines > 1 ? `${lines} lines` : `${text.length} characters`}]`
  }

  /** Puts the texts back in the place of their marks. */
  unfold(line: string): string {
    return line.replace(MARK, (mark, number: string) => this.#texts[Number(number) - 1] ?? mark)
  }
}
