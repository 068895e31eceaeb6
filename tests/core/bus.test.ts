import { describe, expect, it } from 'vitest'
import { MAX_HOPS, QUEUE_BOUND } from '../../src/core/bus.ts'
import { createKernel } from '../../src/core/kernel.ts'
import { MAILBOX_BOUND } from '../../src/core/mailbox.ts'
import { deferred, newKernel, settled, startKernel } from './support.ts'

describe('Order', () => {
  it('listeners run in the order of their registration, whoever owns them', async () => {
    const heard: string[] = []
    const { ctx } = await startKernel([
      (p) => void p.on('test.a', () => void heard.push('first')),
      (p) => void p.on('test.a', () => void heard.push('second')),
    ])
    ctx.on('test.a', () => void heard.push('third'))
    ctx.emit('test.a', 1)
    expect(heard).toEqual(['first', 'second', 'third'])
  })

  it('an emit inside a listener waits until the outer event has reached everybody', async () => {
    const heard: string[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', () => {
      ctx.emit('test.b', 1)
      heard.push('a first')
    })
    ctx.on('test.a', () => void heard.push('a second'))
    ctx.on('test.b', () => void heard.push('b'))
    ctx.emit('test.a', 1)
    expect(heard).toEqual(['a first', 'a second', 'b'])
  })

  it('queued events are delivered first in, first out, before the outer emit returns', async () => {
    const heard: string[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', () => {
      ctx.emit('test.b', 1)
      ctx.emit('test.c', 2)
      ctx.emit('test.b', 3)
    })
    ctx.on('test.b', (n) => {
      heard.push(`b${n}`)
      if (n === 1) ctx.emit('test.c', 4)
    })
    ctx.on('test.c', (n) => void heard.push(`c${n}`))
    ctx.emit('test.a', 0)
    expect(heard).toEqual(['b1', 'c2', 'b3', 'c4'])
  })

  it('meta carries the type, a growing seq, the cause and the length of the chain', async () => {
    const metas: unknown[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', (_, { type, seq, cause, hops }) => {
      metas.push({ type, seq, cause, hops })
      ctx.emit('test.b', 1)
    })
    ctx.on('test.b', (_, { type, seq, cause, hops }) => void metas.push({ type, seq, cause, hops }))
    ctx.emit('test.a', 1)
    const first = (metas[0] as { seq: number }).seq
    expect(metas).toEqual([
      { type: 'test.a', seq: first, cause: 0, hops: 0 },
      { type: 'test.b', seq: first + 1, cause: first, hops: 1 },
    ])
  })

  it('a listener that is added during a dispatch hears from the next event on', async () => {
    const heard: number[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', (n) => {
      if (n === 1) ctx.on('test.a', (m) => void heard.push(m))
    })
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(heard).toEqual([2])
  })

  it('listening says whether anybody listens', async () => {
    const { ctx } = await startKernel()
    expect(ctx.listening('test.a')).toBe(false)
    const stop = ctx.on('test.a', () => {})
    expect(ctx.listening('test.a')).toBe(true)
    stop()
    expect(ctx.listening('test.a')).toBe(false)
  })
})

