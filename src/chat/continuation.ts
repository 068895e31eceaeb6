/**
 * Going on in the middle of an answer, by whatever way the backend has.
 *
 * Where a backend cannot be handed the beginning of an answer, the model is asked to go on, and what it repeats is
 * taken off: the text that was shown and the text that comes join as one, whether it repeats all, a part, or nothing.
 *
 * @module
 */

import { isMaiError } from '../core/errors.ts'
import type { Backend, GenerateRequest, GenerationResult, PieceSink, PromptMessage } from './backend.ts'

/** A repeat counts where a word begins, or from this many characters on anywhere: shorter ones may be meant. */
const SURE_CHARACTERS = 12
/** The least that counts as a repeat, in characters other than white space. */
const LEAST_CHARACTERS = 2
/** The most words that the model is asked to begin with: enough to find the place, few enough to be repeated exactly. */
const ANCHOR = /(?:\S+\s+){0,5}\S+\s*$/u

/**
 * A backend as the turn wants it: `continueFrom` works with every one.
 * A refusal to go on from a prefilled answer is no failure: the model is asked instead.
 */
export function continuing(backend: Pick<Backend, 'abilities' | 'generate'>): Pick<Backend, 'generate'> {
  const { continuation } = backend.abilities
  return {
    async generate(request, sink) {
      if (!request.continueFrom || continuation === 'raw') return backend.generate(request, sink)
      if (continuation === 'none') return ask(backend, request, request.continueFrom, sink)
      let begun = false
      try {
        return await backend.generate(request, (piece) => {
          begun ||= piece.type !== 'prefill'
          sink(piece)
        })
      } catch (error) {
        const refused = isMaiError(error) && error.code === 'MAI_REQUEST_INVALID'
        if (!refused || begun || request.signal.aborted) throw error
        return ask(backend, request, request.continueFrom, sink)
      }
    },
  }
}

async function ask(
  backend: Pick<Backend, 'generate'>,
  request: GenerateRequest,
  partial: string,
  sink: PieceSink,
): Promise<GenerationResult> {
  const { continueFrom: _, ...rest } = request
  const overlap = new Overlap(partial)
  let tokens = 0
  const result = await backend.generate({ ...rest, messages: asking(request.messages, partial) }, (piece) => {
    if (piece.type !== 'text') return sink(piece)
    tokens += piece.tokens
    const text = overlap.push(piece.text)
    if (text === '') return
    sink({ type: 'text', text, tokens })
    tokens = 0
  })
  const text = result.finish === 'cancelled' ? '' : overlap.end()
  if (text !== '') sink({ type: 'text', text, tokens })
  return result
}

/** The same conversation with the partial answer in it, and the request to go on. */
function asking(messages: readonly PromptMessage[], partial: string): readonly PromptMessage[] {
  const anchor = ANCHOR.exec(partial)?.[0].trim() ?? ''
  const request = [
    'Your answer broke off. Go on exactly where it stopped, without any introduction.',
    `Begin by repeating its last words exactly: ${JSON.stringify(anchor)}`,
  ].join(' ')
  return [
    ...messages,
    { role: 'assistant', parts: [{ type: 'text', text: partial }] },
    { role: 'user', parts: [{ type: 'text', text: request }] },
  ]
}

/**
 * Takes off the beginning of a text what the end of another says already.
 * Holds text back only as long as it may still turn out to be a repeat.
 */
export class Overlap {
  /** The text as it comes, and without the white space that models like to begin with. */
  readonly #exact: Repeat
  readonly #trimmed: Repeat
  #skipped = 0
  #held = ''
  #decided = false

  constructor(partial: string) {
    this.#exact = new Repeat(partial)
    this.#trimmed = new Repeat(partial)
  }

  /** @returns what is new and certain */
  push(text: string): string {
    if (this.#decided) return text
    const blank = this.#held.trim() === ''
    this.#held += text
    this.#exact.push(text)
    const begun = blank ? text.trimStart() : text
    if (blank) this.#skipped += text.length - begun.length
    this.#trimmed.push(begun)
    if (this.#held.trim() === '' || this.#exact.open || this.#trimmed.open) return ''
    return this.#decide(false)
  }

  /** The text has ended. @returns what was held and is new */
  end(): string {
    return this.#decided ? '' : this.#decide(this.#exact.open || this.#trimmed.open)
  }

  /** @param within what is held lies inside the partial text: said before, unless it is too short to tell */
  #decide(within: boolean): string {
    this.#decided = true
    if (within && this.#held.trim().length >= SURE_CHARACTERS) return ''
    const trimmed = this.#trimmed.length > 0 ? this.#skipped + this.#trimmed.length : 0
    return this.#held.slice(Math.max(this.#exact.length, trimmed))
  }
}

/** Finds the longest end of one text that another begins with. */
class Repeat {
  readonly #partial: string
  /** Where in the partial text the other one may begin; undefined: anywhere. */
  #starts: number[] | undefined
  #seen = 0
  /** Characters of the longest repeat that counts. */
  length = 0

  constructor(partial: string) {
    this.#partial = partial
  }

  /** A longer one is still possible. */
  get open(): boolean {
    return this.#starts === undefined || this.#starts.length > 0
  }

  push(text: string): void {
    if (text === '') return
    const partial = this.#partial
    const seen = this.#seen
    this.#seen += text.length
    const continues = (start: number): boolean => {
      const left = partial.length - start - seen
      if (!partial.startsWith(left < text.length ? text.slice(0, left) : text, start + seen)) return false
      if (left > text.length) return true
      if (this.#counts(start)) this.length = Math.max(this.length, partial.length - start)
      return false
    }
    this.#starts = (this.#starts ?? Array.from({ length: partial.length }, (_, at) => at)).filter(continues)
  }

  #counts(start: number): boolean {
    const repeat = this.#partial.slice(start)
    if (repeat.replace(/\s/gu, '').length < LEAST_CHARACTERS) return false
    return repeat.length >= SURE_CHARACTERS || start === 0 || /\s/u.test(this.#partial.slice(start - 1, start + 1))
  }
}
