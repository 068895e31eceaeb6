/** What of a message is worth remembering, and which memories a message is about. No model is asked: rules that a person can read. */

/** A memory, as it is kept. */
export interface Memory {
  readonly id: string
  /** In the words of whoever said it. */
  readonly text: string
  readonly sessionId: string
  /** Epoch ms. */
  readonly time: number
}

const ASKED = /^(?:please,?\s+)?(?:remember|don['’]t forget|do not forget|keep in mind)\b[,:]?\s*(?:that\b|this:)?\s*(?<what>.+)$/isu
const ABOUT_ME =
  /^(?:(?:my|our)\s+[\p{L}\p{N}'’ -]{2,40}?\s(?:is|are|was|were|has|have|lives?|works?|likes?|loves?|hates?)\s|(?:i am|i['’]m|i live|i work|i study|i was born|i like|i love|i hate|i prefer|i speak|call me)\s)/iu
/** What begins like a fact and is none. */
const PASSING = /^i(?: am|['’]m)\s+(?:not sure|sure|sorry|trying|looking|asking|wondering|going|getting|having|back|done|ready|here)\b/iu
const SUBJECT = /^((?:my|our)\s+.+?)\s+(?:is|are|was|were)\s/iu
const LONGEST = 300

/** The sentences of a typed text that say something about its author, or that the author asks to be remembered. */
export function learn(text: string): string[] {
  return text
    .split(/(?<=[.!?])\s+|\n+/)
    .map((sentence) => sentence.replace(/\p{C}+/gu, ' ').trim())
    .filter((sentence) => sentence.length <= LONGEST && !sentence.endsWith('?'))
    .flatMap((sentence) => {
      const asked = ASKED.exec(sentence)?.groups?.what
      if (asked !== undefined) return [asked]
      return ABOUT_ME.test(sentence) && !PASSING.test(sentence) ? [sentence] : []
    })
}

/** Whether a newer memory says anew what an older one said: "My dog is called Biscuit" of "My dog is called Rex". */
export function replaces(newer: string, older: string): boolean {
  const [a, b] = [newer, older].map((text) => (SUBJECT.exec(text)?.[1] ?? text.replace(/[.!]+$/, '')).toLowerCase())
  return a === b
}

/** Memories in the order in which they should be recalled: those that share rare words with the message, then the newest. */
export function ranked(memories: readonly Memory[], message: string): Memory[] {
  const texts = memories.map((memory) => ({ memory, words: wordsOf(memory.text) }))
  const holders = (word: string): number => texts.filter(({ words }) => words.has(word)).length
  const asked = [...wordsOf(message)].map((word) => ({ word, weight: Math.log(1 + memories.length / Math.max(1, holders(word))) }))
  const score = (words: ReadonlySet<string>): number => asked.reduce((sum, { word, weight }) => sum + (words.has(word) ? weight : 0), 0)
  return texts
    .map(({ memory, words }) => ({ memory, score: score(words) }))
    .sort((a, b) => b.score - a.score || b.memory.time - a.memory.time)
    .map(({ memory }) => memory)
}

function wordsOf(text: string): ReadonlySet<string> {
  return new Set(
    text
      .toLowerCase()
      .split(/[^\p{L}\p{N}]+/u)
      .filter((word) => word.length > 2)
      .map((word) => word.replace(/s$/, '')),
  )
}
