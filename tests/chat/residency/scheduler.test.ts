import { describe, expect, it } from 'vitest'
import { isMaiError } from '../../../src/core/errors.ts'
import { seeded } from '../virtual-clock.ts'
import { GB, type LoadFate, World } from './residency-world.ts'

/** Who comes and goes in memory, in a time of its own. */

/** Schedules in each run: ten thousand in `npm run test:chaos`. */
const SCHEDULES = Number(process.env.MAI_TEST_SCHEDULES ?? 1_000)
const SEED = Number(process.env.MAI_TEST_SEED ?? 20_261_124)

const HOUR_MS = 3_600_000

describe('requests for models', () => {
  it('queued together, A B C A B C, cost at most three swaps when two fit', async () => {
    for (const answerMs of [0, 10, 5_000]) {
      const world = new World({ totalBytes: 10 * GB, sizes: { a: 4 * GB, b: 4 * GB, c: 4 * GB } })
      const answers = ['a', 'b', 'c', 'a', 'b', 'c'].map((id) => world.answer(id, answerMs))
      await world.clock.run(HOUR_MS)
      expect(await Promise.all(answers)).toHaveLength(6)
      expect(world.violations).toEqual([])
      expect(world.evictions.length).toBeLessThanOrEqual(3)
    }
  })

  it('one after the other, A B C A B C, cost at most three swaps too, however long each answers', async () => {
    const world = new World({ totalBytes: 10 * GB, sizes: { a: 4 * GB, b: 4 * GB, c: 4 * GB } })
    const answers = ['a', 'b', 'c', 'a', 'b', 'c'].map((id, turn) => {
      let answer: Promise<unknown> = Promise.resolve()
      world.clock.after(turn * 50, () => {
        answer = world.answer(id, 10_000)
      })
      return () => answer
    })
    await world.clock.run(HOUR_MS)
    for (const answer of answers) expect(await answer()).toBe('answered')
    expect(world.evictions.length).toBeLessThanOrEqual(3)
  })

  it('for what cannot fit are refused in under 50 ms, and nothing is evicted for them', async () => {
    const world = new World({ totalBytes: 10 * GB, sizes: { a: 4 * GB, huge: 40 * GB } })
    const first = world.answer('a', 10)
    await world.clock.run(HOUR_MS)
    await first
    const began = performance.now()
    await expect(world.answer('huge', 10)).rejects.toMatchObject({ code: 'MAI_LOAD_REFUSED', message: expect.stringContaining('40.0 GB') })
    expect(performance.now() - began).toBeLessThan(50)
    expect([world.evictions, world.loads]).toEqual([[], ['a']])
  })

  it('that wait for a busy model get their turn, however many newcomers would keep it busy', async () => {
    const world = new World({ totalBytes: 5 * GB, sizes: { a: 4 * GB, b: 4 * GB } })
    const ends: number[] = []
    const ask = (id: string, at: number): void => {
      world.clock.after(at, () => void world.answer(id, 1_000).then(() => ends.push(id === 'b' ? world.clock.now() : 0)))
    }
    for (let turn = 0; turn < 200; turn++) ask('a', turn * 100)
    ask('b', 550)
    await world.clock.run(HOUR_MS)
    expect(ends).toHaveLength(201)
    expect(Math.max(...ends) - 1_000_000).toBeLessThan(5_000)
    expect(world.violations).toEqual([])
  })

  it('evict only as much as is needed for what comes', async () => {
    const world = new World({ totalBytes: 20 * GB, sizes: { a: 1 * GB, b: 6 * GB, c: 5 * GB, d: 8 * GB } })
    for (const id of ['a', 'b', 'c']) void world.answer(id, 0)
    await world.clock.run(HOUR_MS)
    const last = world.answer('d', 0)
    await world.clock.run(HOUR_MS)
    await last
    expect(world.evictions).toEqual(['b'])
  })

  it('wait until the memory of an unloaded model really comes back, and no longer than five seconds', async () => {
    const world = new World({ totalBytes: 5 * GB, sizes: { a: 4 * GB, b: 4 * GB }, returnMs: () => 1_100 })
    void world.answer('a', 0)
    await world.clock.run(HOUR_MS)
    const began = world.clock.now()
    const second = world.answer('b', 0).then(() => world.clock.now() - began)
    await world.clock.run(HOUR_MS)
    expect(await second).toBe(1_250 + 100)
    const stubborn = new World({ totalBytes: 5 * GB, sizes: { a: 4 * GB, b: 4 * GB }, returnMs: () => 1e8 })
    void stubborn.answer('a', 0)
    await stubborn.clock.run(HOUR_MS)
    const before = stubborn.clock.now()
    const late = stubborn.answer('b', 0).then(() => stubborn.clock.now() - before)
    await stubborn.clock.run(HOUR_MS)
    expect(await late).toBe(5_000 + 100)
  })

  it('do not wait for the next sample of a machine whose memory is back at once', async () => {
    const world = new World({ totalBytes: 5 * GB, sizes: { a: 4 * GB, b: 4 * GB }, sampleMs: 2_000 })
    void world.answer('a', 0)
    await world.clock.run(HOUR_MS)
    const began = world.clock.now()
    const second = world.answer('b', 0).then(() => world.clock.now() - began)
    await world.clock.run(HOUR_MS)
    expect(await second).toBe(100)
  })

  it('in the background evict nothing and give way within 100 ms', async () => {
    const world = new World({ totalBytes: 10 * GB, sizes: { a: 4 * GB, b: 5 * GB, c: 3 * GB }, loadMs: () => 10_000 })
    void world.answer('a', 0)
    await world.clock.run(HOUR_MS)
    await expect(world.answer('b', 0, undefined, true)).rejects.toMatchObject({ code: 'MAI_LOAD_REFUSED' })
    const preload = world.answer('c', 0, undefined, true).catch((error: unknown) => (isMaiError(error) ? error.code : error))
    const began = world.clock.now()
    let gaveWay = 0
    void preload.then(() => {
      gaveWay = world.clock.now() - began
    })
    world.clock.after(3_000, () => void world.answer('b', 0))
    await world.clock.run(HOUR_MS)
    expect(await preload).toBe('MAI_LOAD_YIELDED')
    expect(gaveWay - 3_000).toBeLessThanOrEqual(100)
    expect(world.loaded).toContain('b')
  })

  it('joins a load that runs already, also one begun in the background, and one failure is told to all', async () => {
    const fates: LoadFate[] = ['ok', 'fail']
    const world = new World({
      totalBytes: 10 * GB,
      sizes: { a: 4 * GB, b: 2 * GB },
      loadMs: () => 1_000,
      fate: () => fates.shift() ?? 'ok',
    })
    const background = world.answer('a', 0, undefined, true)
    world.clock.after(500, () => void world.answer('a', 0))
    await world.clock.run(HOUR_MS)
    await background
    expect(world.loads).toEqual(['a'])
    const three = Promise.allSettled([world.answer('b', 0), world.answer('b', 0), world.answer('b', 0)])
    await world.clock.run(HOUR_MS)
    expect((await three).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(world.loads).toEqual(['a', 'b'])
  })

  it(`in ${SCHEDULES} random schedules each resolve once; no answer is killed, no lease broken, nothing hangs`, {
    timeout: 600_000,
  }, async () => {
    let answered = 0
    for (let round = 0; round < SCHEDULES; round++) {
      const seed = SEED + round
      answered += await schedule(seed)
    }
    expect(answered).toBeGreaterThan(SCHEDULES)
  })
})

/** One random schedule. @returns requests that were answered */
async function schedule(seed: number): Promise<number> {
  const random = seeded(seed)
  const upTo = (n: number): number => Math.floor(random() * n)
  const ids = ['a', 'b', 'c', 'd', 'e'].slice(0, 2 + upTo(4))
  const sizes = Object.fromEntries(ids.map((id) => [id, (0.5 + random() * 6) * GB]))
  const fate = (): LoadFate => {
    const dice = random()
    return dice < 0.8 ? 'ok' : dice < 0.88 ? 'refuse' : dice < 0.96 ? 'fail' : 'hang'
  }
  const world = new World({
    totalBytes: (4 + upTo(10)) * GB,
    sizes,
    loadMs: () => upTo(3_000),
    fate,
    returnMs: () => upTo(2) * upTo(3_000),
  })
  const pick = (): string => ids[upTo(ids.length)] ?? 'a'
  const outcomes: string[][] = []
  const requests = 2 + upTo(8)
  for (let n = 0; n < requests; n++) {
    const outcome: string[] = []
    outcomes.push(outcome)
    const [id, ms, background] = [pick(), upTo(4_000), random() < 0.15]
    const stop = new AbortController()
    world.clock.after(upTo(2) * upTo(5_000), () => {
      void world.answer(id, ms, stop.signal, background).then(
        () => outcome.push('answered'),
        (error: unknown) => outcome.push(isMaiError(error) ? error.code : String(error)),
      )
      if (random() < 0.25) world.clock.after(upTo(5_000), () => stop.abort(new Error('cancelled')))
    })
  }
  for (let n = upTo(4); n > 0; n--) {
    const [id, dice] = [pick(), random()]
    world.clock.after(upTo(8_000), () => {
      const instance = world.instanceOf(id)
      if (dice < 0.25) world.lease(id)
      else if (dice < 0.5) world.foreign.clear()
      else if (dice < 0.65) void world.residency.tidy(undefined, 'test')
      else if (dice < 0.8 && instance) world.unloadAsked(instance)
      else if (dice < 0.9) world.otherBytes = random() * 4 * GB
      else if (instance) world.residency.keep(instance)
    })
  }
  await world.clock.run(HOUR_MS)
  if (world.violations.length > 0 || outcomes.some((outcome) => outcome.length !== 1)) {
    throw new Error(`Seed ${seed}: ${world.violations.join('; ')} outcomes ${JSON.stringify(outcomes)}`)
  }
  return outcomes.filter(([outcome]) => outcome === 'answered').length
}
