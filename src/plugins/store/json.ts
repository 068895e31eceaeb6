/**
 * JSON that loses nothing a record may hold: also infinite and missing numbers and minus zero.
 * (JSON itself escapes NUL and unpaired surrogates.)
 *
 * @module
 */

const KEY = '$number'

/** Text of a value. */
export function encode(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'number' && (!Number.isFinite(item) || Object.is(item, -0))
      ? { [KEY]: Object.is(item, -0) ? '-0' : String(item) }
      : item,
  )
}

/** The value of a text. Its type is the writer's promise. */
export function decode<T>(text: string): T {
  // Inside a string the quotes would be escaped, so this finds keys only.
  return text.includes(`{"${KEY}":`) ? JSON.parse(text, (_, item: unknown) => revived(item)) : JSON.parse(text)
}

function revived(item: unknown): unknown {
  if (typeof item !== 'object' || item === null || !(KEY in item) || typeof item[KEY] !== 'string') return item
  return Object.keys(item).length === 1 ? Number(item[KEY]) : item
}