describe('Isolation', () => {
  it('a listener that throws reaches neither the emitter nor other listeners, and is reported with plugin, event and cause', async () => {
    const heard: number[] = []
    const { ctx, failures } = await startKernel([
      (p) =>
        void p.on('test.a', () => {
          throw new RangeError('too far')
        }),
    ])
    ctx.on('test.a', (n) => void heard.push(n))
    ctx.emit('test.a', 1)
    expect(heard).toEqual([1])
    expect(failures).toEqual([{ plugin: 'p1', during: 'listener of test.a', error: { code: 'RangeError', message: 'too far' } }])
  })

  it('a listener that rejects is reported in the same way', async () => {
    const { ctx, failures } = await startKernel([
      (p) =>
        void p.on('test.a', async () => {
          await settled()
          throw new RangeError('too far')
        }),
    ])
    const failed = ctx.once('plugin.failed')
    ctx.emit('test.a', 1)
    await failed
    expect(failures).toEqual([{ plugin: 'p1', during: 'listener of test.a', error: { code: 'RangeError', message: 'too far' } }])
  })

  it('a listener of plugin.failed that throws goes to the last resort, and dispatch goes on', async () => {
    const { ctx, failures, lost } = await startKernel()
    const broken = new Error('the sink is broken')
    ctx.on('plugin.failed', () => {
      throw broken
    })
    ctx.on('test.a', () => {
      throw new Error('first')
    })
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(failures).toHaveLength(2)
    expect(lost).toEqual([
      { plugin: 'mai', during: 'listener of plugin.failed', error: broken },
      { plugin: 'mai', during: 'listener of plugin.failed', error: broken },
    ])
  })

  it('a last resort that throws breaks nothing either', async () => {
    const heard: number[] = []
    const { ctx } = await startKernel([], {
      onLost() {
        throw new Error('nothing works today')
      },
    })
    ctx.on('plugin.failed', () => {
      throw new Error('the sink is broken')
    })
    ctx.on('test.a', (n) => {
      if (n === 1) throw new Error('first')
      heard.push(n)
    })
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(heard).toEqual([2])
  })

  it('a failure that nobody listens for goes to the last resort', async () => {
    const lost: unknown[] = []
    const quiet = createKernel({ plugins: [], onLost: (plugin, during) => lost.push([plugin, during]) })
    quiet.context.on('test.a', () => {
      throw new Error('heard by nobody')
    })
    quiet.context.emit('test.a', 1)
    expect(lost).toEqual([['mai', 'listener of test.a']])
    await quiet.close()
  })

  it.each([
    ['an object without a prototype', Object.create(null)],
    ['undefined', undefined],
    ['a symbol', Symbol('odd')],
    [
      'an error whose message throws',
      Object.defineProperty(new Error(), 'message', {
        get: () => {
          throw new Error('no')
        },
      }),
    ],
  ])('a listener may throw %s', async (_, thrown) => {
    const heard: number[] = []
    const { ctx, failures } = await startKernel()
    ctx.on('test.a', () => {
      throw thrown
    })
    ctx.on('test.a', (n) => void heard.push(n))
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(heard).toEqual([1, 2])
    expect(failures).toHaveLength(2)
  })

  it('a listener may return a promise that cannot be read', async () => {
    const { ctx, failures } = await startKernel()
    const odd = new Proxy({}, { has: () => true, get: () => fail() })
    const fail = (): never => {
      throw new Error('not to be read')
    }
    let calls = 0
    ctx.on('test.a', () => (++calls === 1 ? Promise.resolve() : (odd as Promise<void>)))
    ctx.emit('test.a', 1)
    await settled()
    ctx.emit('test.a', 2)
    ctx.emit('test.a', 3)
    expect(calls).toBe(3)
    expect(failures.map(({ error }) => error.message)).toEqual(['not to be read', 'not to be read'])
  })

  it('a listener may return anything without harm', async () => {
    const { ctx, failures } = await startKernel()
    const heard: number[] = []
    for (const odd of [null, 0, '', {}, [], /no thenable/]) {
      ctx.on('test.a', (n) => {
        heard.push(n)
        return odd as never
      })
    }
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(heard).toHaveLength(12)
    expect(failures).toEqual([])
  })
})

