import { describe, expect, it } from 'vitest'
import type { PluginContext } from '../../src/core/plugin.ts'
import { Scope } from '../../src/core/scope.ts'
import { never, newKernel, plugin, settled, startKernel } from './support.ts'

const CLOSED = { code: 'MAI_SCOPE_CLOSED' }

describe('Ownership', () => {
  it('what a plugin registered is undone in reverse order when the kernel closes', async () => {
    const undone: string[] = []
    const { kernel } = await startKernel([
      (p) => {
        p.onDispose(() => void undone.push('p1 first'))
        p.onDispose(async () => {
          await settled()
          undone.push('p1 second')
        })
      },
      (p) => p.onDispose(() => void undone.push('p2')),
    ])
    await kernel.close()
    expect(undone).toEqual(['p2', 'p1 second', 'p1 first'])
  })

  it('once: closing again, also at the same time, undoes nothing twice', async () => {
    let times = 0
    const { kernel } = await startKernel([(p) => p.onDispose(() => void times++)])
    await Promise.all([kernel.close(), kernel.close(), kernel[Symbol.asyncDispose]()])
    await kernel.close()
    expect(times).toBe(1)
  })

  it('within a time limit: a cleanup that hangs is reported and the others run', async () => {
    const undone: string[] = []
    const { kernel, failures } = await startKernel(
      [
        (p) => {
          p.onDispose(() => void undone.push('first'))
          p.onDispose(() => never, 'the stuck one')
          p.onDispose(() => void undone.push('third'))
        },
      ],
      { closeTimeoutMs: 20 },
    )
    await kernel.close()
    expect(undone).toEqual(['third', 'first'])
    expect(failures).toMatchObject([{ plugin: 'p1', during: 'closing the stuck one', error: { code: 'MAI_CLOSE_TIMEOUT' } }])
  })

  it('a cleanup that throws is reported and the others run', async () => {
    const undone: string[] = []
    const { kernel, failures } = await startKernel([
      (p) => {
        p.onDispose(() => void undone.push('first'))
        p.onDispose(() => {
          throw new Error('at the end')
        })
      },
    ])
    await kernel.close()
    expect(undone).toEqual(['first'])
    expect(failures).toMatchObject([{ plugin: 'p1', during: 'closing disposer', error: { message: 'at the end' } }])
  })

  it('after close every registration and every emit throws MAI_SCOPE_CLOSED and names the plugin', async () => {
    let inner: PluginContext | undefined
    const { kernel } = await startKernel([(p) => void (inner = p)])
    await kernel.close()
    const p = inner!
    const attempts: (() => unknown)[] = [
      () => p.emit('test.a', 1),
      () => p.on('test.a', () => {}),
      () => p.provide('test-slot-x', 'x'),
      () => p.contribute('test-list', 'x'),
      () => p.hook('test.observed', (input, next) => next(input)),
      () => p.task('late', async () => {}),
      () => p.onDispose(() => {}),
    ]
    for (const attempt of attempts)
      expect(attempt).toThrow(expect.objectContaining({ ...CLOSED, message: expect.stringContaining('"p1"') }))
    await expect(p.once('test.a')).rejects.toMatchObject(CLOSED)
  })

  it('a listener is not called after its disposer ran, even during the same dispatch', async () => {
    const heard: string[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', () => stopSecond())
    const stopSecond = ctx.on('test.a', () => void heard.push('second'))
    ctx.on('test.a', () => void heard.push('third'))
    ctx.emit('test.a', 1)
    expect(heard).toEqual(['third'])
  })

  it('a disposer ends its own registration only, and only once', async () => {
    const heard: string[] = []
    const { ctx } = await startKernel()
    const same = (): void => void heard.push('same')
    const stop = ctx.on('test.a', same)
    ctx.on('test.a', same)
    stop()
    stop()
    ctx.emit('test.a', 1)
    expect(heard).toEqual(['same'])
  })

  it('the signal of on ends the registration, and keeps nothing of it afterwards', async () => {
    const heard: number[] = []
    const { kernel, ctx } = newKernel({
      plugins: [plugin('p1', (p) => void p.on('test.a', (n) => void heard.push(n), { signal: end.signal }))],
    })
    const end = new AbortController()
    await kernel.start()
    ctx.emit('test.a', 1)
    end.abort()
    ctx.emit('test.a', 2)
    expect(heard).toEqual([1])
    expect(kernel.plugins()[0]?.effects).toEqual([])
  })

  it('a signal that is aborted already registers nothing', async () => {
    const { ctx } = await startKernel()
    ctx.on('test.a', () => {}, { signal: AbortSignal.abort() })
    expect(ctx.listening('test.a')).toBe(false)
  })

  it('registrations that ended leave nothing on a signal that lives on', async () => {
    const { ctx } = await startKernel()
    const end = new AbortController()
    const counted = { added: 0, removed: 0 }
    const { addEventListener, removeEventListener } = end.signal
    end.signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      counted.added++
      return addEventListener.apply(end.signal, args)
    }
    end.signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      counted.removed++
      return removeEventListener.apply(end.signal, args)
    }
    ctx.on('test.a', () => {}, { signal: end.signal })()
    const once = ctx.once('test.a', { signal: end.signal })
    ctx.emit('test.a', 1)
    await once
    expect(counted).toEqual({ added: 2, removed: 2 })
  })

  it('ctx.signal aborts with MAI_SCOPE_CLOSED before the cleanups run', async () => {
    const seen: boolean[] = []
    let signal: AbortSignal | undefined
    const { kernel } = await startKernel([
      (p) => {
        signal = p.signal
        p.onDispose(() => void seen.push(p.signal.aborted))
      },
    ])
    expect(signal?.aborted).toBe(false)
    await kernel.close()
    expect(seen).toEqual([true])
    expect(signal?.reason).toMatchObject(CLOSED)
  })

  it('effects are listed, oldest first', async () => {
    const { kernel } = await startKernel([
      (p) => {
        p.on('test.a', () => {})
        p.provide('test-slot-x', 'x')
        p.hook('test.observed', (input, next) => next(input))
        p.onDispose(() => {}, 'the file')
      },
    ])
    expect(kernel.plugins()).toMatchObject([
      { name: 'p1', slots: ['test-slot-x'], effects: ['listener of test.a', 'slot test-slot-x', 'hook test.observed', 'the file'] },
    ])
  })

  it('an effect that is undone early is not undone again at the end', async () => {
    const scope = new Scope('mine')
    let times = 0
    const undo = scope.own('it', () => void times++)
    undo()
    undo()
    await scope.close()
    expect(times).toBe(1)
  })
})

describe('once', () => {
  it('gives the next event and leaves nothing behind', async () => {
    const { kernel, ctx } = newKernel({ plugins: [plugin('p1', (p) => void (inner = p))] })
    let inner: PluginContext | undefined
    await kernel.start()
    const next = inner!.once('test.a')
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(await next).toBe(1)
    expect(kernel.plugins()[0]?.effects).toEqual([])
    expect(ctx.listening('test.a')).toBe(false)
  })

  it('rejects when the plugin closes', async () => {
    let inner: PluginContext | undefined
    const { kernel } = await startKernel([(p) => void (inner = p)])
    const rejected = expect(inner?.once('test.a')).rejects.toMatchObject(CLOSED)
    await kernel.close()
    await rejected
  })

  it('rejects with the reason of its signal', async () => {
    const { ctx } = await startKernel()
    const end = new AbortController()
    const next = ctx.once('test.a', { signal: end.signal })
    end.abort(new Error('enough'))
    await expect(next).rejects.toThrow('enough')
    await expect(ctx.once('test.a', { signal: end.signal })).rejects.toThrow('enough')
    expect(ctx.listening('test.a')).toBe(false)
  })
})
