import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createMai, type Mai } from '../../src/chat/mai.ts'
import type { TurnSettings } from '../../src/chat/settings.ts'
import { compression } from '../../src/plugins/compression/index.ts'
import { lmstudio } from '../../src/plugins/lmstudio/index.ts'
import { store } from '../../src/plugins/store/index.ts'
import { switching } from '../../src/plugins/switching/index.ts'
import type { AnswerFault, Fault } from '../../src/testing/lmstudio-server/faults.ts'
import { type LmStudioServer, startLmStudioServer } from '../../src/testing/lmstudio-server/server.ts'
import { type ResourceTrace, resourceTrace } from '../../src/testing/resource-trace.ts'
import { scriptedEngine } from '../../src/testing/scripted-engine.ts'
import { CANON, expectHealthy, SEEDS, seeded, temporaryFolder, told } from './support.ts'

/** Everything that LM Studio can do to an answer, over its real protocol. */

const GIB = 2 ** 30
const WORDS = CANON.split(/\s+/).length

interface World {
  readonly mai: Mai
  readonly server: LmStudioServer
  readonly machine: ResourceTrace
}

/** Four models, the better the larger. */
async function world(turn: Partial<TurnSettings> = {}): Promise<World> {
  const server = await startLmStudioServer({
    models: ['a', 'b', 'c', 'd'].map((key, n) =>
      scriptedEngine({ key, answer: CANON, sizeBytes: Math.round((1.6 - n * 0.3) * GIB), paramsString: `${4 - n}B`, loadMs: 10 }),
    ),
  })
  onTestFinished(() => server.close())
  const machine = resourceTrace(14 * GIB)
  const mai = await createMai({
    plugins: [
      store({ file: path.join(await temporaryFolder(), 'mai.db') }),
      machine.plugin,
      switching(),
      compression(),
      lmstudio({ baseUrl: server.baseUrl, autoStart: false }),
    ],
    turn,
  })
  onTestFinished(() => mai.shutdown())
  return { mai, server, machine }
}

describe.each(SEEDS)('LM Studio, seed %i', (seed) => {
  const random = seeded(seed)
  const somewhere = (): number => random(WORDS - 1)

  it('that is killed and started again in the middle of an answer', async () => {
    const { mai, server } = await world()
    server.faults.add({ kind: 'kill-server', afterFragments: somewhere(), restartAfterMs: 20 + random(300) })
    const { reply } = await told(mai, 'Tell me.')
    expect(reply?.attempts.length).toBeGreaterThan(1)
    await expectHealthy(mai)
  })

  it('that is killed for good says so in bounded time, and works again when it is back', async () => {
    const { mai, server } = await world()
    server.faults.add({ kind: 'kill-server', afterFragments: somewhere() })
    const { error } = await told(mai, 'Tell me.')
    expect(error).toBeDefined()
    await server.restart()
    // For a second the plugin remembers that nobody answered.
    await pause(1_100)
    await expectHealthy(mai)
  })

  it('whose model somebody unloads in the middle of an answer', async () => {
    const { mai, server } = await world()
    server.faults.add({ kind: 'unload', afterFragments: somewhere() })
    const { reply } = await told(mai, 'Tell me.')
    expect(reply?.attempts.length).toBeGreaterThan(1)
    await expectHealthy(mai)
  })

  it('whose guardrail refuses to load', async () => {
    const { mai, server } = await world()
    for (const model of ['a', 'b', 'c', 'd'].slice(0, 1 + random(3)))
      server.faults.add({ kind: 'refuse-load', model, times: Number.POSITIVE_INFINITY })
    expect((await told(mai, 'Tell me.')).reply?.attempts.at(-1)?.outcome).toBe('completed')
    const all = await world()
    all.server.faults.add({ kind: 'refuse-load', times: Number.POSITIVE_INFINITY })
    const { error } = await told(all.mai, 'Tell me.')
    expect(error).toMatchObject({ code: expect.stringMatching(/MAI_(ALL_FAILED|NOTHING_SERVES)/) })
    all.server.faults.clear()
    await expectHealthy(mai)
  })

  it('whose load hangs', async () => {
    const { mai, server } = await world({ loadIdleMs: 300 })
    server.faults.add({ kind: 'hang-load', atProgress: random(100) / 100 })
    const { reply } = await told(mai, 'Tell me.')
    expect(reply?.attempts[0]?.code).toBe('MAI_LOAD_TIMEOUT')
    await expectHealthy(mai)
  })

  it('with three failovers in one answer', async () => {
    const { mai, server } = await world({ gapMs: 400 })
    const faults: readonly AnswerFault[] = [
      { kind: 'drop-socket', afterFragments: 1 + random(WORDS / 4) },
      { kind: 'crash', afterFragments: random(WORDS / 4) },
      { kind: 'stall', afterFragments: random(WORDS / 4) },
      { kind: 'stop', reason: 'failed', afterFragments: random(WORDS / 4) },
      { kind: 'stop', reason: 'contextLengthReached', afterFragments: random(WORDS / 4) },
      { kind: 'unload', afterFragments: random(WORDS / 4) },
      { kind: 'answer-error', message: 'Something broke.', afterFragments: random(WORDS / 4) },
    ]
    const three = [0, 1, 2].map((n) => faults[(random(faults.length) + n) % faults.length]).filter((fault) => fault !== undefined)
    server.faults.add(...three)
    const { reply } = await told(mai, 'Tell me.')
    expect(reply?.attempts.filter(({ outcome }) => outcome === 'failed').length).toBeGreaterThanOrEqual(3)
    await expectHealthy(mai)
  })

  it('with anything at all, many times in a row', async () => {
    const { mai, server } = await world({ gapMs: 400, loadIdleMs: 400 })
    for (let round = 0; round < 6; round++) {
      const kinds: readonly (() => Fault)[] = [
        () => ({ kind: 'drop-socket', afterFragments: somewhere(), refuseForMs: random(200) }),
        () => ({ kind: 'kill-server', afterFragments: somewhere(), restartAfterMs: random(200) }),
        () => ({ kind: 'unload', afterFragments: somewhere() }),
        () => ({ kind: 'crash', afterFragments: somewhere() }),
        () => ({ kind: 'empty' }),
        () => ({ kind: 'overflow' }),
        () => ({ kind: 'crash-load' }),
        () => ({ kind: 'refuse-load' }),
        () => ({ kind: 'hang-load' }),
        () => ({ kind: 'fail-load' }),
      ]
      for (let n = 1 + random(2); n > 0; n--) server.faults.add((kinds[random(kinds.length)] ?? (() => ({ kind: 'empty' }) as const))())
      await told(mai, `Round ${round}.`)
    }
    server.faults.clear()
    await expectHealthy(mai)
  })
})
