import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { isMaiError } from '../../src/core/errors.ts'
import { createKernel } from '../../src/core/kernel.ts'
import { isPlugin } from '../../src/core/plugin.ts'
import { deferred, never, newKernel, plugin, settled, startKernel } from './support.ts'

describe('Start', () => {
  it('says kernel.ready once everything is set up', async () => {
    const heard: unknown[] = []
    const { kernel, ctx } = newKernel({ plugins: [plugin('one', () => settled()), plugin('two', () => {})] })
    ctx.on('kernel.ready', ({ plugins, bootMs }) => void heard.push(plugins, bootMs >= 0))
    await kernel.start()
    expect(heard).toEqual([['one', 'two'], true])
  })

  it('runs once: a second start, and a start after close, are errors', async () => {
    const { kernel } = await startKernel()
    await expect(kernel.start()).rejects.toMatchObject({ code: 'MAI_KERNEL_STATE' })
    await kernel.close()
    await expect(kernel.start()).rejects.toMatchObject({ code: 'MAI_KERNEL_STATE' })
  })

  it('is ended by a close meanwhile, and leaves nothing open', async () => {
    const inSetup = deferred()
    const goOn = deferred()
    const done: string[] = []
    const { kernel } = newKernel({
      plugins: [
        plugin('one', async (p) => {
          p.onDispose(() => void done.push('one undone'))
          inSetup.resolve()
          await goOn.promise
        }),
        plugin('two', () => void done.push('two set up')),
      ],
    })
    const started = expect(kernel.start()).rejects.toMatchObject({ code: 'MAI_KERNEL_STATE' })
    await inSetup.promise
    await kernel.close()
    goOn.resolve()
    await started
    expect(done).toEqual(['one undone'])
  })
})

describe('Tasks', () => {
  it('start after every plugin is set up', async () => {
    const done: string[] = []
    await startKernel([
      (p) => {
        p.task('work', async () => void done.push('task of p1'))
        done.push('p1')
      },
      () => void done.push('p2'),
    ])
    expect(done).toEqual(['p1', 'p2', 'task of p1'])
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('no network')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no network'))],
  ] as [string, () => Promise<void>][])('one that %s is reported and does not undo the boot', async (_, work) => {
    const { ctx, kernel, failures } = await startKernel([
      (p) => {
        p.provide('test-slot-x', 'still here')
        p.task('connect', work)
      },
    ])
    await settled()
    expect(failures).toEqual([{ plugin: 'p1', during: 'task connect', error: { code: 'Error', message: 'no network' } }])
    expect(ctx.use('test-slot-x')).toBe('still here')
    expect(kernel.plugins()).toHaveLength(1)
  })

  it('one that is started later begins at once, and leaves nothing behind when it ends', async () => {
    const gate = deferred()
    let began = false
    const { kernel } = await startKernel([
      (p) =>
        void p.on('test.a', () =>
          p.task('work', async () => {
            began = true
            await gate.promise
          }),
        ),
    ])
    kernel.context.emit('test.a', 1)
    expect(began).toBe(true)
    expect(kernel.plugins()[0]?.effects).toContain('task work')
    gate.resolve()
    await settled()
    expect(kernel.plugins()[0]?.effects).toEqual(['listener of test.a'])
  })

  it('one is aborted by close, and close waits for its end', async () => {
    let ended = false
    const { kernel, failures } = await startKernel([
      (p) =>
        p.task('work', async (signal) => {
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          await settled()
          ended = true
          throw signal.reason
        }),
    ])
    await kernel.close()
    expect(ended).toBe(true)
    expect(failures).toEqual([])
  })

  it('one never begins when the boot fails', async () => {
    let began = false
    const { kernel } = newKernel({
      plugins: [
        plugin('one', (p) => p.task('work', async () => void (began = true))),
        plugin('two', () => {
          throw new Error('no')
        }),
      ],
    })
    await expect(kernel.start()).rejects.toThrow('no')
    expect(began).toBe(false)
  })
})

