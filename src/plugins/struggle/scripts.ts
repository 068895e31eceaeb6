/**
 * Which script a letter belongs to, coarse enough to tell a jumble from a text in two languages.
 *
 * @module
 */

/** No letter, or a mark that goes with any script. */
export const NO_SCRIPT = 0
export const LATIN = 1
const OTHER = 2
/** Scripts whose writers put Latin words between their own without a blank. */
const JOINING: readonly string[] = ['Han', 'Hiragana', 'Katakana', 'Hangul', 'Thai', 'Lao', 'Khmer', 'Myanmar']
const SEPARATE: readonly string[] = [
  'Cyrillic',
  'Greek',
  'Arabic',
  'Hebrew',
  'Devanagari',
  'Bengali',
  'Tamil',
  'Georgian',
  'Armenian',
  'Ethiopic',
]
/** Japanese mixes three of them in one word. */
const JAPANESE: ReadonlySet<string> = new Set(['Han', 'Hiragana', 'Katakana'])
const FIRST_JOINING = 3
const FIRST_SEPARATE = FIRST_JOINING + JOINING.length

const tests: readonly (readonly [RegExp, number])[] = [
  [/\p{Script=Latin}/u, LATIN],
  ...JOINING.map((name, n) => [new RegExp(`\\p{Script=${name}}`, 'u'), JAPANESE.has(name) ? FIRST_JOINING : FIRST_JOINING + n] as const),
  ...SEPARATE.map((name, n) => [new RegExp(`\\p{Script=${name}}`, 'u'), FIRST_SEPARATE + n] as const),
]

/** How many numbers {@link scriptOf} gives. */
export const SCRIPTS: number = FIRST_SEPARATE + SEPARATE.length

/** By page of 256 code points, made when text needs them. */
const pages = new Map<number, Uint8Array>()

/** A number for the script of a code point; {@link NO_SCRIPT} for what is no letter. */
export function scriptOf(point: number): number {
  if (point < 0x80) return (point >= 97 && point <= 122) || (point >= 65 && point <= 90) ? LATIN : NO_SCRIPT
  const index = point >> 8
  let page = pages.get(index)
  if (!page) {
    page = Uint8Array.from({ length: 256 }, (_, low) => found(String.fromCodePoint((index << 8) | low)))
    pages.set(index, page)
  }
  return page[point & 255] ?? NO_SCRIPT
}

function found(char: string): number {
  if (!/\p{L}/u.test(char)) return NO_SCRIPT
  return tests.find(([test]) => test.test(char))?.[1] ?? OTHER
}

/** Whether no language puts a letter of one right behind a letter of the other. */
export function clash(one: number, other: number): boolean {
  if (one === other || one === NO_SCRIPT || other === NO_SCRIPT) return false
  const latinJoined = (a: number, b: number): boolean => a === LATIN && b >= FIRST_JOINING && b < FIRST_SEPARATE
  return !latinJoined(one, other) && !latinJoined(other, one)
}
