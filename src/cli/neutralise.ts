/**
 * Text that came from a model, a file or a server, made safe for a terminal.
 *
 * @module
 */

/** Control characters except tab and line feed, Unicode line breaks, bidirectional controls. Without its ESC a sequence is only text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Takes out what could move the cursor, change colours, or turn text around. Each character is judged alone, so chunks need no memory. */
export function neutralise(text: string): string {
  return text.replace(UNSAFE, '')
}

/** The same for a name or title that must stay on its line. */
export function neutraliseLine(text: string): string {
  return neutralise(text.replace(/\s+/g, ' '))
}
