/**
 * Plays every scenario on one backend, with every seed.
 *
 * @module
 */
import { describe, expect, it } from 'vitest'
import { SCENARIOS } from './scenarios.ts'
import { type BackendName, open, type Stages } from './stages.ts'
import { expectHealthy, SEEDS, seeded, THOROUGH, told } from './support.ts'

/** The tests of one backend. */
export function playScenarios<B extends BackendName>(backend: B, set: (typeof open)[B] = open[backend]): void {
  describe.each(SEEDS)(`${backend}, seed %i`, { timeout: 180_000 }, (seed) => {
    for (const { name, turn, ownProcess = false, on, ends, check, rounds = 1, thorough = [] } of SCENARIOS) {
      const harm = on[backend]
      if ('not' in harm) {
        it.skip(`${name}: ${backend} ${harm.not}`)
        continue
      }
      it.skipIf(thorough.includes(backend) && !THOROUGH)(name, async () => {
        const random = seeded(seed)
        const stage = await set({ turn: turn?.[backend] ?? {}, ownProcess })
        for (let round = 0; round < rounds; round++) {
          const harmed = await harm(stage as Stages[B], random)
          const outcome = await told(stage.mai, `Round ${round}.`, { ...stage.telling, ...(harmed?.onText && { onText: harmed.onText }) })
          if (ends !== 'either') expect(outcome.error === undefined, String(outcome.error)).toBe(ends !== 'error')
          if (ends === 'whole') expect(outcome.reply?.attempts.length).toBeGreaterThan(1)
          check?.(outcome, backend)
          await harmed?.mend?.()
        }
        if ('server' in stage) stage.server.faults.clear()
        await expectHealthy(stage.mai, stage.telling)
        await stage.mai.shutdown()
        expect(stage.leftovers()).toEqual([])
      })
    }
  })
}
