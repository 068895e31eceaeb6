/**
 * Whether the end of a Markdown text lies in a fenced code block.
 *
 * @module
 */
import { BLANKS, hashOf, NEWLINE, type UnitKind } from './lexer.ts'

/** Hashes of the marks that open and close a block, longest first choice of the lexer. */
const MARKS: ReadonlySet<number> = new Set(['```', '````', '~~~', '~~~~'].map(hashOf))

/** Follows the units of a text. */
export class Fences {
  inside = false
  #lineStart = true

  add(hash: number, kind: UnitKind): void {
    if (this.#lineStart && MARKS.has(hash)) this.inside = !this.inside
    if (kind === NEWLINE) this.#lineStart = true
    else if (kind !== BLANKS) this.#lineStart = false
  }
}

/** Whether a text that is not fed to {@link Fences} ends inside a block. */
export function endsInFence(text: string): boolean {
  return (text.match(/^[ \t]*(?:```|~~~)/gm)?.length ?? 0) % 2 === 1
}
