/**
 * The version of this package.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** As in package.json. */
export const VERSION: string = readVersion(path.dirname(fileURLToPath(import.meta.url)))

/** From src in the repository, dist in the package, or a bundle below either: the nearest package.json of this name. */
function readVersion(folder: string): string {
  const file = path.join(folder, 'package.json')
  const found: unknown = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
  if (typeof found === 'object' && found !== null && 'name' in found && found.name === 'mai' && 'version' in found)
    return String(found.version)
  return folder === path.dirname(folder) ? 'unknown' : readVersion(path.dirname(folder))
}
