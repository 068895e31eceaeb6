import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createMai } from '../../src/chat/mai.ts'
import type { AnswerWatch } from '../../src/chat/watcher.ts'
import type { EventType } from '../../src/core/events.ts'
import { definePlugin, type Plugin, type PluginContext } from '../../src/core/plugin.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../src/testing/resource-trace.ts'
import { scriptedBackend } from '../../src/testing/scripted-backend.ts'
import { at } from './scenarios.ts'
import { BACKENDS, type BackendName, open, type Stages, signalEngines } from './stages.ts'
import { CANON, expectHealthy, THOROUGH, temporaryFolder, told } from './support.ts'

/** Plugins that throw, hang or flood, in each phase of a turn, on each backend (embedded engines run from dist/). */

const PHASES: readonly EventType[] = [
  'session.started',
  'message.received',
  'model.selected',
  'model.loading',
  'model.loaded',
  'context.assembled',
  'generation.started',
  'generation.chunk',
  'generation.finished',
  'generation.failed',
  'model.struggling',
  'model.switched',
  'message.completed',
]

/** Where the answer breaks off once, so that the phases of a rescue come too. */
const BREAKS_OFF: { readonly [B in BackendName]: (stage: Stages[B]) => ((soFar: string) => void) | undefined } = {
  lmstudio: ({ server }) => void server.faults.add({ kind: 'drop-socket', afterFragments: 9 }),
  'openai-compatible': ({ server }) => void server.faults.add({ kind: 'cut', afterPieces: 9 }),
  llamacpp: () => at(9, () => signalEngines('SIGKILL')),
}

/** Nothing shows of what a plugin does: the answer is whole, by two models, and so is the next. */
async function expectUnharmed<B extends BackendName>(backend: B, bad: Plugin): Promise<void> {
  const stage = await open[backend]({ plugins: [bad] })
  const onText = BREAKS_OFF[backend](stage)
  const { reply } = await told(stage.mai, 'Tell me.', { ...stage.telling, ...(onText && { onText }) })
  expect(reply?.attempts.at(-1)?.outcome).toBe('completed')
  if (backend !== 'llamacpp') expect(reply?.attempts.length).toBe(2)
  await expectHealthy(stage.mai, stage.telling)
}

const plugin = (setup: (ctx: PluginContext) => void): Plugin => definePlugin({ name: 'bad', apiVersion: 1, setup })()

const misdeeds: Readonly<Record<string, (ctx: PluginContext) => unknown>> = {
  throws: () => {
    throw new Error('bad')
  },
  rejects: () => Promise.reject(new Error('bad')),
  hangs: () => new Promise(() => {}),
  floods: (ctx) => {
    for (let n = 0; n < 3_000; n++) ctx.emit('models.discovered', { backend: 'bad', models: [`m${n}`] })
  },
}

describe.each(BACKENDS.filter((backend) => THOROUGH || backend !== 'llamacpp'))('on %s a plugin', { timeout: 120_000 }, (backend) => {
  it.each(Object.keys(misdeeds))('that %s wherever it listens changes nothing', (name) =>
    expectUnharmed(
      backend,
      plugin((ctx) => {
        for (const type of PHASES) ctx.on(type, () => misdeeds[name]?.(ctx) as undefined)
      }),
    ),
  )

  it.each(Object.keys(misdeeds))('that %s where it changes the prompt changes nothing', (name) =>
    expectUnharmed(
      backend,
      plugin((ctx) =>
        ctx.hook('prompt.compose', async (input, next) => {
          await misdeeds[name]?.(ctx)
          return next(input)
        }),
      ),
    ),
  )

  it.each(['start', 'push', 'tick', 'end'] as const)('whose watcher throws at %s is dropped for that answer', (where) => {
    const clear = { state: 'clear' } as const
    const act = (phase: string): typeof clear => {
      if (phase === where) throw new Error('bad')
      return clear
    }
    const watch: AnswerWatch = { push: () => act('push'), tick: () => act('tick'), end: () => act('end') }
    const start = (): AnswerWatch => {
      act('start')
      return watch
    }
    return expectUnharmed(
      backend,
      plugin((ctx) => ctx.contribute('watcher', { name: 'bad', start })),
    )
  })
})

/** What a plugin in the place of one of Mai's own does, whatever the backend. */
describe('a plugin', () => {
  it('whose watcher calls everything a loop ends in one clear error, and nothing of it is shown twice', async () => {
    const struggle = { state: 'struggle', kind: 'loop', evidence: 'bad', cutAt: 12 } as const
    let armed = true
    const start = (): AnswerWatch => ({
      push: () => (armed ? struggle : { state: 'clear' }),
      tick: () => ({ state: 'clear' }),
      end: () => ({ state: 'clear' }),
    })
    const { mai } = await open['openai-compatible']({ plugins: [plugin((ctx) => ctx.contribute('watcher', { name: 'bad', start }))] })
    expect((await told(mai, 'Tell me.')).error).toBeDefined()
    armed = false
    await pause(10)
    await expectHealthy(mai)
  })

  it('that assembles prompts and hangs ends with the turn’s deadline', async () => {
    let hangs = true
    const machine = resourceTrace()
    const { plugin: engine } = scriptedBackend([{ id: 'only', answer: CANON }], { machine })
    const assembler = definePlugin({
      name: 'assembler',
      apiVersion: 1,
      provides: ['context'],
      setup: (ctx) =>
        void ctx.provide('context', {
          assemble: async ({ message }) => {
            if (hangs) await new Promise(() => {})
            const messages = [{ role: 'user' as const, parts: message.parts }]
            return { messages, tokens: 10, exact: false, usableTokens: 1000, condensed: false, verbatimMessages: 1, totalMessages: 1 }
          },
          estimateTokens: () => 1,
          observe: () => {},
        }),
    })
    const mai = await createMai({
      plugins: [store({ file: path.join(await temporaryFolder(), 'mai.db') }), machine.plugin, switching(), assembler(), engine],
      turn: { deadlineMs: 1_000 },
    })
    onTestFinished(() => mai.shutdown())
    expect((await told(mai, 'Tell me.')).error?.code).toBe('MAI_TURN_TIMEOUT')
    hangs = false
    await expectHealthy(mai)
  })

  it('that decides and throws is replaced by a plain rule', async () => {
    const policy = definePlugin({
      name: 'policy',
      apiVersion: 1,
      provides: ['policy'],
      setup: (ctx) =>
        void ctx.provide('policy', {
          name: 'bad',
          version: 1,
          initial: () => misdeeds.throws?.(ctx),
          reduce: () => misdeeds.throws?.(ctx),
          select: () => misdeeds.throws?.(ctx) as never,
          onStruggle: () => misdeeds.throws?.(ctx) as never,
        }),
    })
    const machine = resourceTrace()
    const { plugin: engine } = scriptedBackend(
      [
        { id: 'big', sizeBytes: 2e9, answer: CANON },
        { id: 'small', sizeBytes: 1e9, answer: CANON, faults: [{ kind: 'drop', afterPieces: 9 }] },
      ],
      { machine },
    )
    const mai = await createMai({
      plugins: [store({ file: path.join(await temporaryFolder(), 'mai.db') }), machine.plugin, policy(), compression(), engine],
    })
    onTestFinished(() => mai.shutdown())
    expect((await told(mai, 'Tell me.')).reply?.model).toBe('scripted/big')
    await expectHealthy(mai)
  })
})
