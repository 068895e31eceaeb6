import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { bootOrder } from '../../src/core/boot.ts'
import { isMaiError, MaiError } from '../../src/core/errors.ts'
import { definePlugin, type Plugin, type PluginDefinition } from '../../src/core/plugin.ts'
import { deferred, never, newKernel, plugin, settled, startKernel } from './support.ts'

type Wiring = Pick<PluginDefinition, 'needs' | 'provides'>

/** A plugin that fills the slots it names. */
function wired(name: string, { needs = [], provides = [] }: Wiring = {}, onSetup: (name: string) => void = () => {}): Plugin {
  const setup: PluginDefinition['setup'] = (ctx) => {
    onSetup(name)
    for (const slot of provides) {
      if (slot === 'test-list') ctx.contribute('test-list', name)
      else ctx.provide(slot as 'test-slot-x', name)
    }
  }
  return plugin(name, setup, { needs, provides })
}

function order(...plugins: Plugin[]): string[] {
  return bootOrder(plugins, (slot) => slot === 'test-list').map(({ definition }) => definition.name)
}

describe('Boot order', () => {
  it('is the order of the configuration where nobody needs anybody', () => {
    expect(order(wired('c'), wired('a'), wired('b'))).toEqual(['c', 'a', 'b'])
  })

  it('puts providers before those who need them, and keeps the configuration otherwise', () => {
    expect(order(wired('user', { needs: ['test-slot-x'] }), wired('other'), wired('maker', { provides: ['test-slot-x'] }))).toEqual([
      'maker',
      'user',
      'other',
    ])
  })

  it("'x?' only orders: with a provider it comes later, without one it boots all the same", () => {
    const user = wired('user', { needs: ['test-slot-x?'] })
    expect(order(user, wired('maker', { provides: ['test-slot-x'] }))).toEqual(['maker', 'user'])
    expect(order(user, wired('other'))).toEqual(['user', 'other'])
  })

  it('who needs a list slot comes after all its contributors; the list may be empty', () => {
    const user = wired('user', { needs: ['test-list'] })
    const contributor = (name: string): Plugin => wired(name, { provides: ['test-list'] })
    expect(order(contributor('one'), user, contributor('two'))).toEqual(['one', 'two', 'user'])
    expect(order(user)).toEqual(['user'])
  })

  it('a plugin may need what it contributes to itself', () => {
    expect(order(wired('both', { needs: ['test-list'], provides: ['test-list'] }), wired('other', { provides: ['test-list'] }))).toEqual([
      'other',
      'both',
    ])
  })

  it('contributions are listed in the order of boot', async () => {
    const { kernel, ctx } = newKernel({ plugins: [wired('one', { provides: ['test-list'] }), wired('two', { provides: ['test-list'] })] })
    await kernel.start()
    expect(ctx.all('test-list')).toEqual(['one', 'two'])
  })

  it('an empty list slot has no contributions', async () => {
    const { ctx } = await startKernel()
    expect(ctx.all('test-list')).toEqual([])
  })

  it('a plugin may declare a list slot for others', async () => {
    const maker = plugin('maker', () => {}, { lists: ['test-list'] })
    const { kernel, ctx } = newKernel({ lists: [], plugins: [wired('one', { provides: ['test-list'] }), maker] })
    await kernel.start()
    expect(ctx.all('test-list')).toEqual(['one'])
  })

  it('a plugin may define a hook for others', async () => {
    const maker = plugin('maker', () => {}, { hooks: { 'test.gated': { kind: 'gate' } } })
    const user = plugin('user', (p) => void p.hook('test.gated', (input, next) => next(`${input} seen`)))
    const { kernel, ctx } = newKernel({ hooks: {}, plugins: [user, maker] })
    await kernel.start()
    expect(await ctx.runHook('test.gated', 'in', (input) => input)).toBe('in seen')
  })

  it('timings list the plugins in boot order', async () => {
    const { kernel } = newKernel({ plugins: [wired('user', { needs: ['test-slot-x'] }), wired('maker', { provides: ['test-slot-x'] })] })
    await kernel.start()
    expect(kernel.timings.map(({ plugin }) => plugin)).toEqual(['maker', 'user'])
    expect(kernel.timings.every(({ ms }) => ms >= 0)).toBe(true)
  })
})

