/**
 * JSON as Mai writes it.
 *
 * @module
 */

/** Half of a surrogate pair. */
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** One value, indented, with a line break at its end. What is no character of Unicode is replaced, so that every parser takes it. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, (_, part: unknown) => (typeof part === 'string' ? part.replace(LONE, '\ufffd') : part), 2)}\n`
}
