/**
 * JSON as Mai writes it: harmless on a terminal, and read by every parser.
 *
 * @module
 */

/** Half of a surrogate pair. */
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g
/** What a terminal acts on and JSON does not escape: DEL, C1, bidirectional controls, Unicode line breaks. */
const ACTIVE = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** One value, indented, with a line break at its end. What is no character of Unicode is replaced. */
export function jsonText(value: unknown): string {
  return `${escaped(JSON.stringify(value, (_, part: unknown) => (typeof part === 'string' ? part.replace(LONE, '\ufffd') : part), 2))}\n`
}

/** One value on one line. Halves of a surrogate pair stay, as escapes: joined with the next piece they make a character. */
export function jsonLine(value: unknown): string {
  return `${escaped(JSON.stringify(value))}\n`
}

/** It parses to the same value. */
function escaped(json: string): string {
  return json.replace(ACTIVE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
