import { describe, expect, it } from 'vitest'
import { deferred, never, settled, startKernel } from './support.ts'

const echo = (input: string): string => input

describe('Hooks', () => {
  it('handlers change the value on its way in and out, in order, then in order of registration', async () => {
    const { ctx } = await startKernel([
      (p) => void p.hook('test.observed', async (input, next) => `${await next(`${input} late`)} out`, { order: 10 }),
      (p) => void p.hook('test.observed', (input, next) => next(`${input} one`)),
      (p) => void p.hook('test.observed', (input, next) => next(`${input} two`)),
      (p) => void p.hook('test.observed', (input, next) => next(`${input} early`), { order: -1 }),
    ])
    expect(await ctx.runHook('test.observed', 'in', echo)).toBe('in early one two late out')
  })

  it('a handler may answer by itself', async () => {
    const { ctx } = await startKernel([(p) => void p.hook('test.observed', () => 'mine')])
    expect(await ctx.runHook('test.observed', 'in', echo)).toBe('mine')
  })

  it('without handlers the last step answers', async () => {
    const { ctx } = await startKernel()
    expect(await ctx.runHook('test.gated', 'in', echo)).toBe('in')
  })

  it('a hook that nobody defined is an error that names it and who uses it', async () => {
    const { ctx } = await startKernel([], { hooks: {} })
    expect(() => ctx.hook('test.gated', (input, next) => next(input))).toThrow(/"mai" uses the hook "test.gated"/)
    await expect(ctx.runHook('test.gated', 'in', echo)).rejects.toMatchObject({ code: 'MAI_HOOK_UNKNOWN' })
  })

  it.each([
    [
      'throws',
      (): string => {
        throw new Error('no')
      },
    ],
    ['rejects', (): Promise<string> => Promise.reject(new Error('no'))],
  ])('an observer that %s is skipped and reported', async (_, handler) => {
    const { ctx, failures } = await startKernel([
      (p) => void p.hook('test.observed', handler),
      (p) => void p.hook('test.observed', (input, next) => next(`${input} two`)),
    ])
    expect(await ctx.runHook('test.observed', 'in', echo)).toBe('in two')
    expect(failures).toEqual([{ plugin: 'p1', during: 'hook test.observed', error: { code: 'Error', message: 'no' } }])
  })

  it('an observer that fails after next keeps what came back', async () => {
    const { ctx, failures } = await startKernel([
      (p) =>
        void p.hook('test.observed', async (input, next) => {
          await next(`${input} changed`)
          throw new Error('afterwards')
        }),
    ])
    let runs = 0
    const last = (input: string): string => `${input} ${++runs}`
    expect(await ctx.runHook('test.observed', 'in', last)).toBe('in changed 1')
    expect(failures).toHaveLength(1)
  })

  it.each([
    [
      'throws',
      (): string => {
        throw new Error('no')
      },
    ],
    ['rejects', (): Promise<string> => Promise.reject(new Error('no'))],
  ])('a gate that %s fails the hook, and names itself', async (_, handler) => {
    const { ctx } = await startKernel([(p) => void p.hook('test.gated', handler)])
    await expect(ctx.runHook('test.gated', 'in', echo)).rejects.toMatchObject({
      code: 'MAI_HOOK_FAILED',
      message: expect.stringContaining('"p1"'),
    })
  })

  it('an observer that is late is skipped and reported; calling next afterwards runs nothing again', async () => {
    const late = deferred()
    const called = deferred()
    let runs = 0
    const { ctx, failures } = await startKernel([
      (p) =>
        void p.hook('test.observed', async (input, next) => {
          await late.promise
          const value = await next(`${input} too late`)
          called.resolve()
          return value
        }),
    ])
    const last = (input: string): string => `${input} ${++runs}`
    expect(await ctx.runHook('test.observed', 'in', last)).toBe('in 1')
    expect(failures).toMatchObject([{ plugin: 'p1', error: { code: 'MAI_HOOK_TIMEOUT' } }])
    late.resolve()
    await called.promise
    expect(runs).toBe(1)
  })

  it('a gate that is late fails the hook; calling next afterwards does not open it', async () => {
    const late = deferred()
    let runs = 0
    const { ctx } = await startKernel([
      (p) =>
        void p.hook('test.gated', async (input, next) => {
          await late.promise
          return next(input)
        }),
    ])
    const run = ctx.runHook('test.gated', 'in', (input) => `${input} ${++runs}`)
    await expect(run).rejects.toMatchObject({ code: 'MAI_HOOK_TIMEOUT', details: { plugin: 'p1' } })
    late.resolve()
    await settled()
    expect(runs).toBe(0)
  })

  it('of nested handlers only the one that hangs is named', async () => {
    const { ctx, failures } = await startKernel([
      (p) => void p.hook('test.observed', async (input, next) => `${await next(input)} outer`),
      (p) => void p.hook('test.observed', () => never),
      (p) => void p.hook('test.observed', (input, next) => next(`${input} inner`)),
    ])
    expect(await ctx.runHook('test.observed', 'in', echo)).toBe('in inner outer')
    expect(failures).toMatchObject([{ plugin: 'p2', error: { code: 'MAI_HOOK_TIMEOUT' } }])
  })

  it('a gate that hangs is named also from within another', async () => {
    const { ctx } = await startKernel([
      (p) => void p.hook('test.gated', async (input, next) => `${await next(input)} outer`),
      (p) => void p.hook('test.gated', () => never),
    ])
    await expect(ctx.runHook('test.gated', 'in', echo)).rejects.toMatchObject({ code: 'MAI_HOOK_TIMEOUT', details: { plugin: 'p2' } })
  })

  it('the time of the last step is not counted against the handlers', async () => {
    const { ctx, failures } = await startKernel([(p) => void p.hook('test.gated', async (input, next) => `${await next(input)} out`)])
    const slow = (input: string): Promise<string> => new Promise((resolve) => setTimeout(resolve, 90, input))
    expect(await ctx.runHook('test.gated', 'in', slow)).toBe('in out')
    expect(failures).toEqual([])
  })

  it.each(['test.observed', 'test.gated'] as const)(
    'what the last step of %s throws reaches the caller, and is nobody else’s failure',
    async (name) => {
      let runs = 0
      const { ctx, failures } = await startKernel([(p) => void p.hook(name, (input, next) => next(input))])
      const last = (): never => {
        runs++
        throw new RangeError('mine')
      }
      await expect(ctx.runHook(name, 'in', last)).rejects.toThrow('mine')
      expect(runs).toBe(1)
      expect(failures).toEqual([])
    },
  )

  it('a handler may recover from a failure of the rest, even a slow one', async () => {
    const { ctx } = await startKernel([(p) => void p.hook('test.gated', (input, next) => next(input).catch(() => 'recovered'))])
    const last = (): Promise<string> => new Promise((_, reject) => setTimeout(reject, 90, new Error('slowly')))
    expect(await ctx.runHook('test.gated', 'in', last)).toBe('recovered')
  })

  it('a disposed handler takes part no more', async () => {
    const { ctx } = await startKernel()
    const stop = ctx.hook('test.observed', () => 'mine')
    stop()
    expect(await ctx.runHook('test.observed', 'in', echo)).toBe('in')
  })
})
