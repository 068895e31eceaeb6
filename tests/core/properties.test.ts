import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bootOrder } from '../../src/core/boot.ts'
import { isMaiError } from '../../src/core/errors.ts'
import type { Disposer } from '../../src/core/events.ts'
import { createKernel } from '../../src/core/kernel.ts'
import type { Plugin, PluginContext } from '../../src/core/plugin.ts'
import { plugin } from './support.ts'

/** What each listener emits when it hears of a node: a tree of causes. */
interface Node {
  readonly id: number
  /** By listener. */
  readonly children: readonly (readonly Node[])[]
}

const LISTENERS = 3

/** Each node but the first was emitted by a listener of a node before it; few enough not to be taken for a loop. */
const tree: fc.Arbitrary<Node[]> = fc.array(fc.tuple(fc.nat(), fc.nat(LISTENERS - 1)), { maxLength: 60 }).map((links) => {
  const children = Array.from({ length: links.length + 1 }, () => Array.from({ length: LISTENERS }, (): Node[] => []))
  const nodes = children.map((of, id): Node => ({ id, children: of }))
  for (const [i, [parent, listener]] of links.entries()) children[parent % (i + 1)]![listener]!.push(nodes[i + 1]!)
  return nodes
})

describe('Emit trees', () => {
  it('reach all listeners exactly once, one event after the other, first in, first out', () => {
    fc.assert(
      fc.property(tree, (nodes) => {
        const { context: ctx } = createKernel({ plugins: [] })
        const heard: [id: number, listener: number][] = []
        for (let listener = 0; listener < LISTENERS; listener++) {
          ctx.on('test.a', (id) => {
            heard.push([id, listener])
            for (const child of nodes[id]?.children[listener] ?? []) ctx.emit('test.a', child.id)
          })
        }
        ctx.emit('test.a', 0)
        const queue = [nodes[0]!]
        const expected: typeof heard = []
        for (let node = queue.shift(); node; node = queue.shift()) {
          for (const [listener, children] of node.children.entries()) {
            expected.push([node.id, listener])
            queue.push(...children)
          }
        }
        expect(heard).toEqual(expected)
      }),
    )
  })
})

type Step =
  | { readonly act: 'on' | 'once' | 'signal' | 'provide' | 'contribute' | 'hook' | 'task' | 'cleanup' }
  | { readonly act: 'undo'; readonly which: number }

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.constantFrom<Step>(
      ...(['on', 'once', 'signal', 'provide', 'contribute', 'hook', 'task', 'cleanup'] as const).map((act) => ({ act })),
    ),
    fc.record({ act: fc.constant('undo' as const), which: fc.nat(20) }),
  ),
  { maxLength: 40 },
)

describe('Random lives', () => {
  it('undo each registration exactly once, and leave nothing behind after close', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (life) => {
        let p: PluginContext | undefined
        let cleanups = 0
        let expectedCleanups = 0
        const kernel = createKernel({
          plugins: [plugin('p', (ctx) => void (p = ctx))],
          lists: ['test-list'],
          hooks: { 'test.observed': { kind: 'observer' } },
        })
        await kernel.start()
        const ctx = p!
        const undos: Disposer[] = []
        let living = 0
        let slots = 0
        const act = (step: Step): void => {
          if (step.act === 'undo') {
            const [undo] = undos.splice(step.which % Math.max(1, undos.length), 1)
            if (undo) living--
            undo?.()
            undo?.()
            return
          }
          living++
          const end = new AbortController()
          if (step.act === 'on') undos.push(ctx.on('test.a', () => {}))
          else if (step.act === 'once') ctx.once('test.a').catch(() => {})
          else if (step.act === 'signal') {
            ctx.on('test.a', () => {}, { signal: end.signal })
            undos.push(() => end.abort())
          } else if (step.act === 'provide') undos.push(ctx.provide(`test-slot-${slots++}`, 'x'))
          else if (step.act === 'contribute') undos.push(ctx.contribute('test-list', 'x'))
          else if (step.act === 'hook') undos.push(ctx.hook('test.observed', () => 'caught'))
          else if (step.act === 'task')
            ctx.task('t', (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())))
          else {
            expectedCleanups++
            ctx.onDispose(() => void cleanups++)
          }
        }
        for (const step of life) {
          act(step)
          expect(kernel.plugins()[0]?.effects).toHaveLength(living)
        }
        await kernel.close()
        expect(kernel.plugins()).toMatchObject([{ slots: [], effects: [] }])
        expect(ctx.listening('test.a')).toBe(false)
        expect(ctx.all('test-list')).toEqual([])
        expect(await ctx.runHook('test.observed', 'through', (input) => input)).toBe('through')
        expect(cleanups).toBe(expectedCleanups)
      }),
    )
  })
})

