/**
 * The one door to mitt. Its types promise a default export that `module: nodenext` does not find,
 * so the import is given its true type here and nowhere else.
 *
 * @module
 */

import type { Emitter } from 'mitt'
import * as imported from 'mitt'

type Mitt = <Events extends Record<string | symbol, unknown>>() => Emitter<Events>

export const createEmitter: Mitt = (imported as unknown as { default: Mitt }).default
export type { Emitter }
