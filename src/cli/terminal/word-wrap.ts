/**
 * Line breaks between words, while text streams: a terminal by itself would break them in the middle.
 *
 * Append-only: a word is held back until it has ended. Code, tables and words longer than a line pass as they are.
 *
 * @module
 */
import { textWidth } from './width.ts'

/** A style (SGR); a line break; blanks; characters between which a line may break anyway; and the rest, parts of words. */
const PARTS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: styles begin with one
  /(?<style>\u001b\[[\d;]*m)|(?<newline>\n)|(?<blanks>[ \t]+)|(?<anywhere>[\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\uffef]+)|(?<word>[^\u001b\n \t\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\uffef]+|.)/gs
/** First word of a line that is not wrapped: a table. */
const TABLE = /^\|/
/** It opens code, unless more of it follows on the line, and closes it where nothing follows and it is as long. */
const FENCE = /^(`{3,}|~{3,})(.*)$/
/** A mark of a list: what goes on below it is indented as far. */
const MARK = /^(?:[•*+-]|\d{1,3}[.)])$/
/** Indented so far, a line is code. */
const CODE_INDENT = 4

/** Wraps one answer. */
export class WordWrap {
  readonly #columns: () => number
  /** Of the line, filled so far. */
  #column = 0
  #blanks = ''
  /** With the styles in it. */
  #word = ''
  #wordWidth = 0
  /** What was longer than a line is out already: its end belongs right behind it. */
  #inLongWord = false
  /** No word of this line is complete yet. */
  #lineStart = true
  /** This line is not wrapped. */
  #verbatim = false
  /** What opened the code that this is in. */
  #fence: string | undefined
  /** In this line. */
  #opened = false
  #indent = 0

  /** @param columns of the terminal as it is now */
  constructor(columns: () => number) {
    this.#columns = columns
  }

  /** @returns what may be shown now */
  push(text: string): string {
    let out = ''
    for (const { groups = {} } of text.matchAll(PARTS)) {
      const { style, blanks, anywhere, word } = groups
      if (style) this.#word += style
      else if (blanks) {
        out += this.#endWord()
        this.#blanks += blanks
      } else if (anywhere) out += this.#endWord() + this.#breakable(anywhere)
      else out += word ? this.#part(word) : this.#newline()
    }
    return out
  }

  /** @returns what was held back */
  end(): string {
    return this.#endWord() + this.#takeBlanks()
  }

  #part(text: string): string {
    this.#word += text
    this.#wordWidth += textWidth(text)
    if (this.#wordWidth > this.#columns()) {
      const out = this.#endWord()
      this.#inLongWord = true
      return out
    }
    // In code nothing moves, so nothing waits.
    return this.#inLongWord || (this.#verbatim && !this.#lineStart) ? this.#endPart() : ''
  }

  /** The terminal breaks between these by itself. */
  #breakable(text: string): string {
    this.#lineStart = false
    const out = this.#takeBlanks() + text
    this.#advance(textWidth(text))
    return out
  }

  #newline(): string {
    const out = this.#endWord()
    this.#blanks = ''
    this.#column = 0
    this.#indent = 0
    this.#lineStart = true
    this.#opened = false
    this.#verbatim = this.#fence !== undefined
    return `${out}\n`
  }

  #endWord(): string {
    const out = this.#endPart()
    this.#inLongWord = false
    return out
  }

  /** Shows what there is of a word. */
  #endPart(): string {
    const word = this.#word
    const width = this.#wordWidth
    this.#word = ''
    this.#wordWidth = 0
    if (width === 0) return word
    if (this.#lineStart) return this.#beginLine(word, width)
    if (this.#opened) this.#unlessClosed(word)
    const columns = this.#columns()
    const fits = this.#verbatim || this.#inLongWord || this.#column + textWidth(this.#blanks) + width <= columns
    if (fits || this.#column <= this.#indent) {
      const blanks = this.#takeBlanks()
      this.#advance(width)
      return blanks + word
    }
    this.#blanks = ''
    this.#column = this.#indent
    this.#advance(width)
    return `\n${' '.repeat(this.#indent)}${word}`
  }

  #beginLine(word: string, width: number): string {
    this.#lineStart = false
    const bare = plain(word)
    const indent = textWidth(this.#blanks)
    const [, run, rest] = FENCE.exec(bare) ?? []
    if (run !== undefined) {
      if (this.#fence === undefined) {
        this.#fence = run
        this.#opened = true
        this.#unlessClosed(rest)
      } else if (run.startsWith(this.#fence) && rest === '') this.#fence = undefined
      this.#verbatim = true
    }
    this.#verbatim ||= TABLE.test(bare) || indent >= CODE_INDENT
    this.#indent = MARK.test(bare) ? indent + width + 1 : indent
    const blanks = this.#takeBlanks()
    this.#advance(width)
    return blanks + word
  }

  /** What is closed in its line is code in a sentence. */
  #unlessClosed(text = ''): void {
    if (this.#fence !== undefined && text.includes(this.#fence.charAt(0))) this.#fence = undefined
  }

  #takeBlanks(): string {
    const blanks = this.#blanks
    this.#blanks = ''
    this.#column += textWidth(blanks)
    return blanks
  }

  /** Past the edge the terminal goes on in the next line. */
  #advance(width: number): void {
    const columns = this.#columns()
    this.#column += width
    if (this.#column > columns) this.#column %= columns
  }
}

function plain(word: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: styles begin with one
  return word.replace(/\u001b\[[\d;]*m/g, '')
}
