/**
 * From lines to what a person means by them: a message, a command, or a block of several lines between `"""`.
 *
 * @module
 */

/** What a line amounts to. */
export type Entry =
  | { readonly kind: 'message'; readonly text: string }
  | { readonly kind: 'command'; readonly name: string; readonly argument: string }
  /** A block is open: more lines belong to it. */
  | { readonly kind: 'more' }
  | { readonly kind: 'nothing' }

const FENCE = '"""'
/** A path such as `/etc/hosts` is no command. */
const COMMAND = /^\/([a-z?]+)(?:[ \t]+([^\n]*))?$/i

/** Reads line after line. A line may itself have line breaks, when it was pasted. */
export class EntryReader {
  #block: string[] | undefined

  /** Inside a block. */
  get open(): boolean {
    return this.#block !== undefined
  }

  push(line: string): Entry {
    if (this.#block) return this.#continue(this.#block, line)
    const text = line.trim()
    if (text.startsWith(FENCE)) return this.#continue((this.#block = []), text.slice(FENCE.length))
    if (text === '') return { kind: 'nothing' }
    const [, name, argument = ''] = COMMAND.exec(text) ?? []
    return name === undefined ? { kind: 'message', text: line } : { kind: 'command', name: name.toLowerCase(), argument: argument.trim() }
  }

  /** The input has ended: an open block is a message too. */
  end(): Entry {
    return this.#block ? this.#close(this.#block) : { kind: 'nothing' }
  }

  /** Forgets an open block. */
  discard(): void {
    this.#block = undefined
  }

  #continue(block: string[], line: string): Entry {
    const ended = line.trimEnd().endsWith(FENCE)
    const text = ended ? line.trimEnd().slice(0, -FENCE.length) : line
    // The fences' own lines are no part of the message.
    if (text.trim() !== '' || (block.length > 0 && !ended)) block.push(text)
    return ended ? this.#close(block) : { kind: 'more' }
  }

  #close(block: readonly string[]): Entry {
    this.#block = undefined
    const text = block.join('\n')
    return text.trim() === '' ? { kind: 'nothing' } : { kind: 'message', text }
  }
}
