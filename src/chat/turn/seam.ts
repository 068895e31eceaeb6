/**
 * Going on with a partial answer where no engine takes it up by itself: the model is asked in words,
 * and what it repeats of the answer so far is taken off.
 *
 * @module
 */
import type { FinishReason, PieceSink, PromptMessage } from '../backend.ts'
import { backendError } from '../failure.ts'

/** Characters at the end of the partial answer that the model is asked to repeat, so that the seam can be found. */
const ANCHOR = 80
/** How far back a repetition may begin, in characters, unless it is the whole answer. */
const LOOK_BACK = 4000
/** An overlap that stands for itself, in characters; one that begins with a word may be as short as the second. */
const SURE_OVERLAP = 16
const WORD_OVERLAP = 2
/** An answer that begins as this one did for so many characters, and then goes another way, is a new one. */
const NEW_ANSWER = 32
/** Shortest answer whose repetition is no accident where an engine goes on by itself. */
const SHORTEST_WHOLE = 6

/** Space, and the dots with which models take up a broken text; a dot alone may yet become three. */
const LEAD_IN = /^\s*(?:(?:…|\.{2,4})\s*|\.$)?/

/** The prompt that asks for the rest of an answer. */
export function askForTheRest(messages: readonly PromptMessage[], partial: string): PromptMessage[] {
  const from = Math.max(0, partial.length - ANCHOR)
  const boundary = from === 0 ? 0 : partial.slice(from).search(/\s\S/) + 1
  const anchor = partial.slice(from + boundary).trim()
  const text = `Your answer was cut off. Give only the rest of it, as if it had never stopped. Begin by repeating these last words exactly, then go on from there:\n${anchor}`
  return [...messages, { role: 'assistant', parts: [{ type: 'text', text: partial }] }, { role: 'user', parts: [{ type: 'text', text }] }]
}

/** What became of the seam: still looking, found or not needed, or the model wrote something else. */
export type SeamState = 'open' | 'closed' | 'diverged'

/**
 * Finds where a continuation stops repeating the answer so far, as it streams. Text is held only while it repeats.
 *
 * @param wholeOnly takes only a repetition of the whole answer for one: for engines that go on by themselves, to be safe
 */
export class Seam {
  /** The answer so far, from behind what leads in: that is taken off the repetition too. */
  readonly #already: string
  readonly #leadIn: RegExp
  /** Offsets into it at which the repetition may have begun. */
  #starts: number[] | undefined
  #held = ''
  #space = ''
  /** Space at the end of the answer so far, and what the continuation has in its place. */
  #tail = ''
  #lead = ''
  #overlap = 0
  #matched = 0
  /** The same, from the beginning of the answer so far. */
  #restated = 0
  #state: SeamState = 'open'
  readonly #wholeOnly: boolean

