/**
 * Rules that others use, for comparison.
 *
 * @module
 */
import { deflateSync } from 'node:zlib'

/** Judges a text as it grows. @returns characters read when it says that the text is a loop, undefined if never */
export type NaiveRule = (text: string) => number | undefined

const EVERY = 2048

/** zlib ratio above 2.4 of the whole text, the rule for transcripts; looked at every 2,048 characters. */
export const wholeTextRatio: NaiveRule = (text) => {
  for (let end = 1024; end <= text.length; end += EVERY) {
    const bytes = Buffer.from(text.slice(0, end))
    if (bytes.length / deflateSync(bytes).length > 2.4) return end
  }
  return undefined
}

/** Eight words in a row that have been there twice before, anywhere in the answer. */
export const repeatedWords: NaiveRule = (text) => {
  const seen = new Map<string, number>()
  const words: string[] = []
  for (const match of text.matchAll(/\S+/g)) {
    words.push(match[0])
    if (words.length < 8) continue
    const key = words.slice(-8).join(' ')
    const times = (seen.get(key) ?? 0) + 1
    if (times === 3) return match.index + match[0].length
    seen.set(key, times)
  }
  return undefined
}
