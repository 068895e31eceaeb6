/**
 * Markdown, styled while it streams. Append-only: what is out is never repainted, and no more than a partial
 * marker is held back, so a marker that opens and is not closed on its line is styled to the end of that line.
 *
 * @module
 */
import { attributes } from './colour.ts'

const BOLD = 1
const DIM = 2
const ITALIC = 3
const UNDERLINE = 4
const CYAN = 36

/** Text that means nothing by itself. */
const PLAIN = /[^*_`\\\n]+/y
const RUN = /\*+|_+|`+/y
/** Start of a line: heading, bullet, quote, rule, fence. */
const BLOCK = /(#{1,6}) |([-*+]) |(>)|(-{3,}|\*{3}(?=[\n* ])|_{3}(?=[\n_ ]))|(`{3,}|~{3,})(?=[^`~])/y
/** The same as far as it could still become one. */
const BLOCK_BEGUN = /^(?:#{1,6}|[-+]{1,2}|\*{1,3}|_{1,3}|`+|~+)$/
const SPACE = /\s/
const WORD = /[\p{L}\p{N}_]/u
const ASCII_WORD = /[A-Za-z0-9_]/
/** Behind an opening `*`: not these. */
const NEVER_OPENS = /[\s.,;:!?)\]}/*]/

interface Step {
  readonly out: string
  readonly length: number
}

/** Styles one answer. */
export class MarkdownStyler {
  #held = ''
  #lineStart = true
  /** The fence we are in. */
  #fence: string | undefined
  /** The rest of this line is literal: a rule, or what stands behind a fence. */
  #literal = false
  #heading = 0
  #bold = false
  #italic = false
  /** Backticks that opened inline code. */
  #code = 0
  #before = '\n'
  #shown = ''

  /** @returns what may be shown now */
  push(text: string): string {
    return this.#read(this.#held + text, false)
  }

  /** @returns what was held back, and the end of all styles */
  end(): string {
    const out = this.#read(this.#held, true)
    const reset = this.#shown === '' ? '' : attributes([])
    this.#shown = ''
    return out + reset
  }

  #read(input: string, final: boolean): string {
    let out = ''
    let at = 0
    while (at < input.length) {
      const step = this.#step(input, at, final)
      if (!step) break
      out += step.out
      if (step.length > 0) this.#before = input.charAt(at + step.length - 1)
      at += step.length
    }
    this.#held = input.slice(at)
    return out
  }

  /** The next piece; undefined when it takes more text to tell. */
  #step(input: string, at: number, final: boolean): Step | undefined {
    if (input.charAt(at) === '\n') return this.#newline()
    if (this.#lineStart) return this.#beginLine(input, at, final)
    if (this.#fence !== undefined || this.#literal) {
      const end = input.indexOf('\n', at)
      return this.#plain(input.slice(at, end < 0 ? input.length : end))
    }
    return this.#inline(input, at, final)
  }

  #newline(): Step {
    const reset = this.#shown === '' ? '' : attributes([])
    this.#shown = ''
    this.#lineStart = true
    this.#literal = false
    this.#heading = 0
    this.#bold = false
    this.#italic = false
    this.#code = 0
    return { out: `${reset}\n`, length: 1 }
  }

  #beginLine(input: string, at: number, final: boolean): Step | undefined {
    const indent = match(/[ \t]+/y, input, at)
    if (indent) return { out: indent, length: indent.length }
    if (this.#fence !== undefined) return this.#maybeFenceEnd(input, at, final)
    if (!final && BLOCK_BEGUN.test(input.slice(at, at + 80))) return undefined
    BLOCK.lastIndex = at
    const [whole = '', heading, bullet, quote, rule, fence] = BLOCK.exec(input) ?? []
    if (heading) return this.#block(whole, '', () => (this.#heading = heading.length))
    if (bullet) return this.#block(whole, '• ', () => {})
    if (rule || fence) {
      this.#lineStart = false
      this.#literal = true
      this.#fence = fence
      return this.#plain(whole)
    }
    if (quote) {
      // What is quoted may begin with a marker of its own: the line has still to begin.
      return { out: this.#styled([DIM], '│'), length: whole.length }
    }
    this.#lineStart = false
    return { out: '', length: 0 }
  }

  #block(whole: string, shown: string, enter: () => void): Step {
    this.#lineStart = false
    enter()
    return { out: shown, length: whole.length }
  }

  #maybeFenceEnd(input: string, at: number, final: boolean): Step | undefined {
    const fence = this.#fence ?? ''
    const run = match(fence.startsWith('~') ? /~+ */y : /`+ */y, input, at) ?? ''
    const next = input.charAt(at + run.length)
    // Text behind it decides whether this is the end.
    if (run !== '' && next === '' && !final) return undefined
    this.#lineStart = false
    if (run.trimEnd().length < fence.length || (next !== '' && next !== '\n')) return { out: '', length: 0 }
    this.#fence = undefined
    this.#literal = true
    return this.#plain(run)
  }

  #inline(input: string, at: number, final: boolean): Step | undefined {
    const plain = match(PLAIN, input, at)
    if (plain) return this.#plain(plain)
    if (input.charAt(at) === '\\') return this.#escape(input, at, final)
    const run = match(RUN, input, at) ?? ''
    const after = input.charAt(at + run.length)
    if (after === '' && !final) return undefined
    if (run.startsWith('`')) return this.#backticks(run)
    if (this.#code > 0) return this.#plain(run)
    return run.startsWith('*') ? this.#stars(run, after) : this.#underscores(run, after)
  }

  /** Only markers lose their backslash: formulas keep theirs. */
  #escape(input: string, at: number, final: boolean): Step | undefined {
    const next = input.charAt(at + 1)
    if (next === '' && !final) return undefined
    if (this.#code > 0 || !/[*_`#]/.test(next)) return this.#plain('\\')
    return { out: this.#plain(next).out, length: 2 }
  }

  #backticks(run: string): Step {
    if (this.#code === 0) this.#code = run.length
    else if (this.#code === run.length) this.#code = 0
    else return this.#plain(run)
    return { out: '', length: run.length }
  }

  #stars(run: string, after: string): Step {
    const closes = !SPACE.test(this.#before)
    const opens = after !== '' && !NEVER_OPENS.test(after) && !ASCII_WORD.test(this.#before)
    let left = run.length
    if (left > 3) return this.#plain(run)
    if (left >= 2 && (this.#bold ? closes : opens)) {
      this.#bold = !this.#bold
      left -= 2
    }
    if (left === 1 && (this.#italic ? closes : opens)) {
      this.#italic = !this.#italic
      left -= 1
    }
    return { out: left > 0 ? this.#plain('*'.repeat(left)).out : '', length: run.length }
  }

  /** Names are full of underscores, so these stay visible. */
  #underscores(run: string, after: string): Step {
    const opens = !WORD.test(this.#before) && WORD.test(after)
    const closes = !SPACE.test(this.#before) && !WORD.test(after)
    const toggle = (style: boolean): boolean => (style ? !closes : opens)
    const [bold, italic] = [this.#bold, this.#italic]
    if (run.length === 2) this.#bold = toggle(bold)
    else if (run.length === 1) this.#italic = toggle(italic)
    return this.#plain(run)
  }

  #plain(text: string): Step {
    return { out: this.#styled(this.#style(), text), length: text.length }
  }

  #style(): number[] {
    if (this.#literal) return [DIM]
    if (this.#fence !== undefined) return [CYAN]
    return [
      ...(this.#bold || this.#heading > 0 ? [BOLD] : []),
      ...(this.#italic ? [ITALIC] : []),
      ...(this.#heading === 1 ? [UNDERLINE] : []),
      ...(this.#code > 0 ? [CYAN] : []),
    ]
  }

  #styled(codes: readonly number[], text: string): string {
    const wanted = codes.length === 0 ? '' : attributes(codes)
    if (wanted === this.#shown) return text
    this.#shown = wanted
    return (wanted === '' ? attributes([]) : wanted) + text
  }
}

/** What a sticky pattern finds right at a place. */
function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}