  constructor(already: string, { wholeOnly = false }: { readonly wholeOnly?: boolean } = {}) {
    // Models repeat words exactly, and the space behind them as they please.
    const said = already.trimEnd()
    // With something behind it, a dot alone is no lead.
    const lead = LEAD_IN.exec(`${said}x`)?.[0].length ?? 0
    // Of an answer that is nothing else yet, the lead is the text.
    this.#leadIn = lead < said.length ? LEAD_IN : /^/
    this.#already = lead < said.length ? said.slice(lead) : said
    this.#wholeOnly = wholeOnly
    if (this.#already === '' || (wholeOnly && this.#already.length < SHORTEST_WHOLE)) this.#state = 'closed'
    else this.#tail = already.slice(said.length)
  }

  get state(): SeamState {
    return this.#state
  }

  /** Whether the continuation repeated the answer so far up to its end. */
  get repeated(): boolean {
    return this.#overlap > 0
  }

  /** Share of the answer so far that has been repeated, 0 to 1: a sign of life while nothing new comes. */
  get progress(): number {
    return this.#already === '' ? 1 : Math.min(1, this.#matched / this.#already.length)
  }

  /** Takes raw text. @returns what is new in it */
  push(text: string): string {
    if (this.#state === 'closed') return this.#afterTail(text)
    if (this.#state === 'diverged') return ''
    let rest = text
    if (this.#held === '') {
      // What leads in belongs to the text only if the text turns out to be new.
      const led = this.#space + rest
      const lead = this.#leadIn.exec(led)?.[0] ?? ''
      this.#space = lead
      rest = led.slice(lead.length)
    }
    if (rest === '') return ''
    this.#match(rest)
    return this.#starts?.length === 0 ? this.#close(false) : ''
  }

  /** The continuation is over. @returns what was held and is new */
  end(): string {
    return this.#state === 'open' ? this.#close(true) : ''
  }

  #match(text: string): void {
    const already = this.#already
    const before = this.#held.length
    this.#starts ??= this.#firstStarts()
    this.#held += text
    const after = this.#held.length
    const open: number[] = []
    for (const start of this.#starts) {
      const room = already.length - start
      if (room > after) {
        if (already.startsWith(text, start + before)) open.push(start)
        else this.#leave(start, text, before)
      } else if (text.startsWith(already.slice(start + before))) this.#overlap = Math.max(this.#overlap, room)
      else this.#leave(start, text, before)
    }
    if (open.length > 0) this.#matched = after
    if (open[0] === 0) this.#restated = after
    this.#starts = open
  }

  /** A repetition that does not go on: how far it got matters where it began with the answer. */
  #leave(start: number, text: string, before: number): void {
    if (start !== 0) return
    let length = 0
    while (length < text.length && text[length] === this.#already[before + length]) length++
    this.#restated = before + length
  }

  #firstStarts(): number[] {
    if (this.#wholeOnly) return [0]
    const from = Math.max(0, this.#already.length - LOOK_BACK)
    const all = Array.from({ length: this.#already.length - from }, (_, offset) => from + offset)
    return from === 0 ? all : [0, ...all]
  }

  /** Space that the answer has already is not said twice. */
  #afterTail(text: string): string {
    const tail = this.#tail
    if (tail === '') return text
    this.#lead += text
    const rest = this.#lead.trimStart()
    if (rest === '') return ''
    const lead = this.#lead.slice(0, this.#lead.length - rest.length)
    this.#tail = ''
    return (lead.startsWith(tail) ? lead.slice(tail.length) : tail.startsWith(lead) ? '' : lead) + rest
  }

  #close(ended: boolean): string {
    const { length } = this.#already
    const held = this.#held
    const whole = this.#overlap === length
    const begins = this.#already[length - this.#overlap - 1]
    const word = this.#overlap >= WORD_OVERLAP && (begins === undefined || /\s/.test(begins))
    this.#held = ''
    this.#state = 'closed'
    if (whole || this.#overlap >= SURE_OVERLAP || word) return this.#afterTail(held.slice(this.#overlap))
    this.#overlap = 0
    this.#tail = ''
    if (this.#wholeOnly && !ended) return this.#space + held
    // All that was said had been said: its rest is still missing.
    if (ended && !this.#wholeOnly && this.#starts?.length !== 0 && this.#matched >= SURE_OVERLAP) return ''
    if (this.#restated >= NEW_ANSWER) {
      this.#state = 'diverged'
      return ''
    }
    return this.#space + held
  }
}

/** Whether a text may be a whole answer: it ends as a sentence, a list or a block does. */
export function looksEnded(text: string): boolean {
  return /[.!?…:;。！？)\]}"'»”’`*_|>~]\s*$|\n\s*$/.test(text)
}

/** How a continuation is joined. */
export interface JointOptions {
  /** See {@link Seam}. */
  readonly wholeOnly?: boolean
  /** The model writes something else; `end` will say so. */
  readonly onDiverged?: () => void
}

/** Lets through what is new of a continuation, and judges its end. */
export class Joint {
  readonly sink: PieceSink
  readonly #already: string
  readonly #seam: Seam
  readonly #target: PieceSink
  readonly #wholeOnly: boolean
  /** Tokens of pieces that let nothing through yet. */
  #tokens = 0
  #wrote = false

  /** @param target takes what is new, and signs of life while nothing is */
  constructor(already: string, target: PieceSink, { wholeOnly = false, onDiverged }: JointOptions = {}) {
    const seam = new Seam(already, { wholeOnly })
    this.#already = already
    this.#seam = seam
    this.#target = target
    this.#wholeOnly = wholeOnly
    this.sink = (piece) => {
      if (piece.type !== 'text') return target(piece)
      const text = seam.push(piece.text)
      this.#tokens += piece.tokens
      this.#wrote ||= text !== ''
      if (text !== '') target({ ...piece, text, tokens: this.#taken() })
      else if (seam.state === 'open') target({ type: 'prefill', fraction: seam.progress })
      else if (seam.state === 'diverged') onDiverged?.()
    }
  }

  /** @throws MaiError `MAI_BACKEND_ERROR` when this is not the rest of the answer: another try may give it */
  end(finish: FinishReason): void {
    const text = this.#seam.end()
    if (text !== '') this.#target({ type: 'text', text, tokens: this.#taken() })
    if (this.#seam.state === 'diverged')
      throw backendError('MAI_BACKEND_ERROR', 'The model began a new answer instead of going on with this one.')
    // An engine that goes on by itself may find that nothing is missing; one that was asked in words must show that it understood.
    const understood = this.#wrote || text !== '' || this.#seam.repeated || this.#wholeOnly || looksEnded(this.#already)
    if (finish === 'stop' && !understood)
      throw backendError('MAI_BACKEND_ERROR', 'The model had nothing to add to an answer that stops in its middle.')
  }

  #taken(): number {
    const tokens = this.#tokens
    this.#tokens = 0
    return tokens
  }
}
