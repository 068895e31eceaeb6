/**
 * The terms of a text, for telling whether two texts speak of the same things.
 *
 * @module
 */

const RUN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+|[\p{L}\p{N}\p{M}'’]+/gu
const IDEOGRAPH = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u
/** Endings that English puts on a word without changing what it names; three letters of it stay. */
const ENDING = /(?<=...)(?:['’]s|ing|e?[ds]|e)$/

/** Words that say nothing about what a sentence is about, and what models call the two who talk. */
const EMPTY: ReadonlySet<string> = new Set(
  `a an and are as at be been but by can could did do does for from had has have he her his i in is it its me my not of on or our she
   so that the their them they this to was we were what when where which who will with would you your user assistant wants want`.split(
    /\s+/,
  ),
)

/** Distinct terms: words without common endings and function words; pairs of signs where no spaces are written. */
export function termsOf(text: string): ReadonlySet<string> {
  const terms = new Set<string>()
  for (const [run] of text.toLowerCase().matchAll(RUN)) {
    if (IDEOGRAPH.test(run)) for (const pair of pairsOf([...run])) terms.add(pair)
    else {
      const word = run.replace(/^['’]+|['’]+$/g, '')
      const term = word.replace(ENDING, '')
      if (!EMPTY.has(word) && !EMPTY.has(term) && (term.length > 1 || /\p{N}/u.test(term))) terms.add(term)
    }
  }
  return terms
}

/** Share of the first that the second has too: 0 to 1; 0 for no terms. */
export function coverage(terms: ReadonlySet<string>, by: ReadonlySet<string>): number {
  if (terms.size === 0) return 0
  let shared = 0
  for (const term of terms) if (by.has(term)) shared++
  return shared / terms.size
}

/** How much two texts are the same, by their terms: 0 to 1 (Jaccard). */
export function likeness(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
  const shared = coverage(a, b) * a.size
  return a.size + b.size === 0 ? 1 : shared / (a.size + b.size - shared)
}

function pairsOf(signs: readonly string[]): string[] {
  return signs.length === 1 ? [...signs] : signs.slice(1).map((sign, index) => `${signs[index]}${sign}`)
}
