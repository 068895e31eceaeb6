/**
 * An answer on its way to standard output.
 *
 * A pipe gets the text as it is. A terminal gets it neutralised, broken between words, and where escape sequences are
 * allowed its Markdown styled and its reasoning dimmed. Nothing that is out is taken back.
 *
 * @module
 */
import type { ReplyPiece } from '../../chat/reply.ts'
import { neutralise } from '../neutralise.ts'
import { columnsOf, dimmed } from './colour.ts'
import { MarkdownStyler } from './markdown.ts'
import { WordWrap } from './word-wrap.ts'

/** Where an answer goes, and how. */
export interface AnswerPlace {
  readonly out: NodeJS.WritableStream
  /** A person sees it as it is written. */
  readonly onTerminal: boolean
  /** Escape sequences are allowed. */
  readonly escapes: boolean
  /** What the model thinks first is shown too; only on a terminal. */
  readonly reasoning: boolean
}

/** Shows one answer. */
export class AnswerView {
  readonly #place: AnswerPlace
  readonly #styler: MarkdownStyler | undefined
  readonly #wrap: WordWrap | undefined
  #reasoning = false
  /** Last character of what was shown. */
  #last = '\n'
  #shown = false
  /** On a terminal an answer begins with its first line that is not empty. */
  #blank: boolean

  constructor(place: AnswerPlace) {
    this.#place = place
    this.#blank = place.onTerminal
    this.#styler = place.onTerminal && place.escapes ? new MarkdownStyler() : undefined
    this.#wrap = place.onTerminal ? new WordWrap(() => columnsOf(place.out)) : undefined
  }

  push({ type, text }: ReplyPiece): void {
    if (type === 'reasoning') return this.#think(text)
    this.#endReasoning()
    const safe = this.#place.onTerminal ? neutralise(text) : text
    const shown = this.#blank ? safe.replace(/^\s*\n/, '') : safe
    if (shown.trim() !== '') this.#blank = false
    this.#text(shown)
  }

  /** Ends the answer, and its line. */
  end(): void {
    this.#endReasoning()
    const rest = this.#styler?.end() ?? ''
    this.#write(rest)
    this.#put(this.#wrap?.end() ?? '')
    if (this.#last !== '\n' || !this.#shown) this.#write('\n')
  }

  #text(text: string): void {
    this.#write(this.#styler ? this.#styler.push(text) : text)
    if (text !== '') this.#last = text.charAt(text.length - 1)
  }

  #think(text: string): void {
    const { onTerminal, reasoning, escapes } = this.#place
    if (!onTerminal || !reasoning) return
    if (!this.#reasoning && !escapes) this.#write('Thinking…\n')
    this.#reasoning = true
    const safe = neutralise(text)
    this.#write(dimmed(safe, escapes))
    if (safe !== '') this.#last = safe.charAt(safe.length - 1)
  }

  /** A blank line, and a word where there are no dim letters to tell it from the answer. */
  #endReasoning(): void {
    if (!this.#reasoning) return
    this.#reasoning = false
    this.#write(`${this.#last === '\n' ? '' : '\n'}${this.#place.escapes ? '\n' : '…done thinking.\n\n'}`)
    this.#last = '\n'
  }

  #write(text: string): void {
    this.#put(this.#wrap ? this.#wrap.push(text) : text)
  }

  #put(text: string): void {
    if (text === '') return
    this.#shown = true
    this.#place.out.write(text)
  }
}