describe('Close', () => {
  it('says kernel.closing while plugins can still act', async () => {
    const heard: string[] = []
    const { kernel, ctx } = await startKernel([
      (p) => void p.on('kernel.closing', () => p.emit('test.a', 1)),
      (p) => void p.on('test.a', () => void heard.push('heard')),
    ])
    expect(ctx.listening('kernel.closing')).toBe(true)
    await kernel.close()
    expect(heard).toEqual(['heard'])
  })

  it('never hangs: tasks and cleanups that never end are left behind and reported', async () => {
    const { kernel, failures, lost } = await startKernel(
      [(p) => p.task('deaf', () => never), (p) => p.onDispose(() => never, 'stuck'), (p) => p.onDispose(() => {})],
      { closeTimeoutMs: 10 },
    )
    await kernel.close()
    expect([...failures, ...lost]).toMatchObject([
      { plugin: 'p2', during: 'closing stuck', error: { code: 'MAI_CLOSE_TIMEOUT' } },
      { plugin: 'p1', during: 'closing task deaf', error: { code: 'MAI_CLOSE_TIMEOUT' } },
    ])
  })

  it('of the host itself reports to the last resort, as nobody is left', async () => {
    const { kernel, ctx, lost } = await startKernel()
    ctx.onDispose(() => Promise.reject(new Error('last')), 'the host’s own')
    await kernel.close()
    expect(lost).toMatchObject([{ plugin: 'mai', during: 'closing the host’s own' }])
  })

  it('may be asked for from inside a listener', async () => {
    const heard: string[] = []
    const { kernel, ctx } = await startKernel([(p) => p.onDispose(() => void heard.push('undone'))])
    ctx.on('test.a', async () => {
      heard.push('asked')
      await kernel.close()
      heard.push('closed')
    })
    const closed = ctx.once('kernel.closing')
    ctx.emit('test.a', 1)
    await closed
    await kernel.close()
    await settled()
    expect(heard).toEqual(['asked', 'undone', 'closed'])
  })

  it('comes with await using', async () => {
    let undone = false
    {
      await using kernel = createKernel({ plugins: [plugin('one', (p) => p.onDispose(() => void (undone = true)))] })
      await kernel.start()
    }
    expect(undone).toBe(true)
  })

  it('of a kernel that never started is fine', async () => {
    await expect(createKernel({ plugins: [] }).close()).resolves.toBeUndefined()
  })
})

describe('Slots', () => {
  it('use throws when nobody answers, tryUse does not', async () => {
    const { ctx } = await startKernel()
    expect(() => ctx.use('test-slot-x')).toThrow(expect.objectContaining({ code: 'MAI_SLOT_MISSING' }))
    expect(ctx.tryUse('test-slot-x')).toBeUndefined()
  })

  it('a slot given up can be answered by another', async () => {
    const { ctx } = await startKernel()
    const giveUp = ctx.provide('test-slot-x', 'old')
    expect(() => ctx.provide('test-slot-x', 'new')).toThrow(expect.objectContaining({ code: 'MAI_SLOT_TAKEN' }))
    giveUp()
    ctx.provide('test-slot-x', 'new')
    giveUp()
    expect(ctx.use('test-slot-x')).toBe('new')
  })
})

describe('Two copies of the package', () => {
  it('work together: plugins and errors are recognised by brand', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'mai-copy-'))
    try {
      for (const file of ['plugin.ts', 'errors.ts'])
        await copyFile(new URL(`../../src/core/${file}`, import.meta.url), path.join(folder, file))
      const load = (file: string): Promise<unknown> => import(/* @vite-ignore */ pathToFileURL(path.join(folder, file)).href)
      const copy = (await load('plugin.ts')) as typeof import('../../src/core/plugin.ts')
      const errors = (await load('errors.ts')) as typeof import('../../src/core/errors.ts')
      expect(copy.isPlugin).not.toBe(isPlugin)
      const foreign = copy.definePlugin({
        name: 'foreign',
        apiVersion: 1,
        setup() {
          throw new errors.MaiError('MAI_FOREIGN', 'From the other copy.')
        },
      })
      expect(isPlugin(foreign())).toBe(true)
      const { kernel } = newKernel({ plugins: [foreign()] })
      const error = await kernel.start().catch((thrown: unknown) => thrown)
      expect(isMaiError(error)).toBe(true)
      expect(error).toMatchObject({ code: 'MAI_FOREIGN' })
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