describe('Loops', () => {
  it(`a chain of more than ${MAX_HOPS} hops is stopped and reported`, async () => {
    let last = 0
    const { ctx, failures } = await startKernel([
      (p) =>
        void p.on('test.a', (n, { hops }) => {
          last = hops
          p.emit('test.a', n + 1)
        }),
    ])
    ctx.emit('test.a', 0)
    expect(last).toBe(MAX_HOPS)
    expect(failures).toMatchObject([{ plugin: 'bus', during: 'event test.a', error: { code: 'MAI_EVENT_LOOP' } }])
  })

  it('also through asynchronous listeners', async () => {
    let calls = 0
    const { ctx } = await startKernel([
      (p) =>
        void p.on('test.a', async (n) => {
          calls++
          await settled()
          p.emit('test.b', n)
        }),
      (p) =>
        void p.on('test.b', async (n) => {
          await settled()
          p.emit('test.a', n + 1)
        }),
    ])
    const failed = ctx.once('plugin.failed')
    ctx.emit('test.a', 0)
    expect((await failed).error.code).toBe('MAI_EVENT_LOOP')
    expect(calls).toBe(MAX_HOPS / 2 + 1)
  })

  it('also through functions that return a promise only now and then', async () => {
    const { ctx } = await startKernel([
      (p) => void p.on('test.a', (n) => (n < 3 ? p.emit('test.a', n + 1) : settled().then(() => p.emit('test.a', n + 1)))),
    ])
    const failed = ctx.once('plugin.failed')
    ctx.emit('test.a', 0)
    expect((await failed).error.code).toBe('MAI_EVENT_LOOP')
  })

  it('failures that cause each other end, and the end is told', async () => {
    const { ctx, failures, lost } = await startKernel()
    ctx.on('plugin.failed', () => ctx.emit('test.a', 1))
    ctx.on('test.a', () => {
      throw new Error('again')
    })
    ctx.emit('test.a', 0)
    expect(failures.length).toBeLessThan(MAX_HOPS)
    expect(lost).toHaveLength(1)
  })

  it('an answer to the report of a loop does not begin the loop anew', async () => {
    const { ctx, failures, lost } = await startKernel()
    ctx.on('plugin.failed', () => ctx.emit('test.a', 1))
    ctx.on('test.a', () => ctx.emit('test.a', 1))
    ctx.emit('test.a', 0)
    expect(failures).toHaveLength(1)
    expect(lost).toMatchObject([{ error: { code: 'MAI_EVENT_LOOP' } }])
  })

  it('a long run of events that do not cause each other is no loop', async () => {
    let heard = 0
    const { ctx, failures } = await startKernel()
    ctx.on('test.a', () => void heard++)
    for (let i = 0; i < 1000; i++) ctx.emit('test.a', i)
    expect(heard).toBe(1000)
    expect(failures).toEqual([])
  })
})

describe('Floods', () => {
  it(`at most ${QUEUE_BOUND} events wait; how many were dropped is reported`, async () => {
    const heard: number[] = []
    const { ctx, failures } = await startKernel()
    ctx.on('test.a', () => {
      for (let i = 0; i < QUEUE_BOUND + 2000; i++) ctx.emit('test.b', i)
    })
    ctx.on('test.b', (n) => void heard.push(n))
    ctx.emit('test.a', 1)
    expect(heard).toEqual(Array.from({ length: QUEUE_BOUND }, (_, n) => n))
    expect(failures).toMatchObject([{ plugin: 'bus', during: 'queue', error: { code: 'MAI_EVENT_FLOOD' } }])
    expect(failures[0]?.error.message).toContain('2000')
  })

  it('after a flood the bus works as before', async () => {
    let heard = 0
    const { ctx, failures } = await startKernel()
    ctx.on('test.a', () => {
      for (let i = 0; i < QUEUE_BOUND + 1; i++) ctx.emit('test.b', i)
    })
    ctx.on('test.b', () => void heard++)
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    expect(heard).toBe(2 * QUEUE_BOUND)
    expect(failures).toHaveLength(2)
  })
})

