/**
 * Room on the disk that models are fetched to.
 *
 * @module
 */
import fs from 'node:fs/promises'
import { pullErrors } from './errors.ts'

/** Left free beside the model, in bytes: a full disk harms everything else. */
const SPARE_BYTES = 256 * 1024 * 1024

/** The disk under one folder. */
export interface Room {
  /** @throws MaiError `MAI_DISK_FULL` */
  check(bytes: number): Promise<void>
  /** Whether an error of the file system says that the disk is full. */
  isFull(error: unknown): boolean
  error(bytes: number): Promise<Error>
}

export function roomIn(folder: string): Room {
  const free = async (): Promise<number> => {
    const { bavail, bsize } = await fs.statfs(folder)
    return bavail * bsize
  }
  const error = async (bytes: number): Promise<Error> => pullErrors.diskFull(folder, bytes, await free())
  return {
    async check(bytes) {
      if ((await free()) < bytes + SPARE_BYTES) throw await error(bytes)
    },
    isFull: (cause) => cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT'),
    error,
  }
}
