/**
 * The version of this package.
 *
 * @module
 */
import { createRequire } from 'node:module'

// Found by name from any depth: src in the repository, dist in the package.
const require = createRequire(import.meta.url)

/** As in package.json. */
export const VERSION: string = String((require('mai/package.json') as { version: string }).version)
