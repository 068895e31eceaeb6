/**
 * The store's errors, and how SQLite's become them: full, busy, or failed with the reason.
 *
 * @module
 */
import fs from 'node:fs'
import path from 'node:path'
import { isMaiError, MaiError } from '../../core/errors.ts'

/** Errors of the store: one function each, so that wording and cure stand in one place. */
export const storeErrors = {
  full: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_STORE_FULL', `There is no room left to store the conversation in ${file}.`, {
      cure: 'Free some space on that disk, or set MAI_HOME to a folder on another one. What was stored before can still be read.',
      cause,
      details: { file },
    }),
  busy: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_STORE_BUSY', `Another program is holding the store ${file}.`, {
      cure: 'Try again; if it stays so, close other programs that have this file open.',
      cause,
      details: { file },
    }),
  corrupt: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The store ${file} is damaged or is not a database.`, {
      cure: 'Put back a copy, or move the file away (with its -wal and -shm files) and Mai begins a new one.',
      cause,
      details: { file },
    }),
  foreign: (file: string): MaiError =>
    new MaiError('MAI_STORE_FAILED', `${file} is a database of another program.`, {
      cure: 'Name another file in store({ file }).',
      details: { file },
    }),
  newer: (file: string, found: number, known: number): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The store ${file} was written by a newer Mai (schema ${found}; this one knows ${known}).`, {
      cure: 'Update Mai, or set MAI_HOME to another folder.',
      details: { file, found, known },
    }),
  unopenable: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The store ${file} cannot be opened: ${messageOf(cause)}.`, {
      cure: 'Check that its folder exists and that you may write there, or set MAI_HOME to another folder.',
      cause,
      details: { file },
    }),
  failed: (file: string, cause: unknown): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The store ${file} failed: ${messageOf(cause)}.`, {
      cure: 'See the log; if it stays so, check the disk.',
      cause,
      details: { file },
    }),
  binding: (cause: unknown): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The database engine could not be loaded: ${messageOf(cause)}.`, {
      cure: 'Install Mai again on this machine, with optional dependencies (npm install --include=optional).',
      cause,
    }),
  unbindable: (position: number, found: string): MaiError =>
    new MaiError('MAI_STORE_FAILED', `Value ${position} of a statement is ${found}, which the store cannot keep.`, {
      cure: 'Pass text, a finite number, a 64-bit bigint, null or a Buffer.',
      details: { position, found },
    }),
  wrongCount: (expected: number, found: number): MaiError =>
    new MaiError('MAI_STORE_FAILED', `A statement takes ${expected} values and got ${found}.`, { details: { expected, found } }),
  closed: (file: string): MaiError =>
    new MaiError('MAI_STORE_FAILED', `The store ${file} is closed.`, { cure: 'Make a new Mai.', details: { file } }),
}

/** SQLite's primary result codes, https://www.sqlite.org/rescode.html */
const RESULT = { busy: 5, locked: 6, readOnly: 8, ioError: 10, corrupt: 11, full: 13, cannotOpen: 14, protocol: 15, notADatabase: 26 }

/** A disk with less free than this, in bytes, is what an I/O error was about. */
const NO_ROOM_BYTES = 128 * 1024

/** Turns whatever the engine or the file system threw into an error of the store. */
export function toStoreError(error: unknown, file: string): MaiError {
  if (isMaiError(error)) return error
  switch (resultCode(error)) {
    case RESULT.full:
      return storeErrors.full(file, error)
    // "locking protocol": another process was switching the journal while we looked.
    case RESULT.busy:
    case RESULT.locked:
    case RESULT.protocol:
      return storeErrors.busy(file, error)
    case RESULT.corrupt:
    case RESULT.notADatabase:
      return storeErrors.corrupt(file, error)
    case RESULT.ioError:
      return hasRoom(file) ? storeErrors.failed(file, error) : storeErrors.full(file, error)
    case RESULT.cannotOpen:
      return hasRoom(file) ? storeErrors.unopenable(file, error) : storeErrors.full(file, error)
    case RESULT.readOnly:
      return storeErrors.unopenable(file, error)
  }
  const code = systemCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return storeErrors.full(file, error)
  return code === undefined || isOfSync(error) ? storeErrors.failed(file, error) : storeErrors.unopenable(file, error)
}

/** Whether this error is worth another try. */
export function isBusy(error: unknown): boolean {
  return isMaiError(error) && error.code === 'MAI_STORE_BUSY'
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('rawCode' in error && typeof error.rawCode === 'number') return error.rawCode & 0xff
  // A failed open carries its code only in its text.
  return /local database .*: 14"/s.test(error.message) ? RESULT.cannotOpen : undefined
}

function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z]+$/.test(error.code)
    ? error.code
    : undefined
}

/** The file is open, and could not be brought to the disk. */
function isOfSync(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'fdatasync'
}

/** True also where the file system does not say. */
function hasRoom(file: string): boolean {
  try {
    const { bavail, bsize, blocks } = fs.statfsSync(path.dirname(file))
    return blocks === 0 || bavail * bsize >= NO_ROOM_BYTES
  } catch {
    // The folder is gone or not readable: then room is not what is missing.
    return true
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
