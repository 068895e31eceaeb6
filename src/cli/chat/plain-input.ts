/**
 * Lines of a pipe, or of a terminal that may get no escape sequences and edits its lines itself.
 *
 * @module
 */
import { MaiError } from '../../core/errors.ts'
import type { ChatInput, Line } from './input.ts'

/** The lines of a stream, without their ends. @throws MaiError `MAI_MESSAGE_TOO_LARGE` for one that would not fit a message */
export async function* linesOf(input: AsyncIterable<Uint8Array | string>, maxBytes: number): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let begun: string[] = []
  let length = 0
  for await (const chunk of input) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })
    let at = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      yield cleaned(begun.join('') + text.slice(at, end))
      begun = []
      length = 0
      at = end + 1
    }
    begun.push(text.slice(at))
    length += text.length - at
    // A character has a byte at least.
    if (length > maxBytes) {
      throw new MaiError('MAI_MESSAGE_TOO_LARGE', `A line has more than the ${maxBytes} bytes that a message may have.`, {
        cure: 'Send less at once, or raise turn.maxMessageBytes in mai.config.ts.',
        details: { limit: maxBytes },
      })
    }
  }
  const last = begun.join('') + decoder.decode()
  if (last !== '') yield cleaned(last)
}

/** NUL bytes end a text in many places; a replacement character keeps the rest. */
const cleaned = (line: string): string => line.replace(/\r$/, '').replaceAll('\0', '\ufffd')

/** Reads lines as they come. */
export class PlainInput implements ChatInput {
  readonly interactive: boolean
  onInterrupt: (() => void) | undefined
  readonly #lines: AsyncGenerator<string>
  readonly #prompt: (text: string) => void
  /** A line that was asked for before an interrupt, and is still to come. */
  #next: Promise<IteratorResult<string>> | undefined
  #interrupted: (() => void) | undefined

  /** @param prompt shows the prompt to a person; undefined when nobody sits there */
  constructor(lines: AsyncGenerator<string>, prompt: ((text: string) => void) | undefined) {
    this.#lines = lines
    this.interactive = prompt !== undefined
    this.#prompt = prompt ?? (() => {})
  }

  async read(prompt: string): Promise<Line> {
    this.#prompt(prompt)
    this.#next ??= this.#lines.next()
    const interrupted = new Promise<undefined>((resolve) => {
      this.#interrupted = () => resolve(undefined)
    })
    const result = await Promise.race([this.#next, interrupted])
    this.#interrupted = undefined
    if (!result) return { kind: 'interrupt', typed: false }
    this.#next = undefined
    return result.done ? { kind: 'end' } : { kind: 'line', text: result.value }
  }

  interrupt(): void {
    if (this.#interrupted) this.#interrupted()
    else this.onInterrupt?.()
  }

  remember(): void {}

  close(): void {
    // A line that is still awaited never comes; standard input must not keep the program alive.
    this.#next?.catch(() => {})
    if (!this.#next) void this.#lines.return(undefined)
    process.stdin.destroy()
  }
}