/** Plugins by number; each provides its own slot and needs those of others. */
function graph(needs: readonly (readonly number[])[]): Plugin[] {
  return needs.map((of, i) =>
    plugin(`${i}`, () => {}, { provides: [`test-slot-${i}`], needs: of.map((n): `test-slot-${string}` => `test-slot-${n}`) }),
  )
}

const names = (plugins: readonly Plugin[]): number[] => plugins.map(({ definition }) => Number(definition.name))
const single = (): boolean => false
/** Who needs whom, always someone of a lower number: without circles. */
const acyclic = fc
  .integer({ min: 1, max: 15 })
  .chain((size) =>
    fc.tuple(...Array.from({ length: size }, (_, i) => (i === 0 ? fc.constant([]) : fc.uniqueArray(fc.nat(i - 1), { maxLength: 4 })))),
  )

describe('Random dependencies', () => {
  it('without circles boot every plugin once, after all it needs, whatever the order of the configuration', () => {
    const shuffled = acyclic.chain((needs) =>
      fc.tuple(fc.constant(needs), fc.shuffledSubarray([...needs.keys()], { minLength: needs.length })),
    )
    fc.assert(
      fc.property(shuffled, ([needs, configured]) => {
        const all = graph(needs)
        const order = names(
          bootOrder(
            configured.map((i) => all[i]),
            single,
          ),
        )
        expect([...order].sort((a, b) => a - b)).toEqual([...needs.keys()])
        for (const [i, of] of needs.entries()) for (const n of of) expect(order.indexOf(n)).toBeLessThan(order.indexOf(i))
      }),
    )
  })

  it('that the configuration respects already leave its order as it is', () => {
    fc.assert(fc.property(acyclic, (needs) => void expect(names(bootOrder(graph(needs), single))).toEqual([...needs.keys()])))
  })

  it('with a circle are an error that names plugins which do need each other in a circle', () => {
    const circular = fc.tuple(acyclic, fc.integer({ min: 2, max: 6 })).chain(([needs, length]) => {
      const ring = Array.from({ length }, (_, k) => [needs.length + ((k + 1) % length)])
      const all = [...needs, ...ring]
      return fc.tuple(fc.constant(all), fc.shuffledSubarray([...all.keys()], { minLength: all.length }))
    })
    fc.assert(
      fc.property(circular, ([needs, configured]) => {
        const all = graph(needs)
        let error: unknown
        try {
          bootOrder(
            configured.map((i) => all[i]),
            single,
          )
        } catch (thrown) {
          error = thrown
        }
        expect(error).toMatchObject({ code: 'MAI_PLUGIN_CYCLE' })
        const circle = (((isMaiError(error) && error.details?.plugins) || []) as string[]).map(Number)
        expect(circle.length).toBeGreaterThan(2)
        expect(circle.at(0)).toBe(circle.at(-1))
        for (const [k, i] of circle.slice(0, -1).entries()) expect(needs[i]).toContain(circle[k + 1])
      }),
    )
  })
})
