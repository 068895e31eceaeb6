/**
 * "Did you mean": the names that are nearest to what a person typed.
 *
 * @module
 */
import { distance } from 'fastest-levenshtein'

/** Up to three of `names` that a person may have meant by `text`. */
export function nearest(text: string, names: readonly string[]): string[] {
  const wanted = text.toLowerCase()
  const tail = (name: string): string => name.slice(name.indexOf('/') + 1)
  const gap = (name: string): number => Math.min(distance(wanted, name.toLowerCase()), distance(wanted, tail(name).toLowerCase()))
  const containing = names.filter((name) => name.toLowerCase().includes(wanted))
  if (containing.length > 0) return containing.slice(0, 3)
  return [...names]
    .filter((name) => gap(name) <= Math.max(2, text.length * 0.6))
    .sort((a, b) => gap(a) - gap(b))
    .slice(0, 3)
}
