/**
 * What is kept of each model is kept in groups, so that a record changes a few entries and not all of them.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'

const GROUPS = 32

/** By the letters that tell names apart most. */
export function groupOf(model: ModelKey): number {
  let hash = model.length
  for (let at = model.length - 1; at >= 0; at -= 3) hash = (hash * 31 + model.charCodeAt(at)) % 65_536
  return hash % GROUPS
}