describe('Slow listeners', () => {
  it('an asynchronous listener gets its events one at a time and in order', async () => {
    const gates = [deferred(), deferred(), deferred()]
    const heard: string[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', async (n) => {
      heard.push(`in ${n}`)
      await gates[n]?.promise
      heard.push(`out ${n}`)
    })
    for (const n of [0, 1, 2]) ctx.emit('test.a', n)
    expect(heard).toEqual(['in 0'])
    for (const gate of gates.reverse()) gate.resolve()
    await settled()
    expect(heard).toEqual(['in 0', 'out 0', 'in 1', 'out 1', 'in 2', 'out 2'])
  })

  it('a slow listener does not delay the others', async () => {
    const gate = deferred()
    const heard: number[] = []
    const { ctx } = await startKernel()
    ctx.on('test.a', () => gate.promise)
    ctx.on('test.a', (n) => void heard.push(n))
    for (const n of [1, 2, 3]) ctx.emit('test.a', n)
    expect(heard).toEqual([1, 2, 3])
    gate.resolve()
  })

  it(`keeps ${MAILBOX_BOUND} events, drops the rest, and reports the first drop at once and the others later`, async () => {
    const gate = deferred()
    const heard: number[] = []
    const { ctx, failures } = await startKernel([
      (p) =>
        void p.on('test.a', async (n) => {
          await gate.promise
          heard.push(n)
        }),
    ])
    for (let n = 0; n < 1 + MAILBOX_BOUND + 5; n++) ctx.emit('test.a', n)
    expect(failures).toMatchObject([{ plugin: 'p1', during: 'listener of test.a', error: { code: 'MAI_LISTENER_SLOW' } }])
    expect(failures[0]?.error.message).toMatch(/dropped for it: 1\./)
    gate.resolve()
    await settled()
    expect(heard).toEqual(Array.from({ length: 1 + MAILBOX_BOUND }, (_, n) => n))
    expect(failures).toHaveLength(2)
    expect(failures[1]?.error.message).toMatch(/dropped for it: 4\./)
  })

  it('latest keeps the newest event only, and says nothing of the rest', async () => {
    const gate = deferred()
    const heard: number[] = []
    const { ctx, failures } = await startKernel()
    const listen = async (n: number): Promise<void> => {
      heard.push(n)
      await gate.promise
    }
    ctx.on('test.a', listen, { mailbox: 'latest' })
    for (let n = 0; n < 5000; n++) ctx.emit('test.a', n)
    gate.resolve()
    await settled()
    expect(heard).toEqual([0, 4999])
    expect(failures).toEqual([])
  })

  it('the domain sets the mode of an event, a listener may overrule it', async () => {
    const heard: Record<string, number[]> = { domain: [], own: [] }
    const { ctx } = await startKernel([], { mailboxes: { 'test.a': 'latest' } })
    ctx.on('test.a', async (n) => void heard.domain?.push(n))
    ctx.on('test.a', async (n) => void heard.own?.push(n), { mailbox: 'queue' })
    for (const n of [1, 2, 3]) ctx.emit('test.a', n)
    await settled()
    expect(heard).toEqual({ domain: [1, 3], own: [1, 2, 3] })
  })

  it('a slow listener of plugin.failed reports its drops to the last resort, not to itself', async () => {
    const gate = deferred()
    const { ctx, lost } = await startKernel()
    ctx.on('plugin.failed', () => gate.promise)
    ctx.on('test.a', () => {
      throw new Error('often')
    })
    for (let n = 0; n < 1 + MAILBOX_BOUND + 1; n++) ctx.emit('test.a', n)
    expect(lost).toMatchObject([{ error: { code: 'MAI_LISTENER_SLOW' } }])
    gate.resolve()
    await settled()
    expect(lost).toHaveLength(1)
  })

  it('a listener that was disposed of while it ran gets none of what waited', async () => {
    const gate = deferred()
    const heard: number[] = []
    const { ctx } = await startKernel()
    const stop = ctx.on('test.a', async (n) => {
      heard.push(n)
      await gate.promise
    })
    for (const n of [1, 2, 3]) ctx.emit('test.a', n)
    stop()
    gate.resolve()
    await settled()
    ctx.emit('test.a', 4)
    expect(heard).toEqual([1])
  })

  it('an asynchronous listener that disposes of itself at once is called no more', async () => {
    const heard: number[] = []
    const { ctx } = newKernel()
    const stop = ctx.on('test.a', async (n) => {
      stop()
      await settled()
      heard.push(n)
    })
    ctx.emit('test.a', 1)
    ctx.emit('test.a', 2)
    await settled()
    await settled()
    ctx.emit('test.a', 3)
    await settled()
    expect(heard).toEqual([1])
  })
})
