/**
 * The prompt of a terminal: Node's line editor with history, bracketed paste, and type-ahead while an answer comes.
 *
 * @module
 */
import { createInterface, type Interface } from 'node:readline'
import { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import type { ReadStream, WriteStream } from 'node:tty'
import { Keyboard } from '../terminal/keyboard.ts'
import { FoldedTexts } from './folded.ts'
import type { ChatInput, Line } from './input.ts'

/** The terminal marks pastes only while this is on, so that other programs are not surprised. */
const PASTE_MARKS = { on: '\u001b[?2004h', off: '\u001b[?2004l' }

/** What the editor works with. */
export interface PromptParts {
  readonly stdin: ReadStream
  readonly stdout: WriteStream
  /** Newest first. */
  readonly history: readonly string[]
  /** Words that Tab completes. */
  readonly completions: readonly string[]
  /** Keeps an entry across runs. */
  readonly remember: (entry: string) => void
}

/** Reads lines with an editor. */
export class PromptInput implements ChatInput {
  readonly interactive = true
  onInterrupt: (() => void) | undefined
  readonly #parts: PromptParts
  readonly #editor: Interface
  readonly #keyboard: Keyboard
  readonly #folded = new FoldedTexts()
  readonly #history: string[]
  /** The editor's own list. */
  #live: string[] = []
  readonly #decoder = new StringDecoder('utf8')
  #reading: ((line: Line) => void) | undefined
  #closed = false

  constructor(parts: PromptParts) {
    this.#parts = parts
    this.#history = parts.history.map((entry) => this.#folded.fold(entry))
    // The editor hears what is emitted here by hand, at once: a line never comes before its keys.
    const keys = Object.assign(new Readable({ read() {} }), { setRawMode: (mode: boolean) => this.#setRawMode(mode) })
    this.#keyboard = new Keyboard({
      keys: (text) => {
        // One by one: several at once Node's editor appends to the line wherever the cursor stands, and miscounts rows.
        for (const character of text) if (!this.#closed) keys.emit('data', Buffer.from(character))
      },
      paste: (text) => this.#insert(text),
      interrupt: () => this.onInterrupt?.(),
      suspend: () => this.#suspend(),
    })
    this.#editor = createInterface({
      input: keys,
      output: parts.stdout,
      terminal: true,
      history: [...this.#history],
      historySize: 1000,
      completer: (line: string) => [parts.completions.filter((word) => line !== '' && word.startsWith(line)), line],
    })
    // What counts is a whole entry, not each of its lines: see remember().
    this.#editor.on('history', (history) => {
      this.#live = history
      this.#refreshHistory()
    })
    this.#editor.on('line', (text) => this.#settle({ kind: 'line', text: this.#folded.unfold(text) }))
    this.#editor.on('SIGINT', () => this.#takeBack())
    this.#editor.on('close', () => this.close())
    // Whoever read before us may have paused it.
    parts.stdin.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onEnd).resume()
    process.on('exit', this.#onExit)
  }

  read(prompt: string): Promise<Line> {
    if (this.#closed) return Promise.resolve({ kind: 'end' })
    return new Promise((resolve) => {
      this.#reading = resolve
      this.#editor.setPrompt(prompt)
      this.#editor.prompt()
      this.#keyboard.open()
    })
  }

  interrupt(): void {
    if (this.#reading) this.#takeBack()
    else this.onInterrupt?.()
  }

  remember(entry: string): void {
    const shown = this.#folded.fold(entry)
    if (shown !== this.#history[0]) this.#history.unshift(shown)
    this.#refreshHistory()
    this.#parts.remember(entry)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    const { stdin } = this.#parts
    stdin.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onEnd)
    process.off('exit', this.#onExit)
    this.#editor.close()
    this.#setRawMode(false)
    stdin.pause()
    this.#settle({ kind: 'end' })
  }

  readonly #onData = (data: Buffer): void => this.#keyboard.push(this.#decoder.write(data))
  readonly #onEnd = (): void => this.close()
  /** Node itself ends raw mode. */
  readonly #onExit = (): void => void this.#parts.stdout.write(`${PASTE_MARKS.off}\n`)

  #settle(line: Line): void {
    const reading = this.#reading
    this.#reading = undefined
    reading?.(line)
  }

  #refreshHistory(): void {
    this.#live.splice(0, this.#live.length, ...this.#history)
  }

  /** Ctrl-C at the prompt: what was typed is gone. */
  #takeBack(): void {
    const typed = this.#editor.line !== ''
    this.#editor.write(null, { ctrl: true, name: 'e' })
    this.#editor.write(null, { ctrl: true, name: 'u' })
    this.#settle({ kind: 'interrupt', typed })
  }

  /** As the editor inserts a key, for a whole text at once. */
  #insert(pasted: string): void {
    const { line, cursor } = this.#editor
    const text = pasted === '\n' ? pasted : this.#folded.fold(pasted.replace(/\n$/, ''))
    Object.assign(this.#editor, { line: line.slice(0, cursor) + text + line.slice(cursor), cursor: cursor + text.length })
    this.#editor.prompt(true)
  }

  /** Ctrl-Z during an answer; at the prompt the editor does it. */
  #suspend(): void {
    if (process.platform === 'win32') return
    this.#setRawMode(false)
    process.once('SIGCONT', () => this.#setRawMode(true))
    process.kill(process.pid, 'SIGTSTP')
  }

  #setRawMode(mode: boolean): void {
    const { stdin, stdout } = this.#parts
    if (stdin.destroyed) return
    stdin.setRawMode(mode)
    stdout.write(mode ? PASTE_MARKS.on : PASTE_MARKS.off)
  }
}
