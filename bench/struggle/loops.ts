/**
 * Answers that end in a loop, exact or with noise.
 *
 * @module
 */
import type { Sample } from './corpus.ts'
import { seeded } from './generated.ts'
import { unitsOf } from './replay.ts'

/** A text, and what a model then repeats. */
export interface LoopCase {
  readonly prefix: string
  readonly loop: string
  /**
   * How copies differ. Nothing, false, 0, 'none' or 'exact': they do not. A number up to 1: the share of words that are changed.
   * A greater number: so many words of each copy. A string with `count` or `num`: numbers count up. With `ins`: now and then a
   * word is put in. Any other string: one word is another in each copy. True: these three in turn.
   */
  readonly noise?: number | boolean | string | null
}

/** Units that are played of a loop at least, and copies: what a model writes before its limit. */
const LONGEST_UNITS = 4096
const FEWEST_COPIES = 32
const MOST_CHARS = 400_000

export function isNoisy({ noise }: LoopCase): boolean {
  return !(noise === undefined || noise === null || noise === false || noise === 0 || noise === '' || noise === 'none' || noise === 'exact')
}

/** The loop as the model writes it, without the prefix. */
export function written(one: LoopCase, words: readonly string[]): string {
  const random = seeded(one.prefix.length * 31 + one.loop.length)
  const copies = Math.max(FEWEST_COPIES, Math.ceil(LONGEST_UNITS / Math.max(1, unitsOf(one.loop))))
  const vary = isNoisy(one) ? variation(one, words, random) : () => one.loop
  let text = ''
  for (let copy = 0; copy < copies && text.length < MOST_CHARS; copy++) text += vary(copy)
  return text
}

function variation({ loop, noise }: LoopCase, words: readonly string[], random: () => number): (copy: number) => string {
  const places = [...loop.matchAll(/\p{L}{3,}/gu)]
  const word = (): string => words[Math.floor(random() * words.length)] ?? 'word'
  const fixed = places[Math.floor(random() * places.length)]
  const count = (copy: number): string =>
    /\d/.test(loop) ? loop.replace(/\d{1,9}/, (digits) => String(Number(digits) + copy)) : `${copy + 1}. ${loop}`
  const change = (): string =>
    fixed ? `${loop.slice(0, fixed.index)}${word()}${loop.slice(fixed.index + fixed[0].length)}` : `${loop}${word()} `
  const insert = (): string => {
    const place = random() < 0.5 ? places[Math.floor(random() * places.length)] : undefined
    const at = place ? place.index + place[0].length : 0
    return place ? `${loop.slice(0, at)} ${word()}${loop.slice(at)}` : loop
  }
  if (typeof noise === 'number') {
    const share = noise <= 1 ? noise : noise / Math.max(1, places.length)
    return () => loop.replace(/\p{L}{3,}/gu, (found) => (random() < share ? word() : found))
  }
  if (noise === true) return (copy) => [count, change, insert][copy % 3]?.(copy) ?? loop
  const name = String(noise).toLowerCase()
  return /count|num/.test(name) ? count : name.includes('ins') ? insert : change
}

/** Loops of sentences, lines and blocks out of real text, with periods of 1 to 128 units, evenly by their logarithm. */
export function loopsFrom(samples: readonly Sample[], many: number, noises: readonly LoopCase['noise'][]): LoopCase[] {
  const random = seeded(5)
  const cases: LoopCase[] = []
  for (let tries = 0; cases.length < many && tries < many * 200; tries++) {
    const text = samples[Math.floor(random() * samples.length)]?.text ?? ''
    const starts = [...text.slice(0, 30_000).matchAll(/(?<=^|[.!?]\s|\n)\S/g)].map(({ index }) => index)
    const start = starts[Math.floor(random() * starts.length)] ?? 0
    const wanted = 2 ** (random() * 7)
    const end = starts.find((at) => at > start && unitsOf(text.slice(start, at)) >= wanted)
    if (end === undefined || start < 100) continue
    const loop = text.slice(start, end)
    const units = unitsOf(loop)
    if (units > 128 || !/\p{L}{2}/u.test(loop)) continue
    cases.push({ prefix: text.slice(Math.max(0, start - 1500), start), loop, noise: noises[cases.length % noises.length] ?? false })
  }
  return cases
}

/** Words to put in. */
export function wordsOf(samples: readonly Sample[]): string[] {
  return [...new Set(samples.slice(0, 40).flatMap(({ text }) => text.match(/\b[a-z]{4,9}\b/g) ?? []))].slice(0, 2000)
}
