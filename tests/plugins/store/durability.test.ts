import { describe, expect, it } from 'vitest'
import type { OpenStore } from '../../../src/plugins/store/store.ts'
import { message, openStore, temporaryFile } from './harness.ts'

/** A disk whose syncs end when they are told to. */
function slowDisk(): { readonly sync: () => Promise<void>; readonly begun: () => number; end(error?: Error): void } {
  const waiting: { resolve(): void; reject(error: Error): void }[] = []
  let begun = 0
  return {
    sync: () => {
      begun++
      return new Promise((resolve, reject) => void waiting.push({ resolve, reject }))
    },
    begun: () => begun,
    end(error) {
      const oldest = waiting.shift()
      if (error) oldest?.reject(error)
      else oldest?.resolve()
    },
  }
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = (): void => {
    settled = true
  }
  promise.then(note, note)
  // A turn of the event loop, for whatever is on its way.
  await new Promise((resolve) => setTimeout(resolve, 20))
  return settled
}

async function storeOn(disk: ReturnType<typeof slowDisk>): Promise<{ readonly store: OpenStore; readonly file: string }> {
  const file = await temporaryFile()
  const store = await openStore({ file, syncFile: disk.sync })
  const created = store.createSession({ id: 's', title: '', time: 1 })
  await expect.poll(disk.begun).toBe(1)
  disk.end()
  await created
  return { store, file }
}

describe('a message', () => {
  it('that is committed is seen by others at once, and durable when the disk has it', async () => {
    const disk = slowDisk()
    const { store, file } = await storeOn(disk)
    const { message: stored, earlier, durable } = await store.commitMessage(message('s', 'hello'))
    expect(earlier).toBe(0)
    const other = await openStore({ file })
    expect((await other.messages('s')).map(({ id }) => id)).toEqual([stored.id])
    expect(await isSettled(durable)).toBe(false)
    disk.end()
    await durable
    expect(await other.commitMessage(message('s', 'again'))).toMatchObject({ earlier: 1 })
  })

  it('that is appended is stored when the disk has it', async () => {
    const disk = slowDisk()
    const { store } = await storeOn(disk)
    const appended = store.appendMessage(message('s', 'hello'))
    expect(await isSettled(appended)).toBe(false)
    expect(await store.countMessages('s')).toBe(1)
    disk.end()
    expect(await appended).toMatchObject({ sessionId: 's' })
  })

  it('shares a sync with all that were committed before it began, and with none that were later', async () => {
    const disk = slowDisk()
    const { store } = await storeOn(disk)
    const first = store.appendMessage(message('s', 'first'))
    expect(await isSettled(first)).toBe(false)
    const later = Promise.all(['a', 'b', 'c', 'd'].map((text) => store.appendMessage(message('s', text))))
    expect(await isSettled(later)).toBe(false)
    expect(disk.begun()).toBe(2)
    disk.end()
    await first
    // What that sync had written may lack them.
    expect(await isSettled(later)).toBe(false)
    expect(disk.begun()).toBe(3)
    disk.end()
    expect(await later).toHaveLength(4)
  })

  it.each([
    ['ENOSPC', 'MAI_STORE_FULL'],
    ['EIO', 'MAI_STORE_FAILED'],
  ])('that the disk does not take (%s) is an error, and the next one is tried anew', async (code, expected) => {
    const disk = slowDisk()
    const { store, file } = await storeOn(disk)
    const failing = store.appendMessage(message('s', 'hello'))
    await expect.poll(disk.begun).toBe(2)
    disk.end(Object.assign(new Error(`${code}: fdatasync`), { code, syscall: 'fdatasync' }))
    await expect(failing).rejects.toMatchObject({ code: expected, message: expect.stringContaining(file) })
    const next = store.appendMessage(message('s', 'again'))
    await expect.poll(disk.begun).toBe(3)
    disk.end()
    expect(await next).toMatchObject({ sessionId: 's' })
  })

  it('on its way to the disk is waited for when the store closes', async () => {
    const disk = slowDisk()
    const { store } = await storeOn(disk)
    const { durable } = await store.commitMessage(message('s', 'hello'))
    const closed = store.close()
    expect(await isSettled(closed)).toBe(false)
    disk.end()
    await durable
    await closed
  })

  it('of the person holds as an instruction from the next one on, although nobody looks at it before it is committed', async () => {
    const store = await openStore()
    await store.createSession({ id: 's', title: '', time: 1 })
    const { message: rule } = await store.commitMessage(message('s', 'Always answer in French.'))
    const { message: next } = await store.commitMessage(message('s', 'What is the capital of Peru?'))
    expect(await store.instructions('s', { before: next.seq, limit: 9 })).toMatchObject([{ id: rule.id }])
  })
})
