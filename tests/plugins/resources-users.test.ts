import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { CHAT_HOOKS, CHAT_LISTS, CHAT_MAILBOXES } from '../../src/chat/events.ts'
import { createKernel } from '../../src/core/kernel.ts'
import { resources } from '../../src/plugins/resources/index.ts'
import { linuxMemoryUsers, parseProportional, parseResident, summed } from '../../src/plugins/resources/memory-users.ts'

// Recorded on Linux 6.18.
const ROLLUP = `55d3f9c7a000-7ffd3d5c9000 ---p 00000000 00:00 0                          [rollup]
Rss:               53560 kB
Pss:               41025 kB
Pss_Dirty:         12040 kB
Shared_Clean:      24876 kB
`
const STATUS = `Name:\tnode
VmHWM:\t   63712 kB
VmRSS:\t   53560 kB
RssAnon:\t   12040 kB
RssFile:\t   41520 kB
`

describe('the largest users of memory', () => {
  it('are counted by their share where it may be read, else by what is theirs alone', () => {
    expect(parseProportional(ROLLUP)).toBe(41_025 * 1024)
    expect(parseProportional('')).toBeUndefined()
    expect(parseResident(STATUS)).toBe(12_040 * 1024)
    expect(parseResident('VmRSS:\t  10 kB\n')).toBe(10_240)
    expect(parseResident('Name:\tkthreadd\n')).toBeUndefined()
  })

  it('are programs, not processes, and their names cannot write on a terminal', () => {
    const users = summed(
      [
        { name: 'browser', bytes: 10 },
        { name: 'evil\u001b[2J\u202e', bytes: 7 },
        { name: 'browser', bytes: 5 },
        { name: '\n', bytes: 99 },
      ],
      5,
    )
    expect(users).toEqual([
      { name: 'browser', bytes: 15 },
      { name: 'evil[2J', bytes: 7 },
    ])
  })

  it('are found among processes of a folder like /proc', async () => {
    const root = await fs.mkdtemp(path.join(os.tmpdir(), 'mai-users-'))
    for (const [id, comm, status] of [
      ['1', 'init', STATUS],
      ['22', 'model', STATUS.replace('12040', '90000')],
      ['3', 'kernel', 'Name:\tkernel\n'],
    ] as const) {
      await fs.mkdir(path.join(root, id))
      await fs.writeFile(path.join(root, id, 'comm'), `${comm}\n`)
      await fs.writeFile(path.join(root, id, 'status'), status)
    }
    expect((await linuxMemoryUsers(root, 1)).map(({ name }) => name)).toEqual(['model'])
    await fs.rm(root, { recursive: true })
  })

  it.skipIf(process.platform !== 'linux')('include this process on the real machine', async () => {
    const users = await linuxMemoryUsers('/proc', 1000)
    expect(users.some(({ bytes }) => bytes > 20e6)).toBe(true)
  })

  it('are named only with consent, and the error says how to give it', async () => {
    const ask = async (nameProcesses: boolean) => {
      const kernel = createKernel({
        plugins: [resources({ graphics: false, nameProcesses })],
        lists: CHAT_LISTS,
        hooks: CHAT_HOOKS,
        mailboxes: CHAT_MAILBOXES,
      })
      await kernel.start()
      try {
        return await kernel.context.use('resources').memoryUsers?.(3)
      } finally {
        await kernel.close()
      }
    }
    await expect(ask(false)).rejects.toMatchObject({ code: 'MAI_CONSENT_NEEDED', cure: expect.stringContaining('nameProcesses: true') })
    expect(await ask(true)).not.toEqual([])
  })
})