describe('A boot that fails', () => {
  const zOptions = z.object({ port: z.number().default(1234), nested: z.object({ host: z.string() }).optional() })
  const withOptions = definePlugin({ name: 'culprit', apiVersion: 1, options: zOptions, setup() {} })
  const throwing = plugin('culprit', () => {
    throw new Error('the disk is full')
  })
  const cases: [title: string, culprits: unknown[], code: string, message: RegExp][] = [
    ['a missing slot', [wired('culprit', { needs: ['test-slot-x'] })], 'MAI_SLOT_MISSING', /"culprit" needs the slot "test-slot-x"/],
    [
      'a cycle',
      [
        wired('culprit', { needs: ['test-slot-x'], provides: ['test-slot-y'] }),
        wired('other', { needs: ['test-slot-y'], provides: ['test-slot-x'] }),
      ],
      'MAI_PLUGIN_CYCLE',
      /culprit → other → culprit/,
    ],
    ['a duplicate name', [wired('culprit'), wired('culprit')], 'MAI_PLUGIN_DUPLICATE', /"culprit"/],
    [
      'a taken slot',
      [wired('holder', { provides: ['test-slot-x'] }), wired('culprit', { provides: ['test-slot-x'] })],
      'MAI_SLOT_TAKEN',
      /"culprit" provides the slot "test-slot-x", which "holder"/,
    ],
    [
      'a slot taken in setup',
      [wired('holder', { provides: ['test-slot-x'] }), plugin('culprit', (p) => void p.provide('test-slot-x', 'mine'))],
      'MAI_SLOT_TAKEN',
      /"culprit"/,
    ],
    [
      'a plugin of a later API',
      [plugin('culprit', () => {}, { apiVersion: 2 as 1 })],
      'MAI_PLUGIN_API_VERSION',
      /"culprit" .* Update Mai\./,
    ],
    [
      'a plugin of an earlier API',
      [plugin('culprit', () => {}, { apiVersion: 0 as 1 })],
      'MAI_PLUGIN_API_VERSION',
      /"culprit" .* Update the plugin\./,
    ],
    ['invalid options', [withOptions({ port: 'high' as never })], 'MAI_PLUGIN_OPTIONS', /"culprit" .*port: /],
    ['invalid options deep inside', [withOptions({ nested: { host: 1 as never } })], 'MAI_PLUGIN_OPTIONS', /"culprit" .*nested\.host: /],
    [
      'a schema that throws',
      [
        definePlugin({
          name: 'culprit',
          apiVersion: 1,
          options: z.string().transform(() => {
            throw new Error('odd schema')
          }),
          setup() {},
        })('x'),
      ],
      'MAI_PLUGIN_OPTIONS',
      /"culprit" .*odd schema/,
    ],
    [
      'a schema that hangs',
      [definePlugin({ name: 'culprit', apiVersion: 1, options: z.string().refine(() => never), setup() {} })('x')],
      'MAI_PLUGIN_SETUP_TIMEOUT',
      /"culprit"/,
    ],
    ['a setup that hangs', [plugin('culprit', () => never)], 'MAI_PLUGIN_SETUP_TIMEOUT', /"culprit" did not finish its setup within 30 ms/],
    ['a setup that throws', [throwing], 'MAI_PLUGIN_SETUP_FAILED', /"culprit" .*the disk is full/],
    [
      'a setup that rejects',
      [
        plugin('culprit', async () => {
          throw new Error('the disk is full')
        }),
      ],
      'MAI_PLUGIN_SETUP_FAILED',
      /"culprit" .*the disk is full/,
    ],
    [
      'a slot that was promised but not filled',
      [plugin('culprit', () => {}, { provides: ['test-slot-x'] })],
      'MAI_SLOT_UNFILLED',
      /"culprit" .*"test-slot-x"/,
    ],
    [
      'a single slot used as a list',
      [plugin('culprit', (p) => void p.contribute('test-slot-x' as 'test-list', 'x'))],
      'MAI_SLOT_KIND',
      /"culprit"/,
    ],
    [
      'a list slot used as a single one',
      [plugin('culprit', (p) => void p.provide('test-list' as 'test-slot-x', 'x'))],
      'MAI_SLOT_KIND',
      /"culprit"/,
    ],
    [
      'a hook that nobody defined',
      [plugin('culprit', (p) => void p.hook('test.none' as 'test.gated', (input) => input))],
      'MAI_HOOK_UNKNOWN',
      /"culprit"/,
    ],
    ['a factory that was not called', [withOptions], 'MAI_PLUGIN_INVALID', /Entry 2 of plugins .* call it/],
    ['null among the plugins', [null], 'MAI_PLUGIN_INVALID', /Entry 2/],
    ['a plain object among the plugins', [{ name: 'culprit', setup() {} }], 'MAI_PLUGIN_INVALID', /Entry 2/],
  ]

  it.each(cases)('because of %s gives one clear error with a cure, and leaves nothing set up', async (_, culprits, code, message) => {
    const undone: string[] = []
    const innocent = plugin('innocent', (p) => {
      p.provide('test-slot-innocent', 'yes')
      p.on('test.a', () => {})
      p.onDispose(() => void undone.push('innocent'))
    })
    const { kernel, ctx, failures } = newKernel({ plugins: [innocent, ...(culprits as Plugin[])], setupTimeoutMs: 30 })
    const error: unknown = await kernel.start().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(MaiError)
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(isMaiError(error) && error.cure).toMatch(/^[A-Z].*\.$/)
    expect(ctx.listening('test.a')).toBe(false)
    expect(ctx.tryUse('test-slot-innocent')).toBeUndefined()
    expect(kernel.plugins().flatMap(({ effects }) => effects)).toEqual([])
    expect(undone.length).toBeLessThanOrEqual(1)
    expect(failures).toEqual([])
  })

  it('rolls back in reverse order, the half-finished plugin first', async () => {
    const undone: string[] = []
    const leaves = (name: string, fails = false): Plugin =>
      plugin(name, (p) => {
        p.onDispose(() => void undone.push(name))
        if (fails) throw new Error('no')
      })
    const { kernel } = newKernel({ plugins: [leaves('one'), leaves('two'), leaves('three', true), leaves('four')] })
    await expect(kernel.start()).rejects.toThrow('no')
    expect(undone).toEqual(['three', 'two', 'one'])
  })

  it('keeps a MaiError of the plugin as it is', async () => {
    const own = new MaiError('MAI_OWN', 'The key is missing.', { cure: 'Set it.' })
    const { kernel } = newKernel({
      plugins: [
        plugin('culprit', () => {
          throw own
        }),
      ],
    })
    await expect(kernel.start()).rejects.toBe(own)
  })

  it('a setup that goes on after its time is up can register nothing any more', async () => {
    const late = deferred()
    const outcome = deferred<unknown>()
    const { kernel, ctx } = newKernel({
      setupTimeoutMs: 20,
      plugins: [
        plugin('slow', async (p) => {
          await late.promise
          try {
            p.on('test.a', () => {})
            outcome.resolve('registered')
          } catch (error) {
            outcome.resolve(error)
            throw error
          }
        }),
      ],
    })
    await expect(kernel.start()).rejects.toMatchObject({ code: 'MAI_PLUGIN_SETUP_TIMEOUT' })
    late.resolve()
    expect(await outcome.promise).toMatchObject({ code: 'MAI_SCOPE_CLOSED' })
    expect(ctx.listening('test.a')).toBe(false)
  })
})

describe('Options', () => {
  it('reach setup validated and with their defaults', async () => {
    const seen: unknown[] = []
    const configured = definePlugin({
      name: 'configured',
      apiVersion: 1,
      options: z.object({ port: z.number().default(1234) }),
      setup: (_, options) => void seen.push(options),
    })
    const { kernel } = newKernel({ plugins: [configured()] })
    await kernel.start()
    expect(seen).toEqual([{ port: 1234 }])
  })

  it('may be validated asynchronously', async () => {
    const seen: unknown[] = []
    const options = z.object({ name: z.string() }).transform(async ({ name }) => {
      await settled()
      return name.toUpperCase()
    })
    const configured = definePlugin({ name: 'configured', apiVersion: 1, options, setup: (_, name) => void seen.push(name) })
    const { kernel } = newKernel({ plugins: [configured({ name: 'ada' })] })
    await kernel.start()
    expect(seen).toEqual(['ADA'])
  })
})
