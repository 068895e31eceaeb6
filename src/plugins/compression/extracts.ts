/**
 * Extracts of the old part of a conversation: the sentences that say most, word for word.
 *
 * Greedy: each step takes the sentence with the rarest words not yet covered, for its length.
 *
 * @module
 */
import type { Message } from '../../chat/message.ts'
import { textOf } from '../../chat/message.ts'

interface Sentence {
  readonly position: number
  readonly line: string
  readonly words: ReadonlySet<string>
  readonly cost: number
}

/** Longest sentence considered, in characters. */
const LONGEST = 400

const segmenter: Intl.Segmenter = new Intl.Segmenter(undefined, { granularity: 'word' })

/**
 * Lines `speaker: sentence` in their old order, together at most `budget`.
 * @param cost tokens of a line
 */
export function extracts(messages: readonly Message[], budget: number, cost: (line: string) => number): string[] {
  const sentences = messages
    .flatMap((message) => split(message))
    .map((line, position) => ({ position, line, words: wordsOf(line), cost: cost(line) }))
  const frequency = new Map<string, number>()
  for (const { words } of sentences) for (const word of words) frequency.set(word, (frequency.get(word) ?? 0) + 1)
  const weight = (word: string): number => Math.log(1 + sentences.length / (frequency.get(word) ?? 1)) * (/\d/.test(word) ? 2 : 1)

  const covered = new Set<string>()
  const chosen: Sentence[] = []
  const left = new Set<Sentence>(sentences)
  let room = budget
  for (;;) {
    let best: Sentence | undefined
    let most = 0
    for (const sentence of left) {
      if (sentence.cost > room) continue
      let gain = 0
      for (const word of sentence.words) if (!covered.has(word)) gain += weight(word)
      const value = gain / (sentence.cost + 4)
      if (value > most) {
        best = sentence
        most = value
      }
    }
    if (!best) break
    left.delete(best)
    chosen.push(best)
    room -= best.cost
    for (const word of best.words) covered.add(word)
  }
  return chosen.sort((a, b) => a.position - b.position).map((sentence) => sentence.line)
}

function split(message: Message): string[] {
  const speaker = message.role === 'assistant' ? 'Assistant' : 'User'
  return textOf(message.parts)
    .split(/(?<=[.!?。！？])\s*|\n+/u)
    .map((sentence) => sentence.trim().slice(0, LONGEST))
    .filter((sentence) => sentence.length > 3)
    .map((sentence) => `${speaker}: ${sentence}`)
}

function wordsOf(line: string): ReadonlySet<string> {
  const words = new Set<string>()
  for (const { segment, isWordLike } of segmenter.segment(line.toLowerCase())) if (isWordLike && segment.length > 1) words.add(segment)
  return words
}
