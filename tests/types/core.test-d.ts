/**
 * What the types of the kernel promise to third parties; checked by `tsc`, never run.
 *
 * @module
 */
import { expectTypeOf } from 'vitest'
import { z } from 'zod'
import type { Disposer, EventMeta, EventType, MaiEvents } from '../../src/core/events.ts'
import { definePlugin, type Plugin, type PluginContext } from '../../src/core/plugin.ts'
import type { ListSlot } from '../../src/core/slots.ts'

interface Clock {
  now(): number
}
interface Greeter {
  greet(name: string): string
}

declare module '../../src/core/events.ts' {
  interface MaiEvents {
    'types.weather.changed': { readonly celsius: number }
  }
}

declare module '../../src/core/slots.ts' {
  interface MaiSlots {
    'types-clock': Clock
    'types-greeter': ListSlot<Greeter>
  }
}

declare module '../../src/core/hooks.ts' {
  interface MaiHooks {
    'types.title.choose': { in: { sessionId: string }; out: string }
  }
}

export function events(ctx: PluginContext): void {
  expectTypeOf<'types.weather.changed'>().toExtend<EventType>()
  ctx.emit('types.weather.changed', { celsius: 21 })
  // @ts-expect-error the payload is of another type
  ctx.emit('types.weather.changed', { celsius: 'warm' })
  // @ts-expect-error the payload is missing
  ctx.emit('types.weather.changed')
  // @ts-expect-error nobody declared this event
  ctx.emit('types.weather.forgotten', {})

  const stop = ctx.on('types.weather.changed', (payload, meta) => {
    expectTypeOf(payload).toEqualTypeOf<{ readonly celsius: number }>()
    expectTypeOf(meta).toEqualTypeOf<EventMeta>()
    // @ts-expect-error payloads are read-only as declared
    payload.celsius = 5
  })
  expectTypeOf(stop).toEqualTypeOf<Disposer>()
  ctx.on('types.weather.changed', async () => {}, { mailbox: 'latest', signal: ctx.signal })
  // @ts-expect-error a listener answers nothing
  ctx.on('types.weather.changed', () => 'an answer')
  // @ts-expect-error there is no such mailbox
  ctx.on('types.weather.changed', () => {}, { mailbox: 'oldest' })
  expectTypeOf(ctx.once('types.weather.changed')).toEqualTypeOf<Promise<MaiEvents['types.weather.changed']>>()
}

export function slots(ctx: PluginContext, clock: Clock, greeter: Greeter): void {
  ctx.provide('types-clock', clock)
  expectTypeOf(ctx.use('types-clock')).toEqualTypeOf<Clock>()
  expectTypeOf(ctx.tryUse('types-clock')).toEqualTypeOf<Clock | undefined>()
  ctx.contribute('types-greeter', greeter)
  expectTypeOf(ctx.all('types-greeter')).toEqualTypeOf<Greeter[]>()
  // @ts-expect-error the implementation is of another type
  ctx.provide('types-clock', greeter)
  // @ts-expect-error a list slot takes contributions
  ctx.provide('types-greeter', greeter)
  // @ts-expect-error a single slot is provided
  ctx.contribute('types-clock', clock)
  // @ts-expect-error a list slot has no one answerer
  ctx.use('types-greeter')
}

export function hooks(ctx: PluginContext): void {
  ctx.hook('types.title.choose', async (input, next) => {
    expectTypeOf(input).toEqualTypeOf<{ sessionId: string }>()
    const title = await next(input)
    expectTypeOf(title).toEqualTypeOf<string>()
    return title
  })
  // @ts-expect-error the hook yields a string
  ctx.hook('types.title.choose', () => 7)
  // @ts-expect-error next takes what the hook takes
  ctx.hook('types.title.choose', (_, next) => next('id'))
  expectTypeOf(ctx.runHook('types.title.choose', { sessionId: 's' }, () => 'title')).toEqualTypeOf<Promise<string>>()
}

export function plugins(): Plugin {
  const weather = definePlugin({
    name: 'weather',
    apiVersion: 1,
    needs: ['types-clock', 'types-greeter?'],
    options: z.object({ city: z.string(), every: z.number().default(60) }),
    setup(ctx, options) {
      expectTypeOf(ctx).toEqualTypeOf<PluginContext>()
      expectTypeOf(options).toEqualTypeOf<{ city: string; every: number }>()
    },
  })
  // @ts-expect-error the city is not a number
  weather({ city: 1 })
  // @ts-expect-error nobody declared this slot
  definePlugin({ name: 'x', apiVersion: 1, needs: ['types-forgotten'], setup() {} })
  // @ts-expect-error there is no such version of the plugin contract
  definePlugin({ name: 'x', apiVersion: 2, setup() {} })
  return weather({ city: 'Oslo' })
}
