/**
 * Which declarations a user of the package can reach from its exports; the others would only make it larger.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

/** Declarations that name each other as JavaScript files beside them. @param entries those that package.json exports */
export function reachedDeclarations(entries: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>()
  const waiting = [...entries]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file) || !existsSync(file)) continue
    reached.add(file)
    for (const { fileName } of ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles) {
      if (fileName.startsWith('.')) waiting.push(path.resolve(path.dirname(file), fileName.replace(/\.js$/, '.d.ts')))
    }
  }
  return reached
}
