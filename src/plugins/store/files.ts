/**
 * Creates the store's files so that only their owner can read them, from the first byte on.
 *
 * @module
 */
import fs from 'node:fs'
import path from 'node:path'

/**
 * Makes the folder (0700) and the database file (0600); tightens what exists. SQLite gives `-wal` and `-shm` the mode of the file.
 * @param ownFolder whether the folder is Mai's own, to be tightened too; a folder that a person named is left as it is
 */
export function prepareFiles(file: string, ownFolder: boolean): void {
  const folder = path.dirname(file)
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (ownFolder) tighten(folder, 0o700)
  try {
    // Exclusive: opening and closing a file that is in use would drop SQLite's locks on it.
    fs.closeSync(fs.openSync(file, 'wx', 0o600))
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
  for (const each of [file, `${file}-wal`, `${file}-shm`]) tighten(each, 0o600)
}

/** Takes rights from group and others. What another owns, or what is not there, is left. */
function tighten(target: string, mode: number): void {
  const stat = fs.statSync(target, { throwIfNoEntry: false })
  const sticky = 0o1000
  if (!stat || (stat.mode & 0o077) === 0 || (stat.mode & sticky) !== 0) return
  try {
    fs.chmodSync(target, mode)
  } catch (error) {
    // Gone since, somebody else's, or a file system without modes: nothing to tighten.
    if (!hasCode(error, 'ENOENT', 'EPERM', 'ENOTSUP')) throw error
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code)
}
