/**
 * A third party's plugin, as its author writes it: compiled here against the sources,
 * and by `npm run check` against the packed tarball, installed in an empty project.
 *
 * @module
 */
import { definePlugin, type ListSlot, type MaiEvents, type PluginContext } from 'mai'

/** The interface behind this plugin's own slot. */
export interface Barometer {
  read(): number
}

declare module 'mai' {
  interface MaiEvents {
    'weather.changed': { readonly celsius: number }
  }
  interface MaiSlots {
    barometer: Barometer
    gauge: ListSlot<Barometer>
  }
  interface MaiHooks {
    'forecast.word': { in: { readonly celsius: number }; out: string }
  }
}

// The interfaces are merged, not hidden: the package's own events are still there.
export const payloads: [MaiEvents['weather.changed'], MaiEvents['kernel.ready']] = [{ celsius: 21 }, { bootMs: 1, plugins: [] }]

export const weather = definePlugin({
  name: 'weather',
  apiVersion: 1,
  needs: ['resources?'],
  provides: ['barometer', 'gauge'],
  lists: ['gauge'],
  hooks: { 'forecast.word': { kind: 'observer' } },
  async setup(ctx: PluginContext) {
    ctx.provide('barometer', { read: () => 1013 })
    ctx.contribute('gauge', { read: () => 1 })
    ctx.on('weather.changed', ({ celsius }) => void celsius.toFixed(1))
    ctx.on('resources.sampled', (sample) => void sample)
    ctx.hook('forecast.word', async (input, next) => `${input.celsius}: ${await next(input)}`)
    ctx.emit('weather.changed', { celsius: 21 })
    // @ts-expect-error the payload has a number
    ctx.emit('weather.changed', { celsius: 'warm' })
    // @ts-expect-error nobody declared this event
    ctx.emit('weather.unheard', {})
    // @ts-expect-error the slot holds a barometer
    ctx.provide('barometer', { read: () => 'high' })
    // @ts-expect-error a list slot has no single answerer
    ctx.provide('gauge', { read: () => 1 })
    const pressure: number = ctx.use('barometer').read() + ctx.all('gauge').length
    const word: string = await ctx.runHook('forecast.word', { celsius: pressure }, () => 'dry')
    void word
  },
})
