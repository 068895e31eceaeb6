/**
 * How whole texts end, for the one case in which nobody else can be asked.
 *
 * @module
 */

/** Behind a sentence, a table or code, with its quotes, brackets and emphasis closed; not inside a block of code. */
export function endsWhole(text: string): boolean {
  const fences = text.match(/^ *(?:```|~~~)/gm)?.length ?? 0
  return fences % 2 === 0 && /[.!?…。！？|`~][)\]}"'»”’*_\s]*$/u.test(text)
}
