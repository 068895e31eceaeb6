/**
 * A file read forwards, little-endian, through a buffer of fixed size.
 *
 * @module
 */

import { constants, type Stats } from 'node:fs'
import fs, { type FileHandle } from 'node:fs/promises'
import { headerErrors } from './errors.ts'

/** Bytes read at once. */
const PIECE = 256 * 1024
/** Bytes of one header that are kept, all texts and numbers together: chat templates have some ten thousand. */
const MOST_KEPT = 32 * 1024 * 1024

/** Where {@link readGgufHeader} reads from. Each read that runs past the end throws `MAI_MODEL_FILE`. */
export class GgufSource {
  readonly file: string
  /** Bytes of the file. */
  readonly size: number
  readonly #handle: FileHandle
  readonly #buffer: Buffer = Buffer.allocUnsafe(PIECE)
  /** Of the buffer's first byte in the file. */
  #base = 0
  /** Valid bytes in the buffer. */
  #length = 0
  /** Next byte in the buffer; beyond its length after a skip. */
  #at = 0
  #kept = 0

  private constructor(file: string, handle: FileHandle, size: number) {
    this.file = file
    this.#handle = handle
    this.size = size
  }

  /** @throws MaiError `MAI_MODEL_FILE`, `MAI_MODEL_FILE_UNREADABLE` */
  static async open(file: string): Promise<GgufSource> {
    try {
      // Asked first, and opened without waiting: the other end of a pipe may never come.
      const before = await fs.stat(file)
      if (!before.isFile()) throw headerErrors.notAFile(file, kindOf(before))
      const handle = await fs.open(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
      try {
        const stats = await handle.stat()
        if (!stats.isFile()) throw headerErrors.notAFile(file, kindOf(stats))
        return new GgufSource(file, handle, stats.size)
      } catch (error) {
        await handle.close()
        throw error
      }
    } catch (error) {
      if (error instanceof Error && 'problem' in error) throw error
      throw headerErrors.unreadable(file, error)
    }
  }

  /** Bytes read and skipped so far. */
  get position(): number {
    return this.#base + this.#at
  }

  close(): Promise<void> {
    return this.#handle.close()
  }

  /** Bytes that can be taken without waiting. */
  get ready(): number {
    return this.#length - this.#at
  }

  /** Makes at least `bytes`, at most {@link PIECE}, ready. */
  async need(bytes: number): Promise<void> {
    if (this.ready >= bytes) return
    const position = this.position
    if (position + bytes > this.size) throw headerErrors.truncated(this.file)
    const left = Math.max(0, this.ready)
    if (left > 0) this.#buffer.copyWithin(0, this.#at, this.#length)
    this.#base = position
    this.#at = 0
    this.#length = left
    while (this.#length < bytes) {
      const { bytesRead } = await this.#handle.read(this.#buffer, this.#length, PIECE - this.#length, position + this.#length)
      // It was longer a moment ago.
      if (bytesRead === 0) throw headerErrors.truncated(this.file)
      this.#length += bytesRead
    }
  }

  async u32(): Promise<number> {
    if (this.ready < 4) await this.need(4)
    return this.takeU32()
  }

  /** A 64-bit number that must not be above a limit. @param what it counts, for the error */
  async count(what: string, most: number): Promise<number> {
    if (this.ready < 8) await this.need(8)
    const value = this.takeU64()
    if (value > most) throw headerErrors.damaged(this.file, `${value} ${what}`)
    return value
  }

  /** A text of a limited length. */
  async text(mostBytes: number): Promise<string> {
    const length = await this.count('bytes in a name', mostBytes)
    return this.utf8(length)
  }

  /** Each value that is kept is counted here: many small ones fill a memory as well as a large one. */
  keep(bytes: number): void {
    this.#kept += bytes
    if (this.#kept > MOST_KEPT) throw headerErrors.damaged(this.file, `more than ${MOST_KEPT / 2 ** 20} MiB of texts and numbers`)
  }

  /** So many bytes as text; at most what the caller has checked. */
  async utf8(bytes: number): Promise<string> {
    this.keep(bytes)
    const parts: Buffer[] = []
    for (let left = bytes; left > 0; ) {
      const piece = Math.min(left, PIECE)
      await this.need(piece)
      parts.push(Buffer.from(this.#buffer.subarray(this.#at, this.#at + piece)))
      this.#at += piece
      left -= piece
    }
    return Buffer.concat(parts).toString('utf8')
  }

  /** Passes over bytes without reading them. */
  skip(bytes: number): void {
    if (this.position + bytes > this.size) throw headerErrors.truncated(this.file)
    this.#at += bytes
  }

  // What follows takes what `need` has made ready.

  takeU32(): number {
    const value = this.#buffer.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** Beyond 2^53 it is not exact, and far beyond any limit. */
  takeU64(): number {
    const low = this.#buffer.readUInt32LE(this.#at)
    const high = this.#buffer.readUInt32LE(this.#at + 4)
    this.#at += 8
    return high * 2 ** 32 + low
  }

  takeI64(): number {
    const value = Number(this.#buffer.readBigInt64LE(this.#at))
    this.#at += 8
    return value
  }

  takeNumber(
    read: 'readUInt8' | 'readInt8' | 'readUInt16LE' | 'readInt16LE' | 'readInt32LE' | 'readFloatLE' | 'readDoubleLE',
    bytes: number,
  ): number {
    const value = this.#buffer[read](this.#at)
    this.#at += bytes
    return value
  }

  /**
   * Passes over texts, as many of them as are ready, and counts byte tokens such as `<0x0A>`.
   * @returns how many it passed; when none, {@link need} 14 bytes or what is left of the file
   */
  takeTexts(most: number, onByteToken: () => void): number {
    const buffer = this.#buffer
    const end = this.#length - 14
    let at = this.#at
    let taken = 0
    for (; taken < most && at <= end; taken++) {
      // By hand: this is what most of a header's time goes into.
      const low = (buffer[at] ?? 0) + (buffer[at + 1] ?? 0) * 0x100 + (buffer[at + 2] ?? 0) * 0x1_0000 + (buffer[at + 3] ?? 0) * 0x100_0000
      const high = (buffer[at + 4] ?? 0) | (buffer[at + 5] ?? 0) | (buffer[at + 6] ?? 0) | (buffer[at + 7] ?? 0)
      const bytes = high === 0 ? low : low + buffer.readUInt32LE(at + 4) * 2 ** 32
      if (bytes === 6 && buffer[at + 8] === 0x3c && buffer[at + 9] === 0x30 && buffer[at + 10] === 0x78 && buffer[at + 13] === 0x3e)
        onByteToken()
      at += 8 + bytes
    }
    this.#at = at
    if (this.position > this.size) throw headerErrors.truncated(this.file)
    return taken
  }
}

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO()) return 'a named pipe'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}
