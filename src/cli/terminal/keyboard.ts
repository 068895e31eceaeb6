/**
 * Keys on their way to the line editor: one line at a time, pastes whole, and Ctrl-C also while nobody reads.
 *
 * @module
 */

/** Takes what the keyboard sends. */
export interface KeySink {
  /** Typed characters and key sequences. */
  keys(text: string): void
  /** A whole paste, with `\n` as its line breaks. */
  paste(text: string): void
  /** Ctrl-C while the keyboard was shut. */
  interrupt(): void
  /** Ctrl-Z while the keyboard was shut. */
  suspend(): void
}

const PASTE_BEGINS = '\u001b[200~'
const PASTE_ENDS = '\u001b[201~'
/** Alt-Enter. */
const META_RETURN = '\u001b\r'
const INTERRUPT = '\u0003'
const SUSPEND = '\u001a'
/** Pastes, the last one perhaps not ended. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a keyboard sends
const PASTES = /\u001b\[200~[\s\S]*?(?:\u001b\[201~|$)/g
/** What ends a run of plain keys. Ctrl-C, Ctrl-D and Ctrl-Z are passed on one by one: each may end the line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a keyboard sends
const SPECIAL = /[\r\n\u0003\u0004\u001a]|\u001b(?:\r|\[200~)/

/** Shut at first. Opened, it lets one line through and shuts again; what comes meanwhile waits, as a shell lets it. */
export class Keyboard {
  readonly #sink: KeySink
  #waiting = ''
  /** Pieces of a paste under way. */
  #paste: string[] | undefined
  #open = false

  constructor(sink: KeySink) {
    this.#sink = sink
  }

  push(text: string): void {
    let rest = text
    if (this.#paste) {
      this.#paste.push(text)
      // The end may be cut in two: the last pieces are looked at together.
      const tail = this.#paste.slice(-PASTE_ENDS.length).join('')
      if (!tail.includes(PASTE_ENDS)) return
      rest = PASTE_BEGINS + this.#paste.join('')
      this.#paste = undefined
    }
    this.#waiting += rest
    this.#pump()
  }

  /** Lets through what waits, up to the end of a line. */
  open(): void {
    this.#open = true
    this.#pump()
  }

  #pump(): void {
    if (!this.#open) this.#serveControls()
    while (this.#open && this.#waiting !== '') {
      const step = nextStep(this.#waiting)
      if (step.kind === 'wait') return
      if (step.kind === 'long-paste') {
        this.#paste = [this.#waiting.slice(PASTE_BEGINS.length)]
        this.#waiting = ''
        return
      }
      this.#waiting = this.#waiting.slice(step.length)
      if (step.kind === 'return') this.#open = false
      if (step.kind === 'paste') this.#sink.paste(step.text)
      else this.#sink.keys(step.text)
    }
  }

  /** Nobody reads: only the keys that are for the program itself count. */
  #serveControls(): void {
    const typed = this.#waiting.replaceAll(PASTES, (paste) => ' '.repeat(paste.length))
    const at = typed.lastIndexOf(INTERRUPT)
    if (at >= 0) {
      // As in a shell, what was typed before it is gone.
      this.#waiting = this.#waiting.slice(at + 1)
      this.#sink.interrupt()
    } else if (typed.includes(SUSPEND)) {
      this.#waiting = this.#waiting.replaceAll(SUSPEND, '')
      this.#sink.suspend()
    }
  }
}

type Step =
  | { readonly kind: 'keys' | 'return' | 'paste'; readonly text: string; readonly length: number }
  /** It takes more to tell. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'long-paste' }

/** What stands first: a paste, a line's end, or keys up to one of these. */
function nextStep(text: string): Step {
  if (text.startsWith(PASTE_BEGINS)) {
    const end = text.indexOf(PASTE_ENDS)
    if (end < 0) return { kind: 'long-paste' }
    const pasted = text.slice(PASTE_BEGINS.length, end).replace(/\r\n?/g, '\n')
    return { kind: 'paste', text: pasted, length: end + PASTE_ENDS.length }
  }
  if (text.startsWith(META_RETURN)) return { kind: 'paste', text: '\n', length: META_RETURN.length }
  if (/^[\r\n]/.test(text)) return { kind: 'return', text: '\r', length: text.startsWith('\r\n') ? 2 : 1 }
  const end = text.search(SPECIAL)
  if (end > 0) return { kind: 'keys', text: text.slice(0, end), length: end }
  if (end === 0) return { kind: 'keys', text: text.charAt(0), length: 1 }
  const length = text.length - heldBack(text)
  return length === 0 ? { kind: 'wait' } : { kind: 'keys', text: text.slice(0, length), length }
}

/** Characters at the end that may be the beginning of a paste. */
function heldBack(text: string): number {
  for (let length = Math.min(text.length, PASTE_BEGINS.length - 1); length > 0; length--) {
    if (PASTE_BEGINS.startsWith(text.slice(-length))) return length
  }
  return 0
}
