import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Explanation, explainTurn } from '../../../src/chat/decisions/explanation.ts'
import { Journal } from '../../../src/chat/decisions/journal.ts'
import type { Candidate, SelectionRequest, SwitchingPolicy } from '../../../src/chat/policy.ts'
import { explanationLines } from '../../../src/cli/explain/view.ts'
import { createKernel, type Kernel } from '../../../src/core/kernel.ts'
import { createStore, type OpenStore } from '../../../src/plugins/store/store.ts'
import { switchingPolicy } from '../../../src/plugins/switching/index.ts'
import { openStore } from '../../plugins/store/harness.ts'
import { candidate, GB, OPTIONS, request } from '../../plugins/switching/support.ts'

const START = Date.UTC(2026, 10, 24, 12)
const policy = switchingPolicy(OPTIONS)
let kernel: Kernel
beforeAll(async () => {
  kernel = createKernel({ plugins: [], lists: [], hooks: {} })
  await kernel.start()
})
afterAll(() => kernel.close())

/** A run of Mai on a clock of its own. */
class Run {
  readonly store: OpenStore
  readonly journal: Journal
  now = START
  constructor(store: OpenStore, by: SwitchingPolicy = policy, name = 'run-1') {
    this.store = store
    this.journal = new Journal(kernel.context, by, store, name, () => this.now)
  }
  async decide(turnId: string, asked: SelectionRequest, changes: Partial<SelectionRequest> = {}): Promise<string | undefined> {
    const { model } = await this.journal.select({ ...asked, time: this.now, sessionId: 's', turnId, ...changes })
    await this.journal.settled()
    return model
  }
  async switched(from: string, to: string, reason: string, rescue = false, turnId?: string): Promise<void> {
    await this.journal.record('model.switched', { turnId, from, to, reason, rescue })
  }
}

const small = candidate({ model: 'lmstudio/qwen2.5-1.5b', gb: 1.3, kvGb: 0.2, parameters: 1.5e9 })
const middle = candidate({ model: 'lmstudio/qwen2.5-7b', gb: 5.2, kvGb: 0.6, parameters: 7.6e9 })
const large = candidate({ model: 'lmstudio/gemma-27b', gb: 18, kvGb: 1.5, parameters: 27e9 })
const far = candidate({ model: 'office/llama-70b', gb: 40, remote: true, allowed: false })
const loaded = (model: Candidate): Candidate => ({
  ...model,
  loadedContextLength: model.plannedContextLength,
  ownBytes: model.memory.totalBytes,
})
const all = [small, middle, large]
const MINUTE = 60_000
const free = (freeGb: number, level: 'normal' | 'pressured' | 'critical' = 'normal'): Parameters<typeof request>[1] => ({ freeGb, level })
const pressed = { level: 'critical', availableBytes: 1e9, totalBytes: 20e9 } as const

/** Each kind of decision, in the way it comes about. */
const KINDS: Readonly<Record<string, (run: Run) => Promise<unknown>>> = {
  'most-efficient': (run) => run.decide('t', request(all, free(12.1))),
  'shorter-window': (run) => run.decide('t', request([small, candidate({ model: 'roomy', gb: 6, kvGb: 2 }), large], free(9.1))),
  requested: (run) => run.decide('t', request(all, { ...free(12.1), requested: small.model })),
  pinned: async (run) => {
    await run.journal.record('pin.changed', { model: large.model })
    await run.decide('t', request(all, free(12.1)))
  },
  'still-best': (run) => run.decide('t', request([small, loaded(middle), large], { ...free(7), current: middle.model })),
  'close-enough': (run) => {
    const twins = [candidate({ model: 'a', gb: 2, loaded: true }), candidate({ model: 'b', gb: 2.02, loaded: true })]
    return run.decide('t', request(twins, { ...free(12.1), current: 'a' }))
  },
  dwell: async (run) => {
    await run.switched(middle.model, small.model, 'downgrade')
    run.now += 10_000
    await run.decide('t', request([loaded(small), middle, large], { ...free(12), current: small.model }))
  },
  'not-calm-yet': async (run) => {
    await run.switched(middle.model, small.model, 'downgrade')
    run.now += MINUTE
    await run.decide('t', request([loaded(small), middle, large], { ...free(12), current: small.model }))
  },
  upgrade: async (run) => {
    await run.switched(middle.model, small.model, 'downgrade')
    run.now += 6 * MINUTE
    await run.decide('t', request([loaded(small), middle, large], { ...free(12), current: small.model }))
    await run.journal.record('model.loaded', { turnId: 't', model: middle.model, contextLength: 8192, ms: 3210 })
    await run.switched(small.model, middle.model, 'upgrade', false, 't')
    await run.journal.record('generation.finished', {
      turnId: 't',
      model: middle.model,
      ms: 4200,
      firstTokenMs: 300,
      completionTokens: 180,
    })
  },
  downgrade: async (run) => {
    await run.journal.record('resources.pressured', pressed)
    await run.decide('t', request([small, loaded(middle), large], { ...free(1.5, 'critical'), current: middle.model }))
  },
  rescue: async (run) => {
    await run.decide('t', request(all, free(12.1)))
    await run.journal.record('generation.failed', { turnId: 't', model: middle.model, kind: 'loop', code: 'loop' })
    await run.journal.onStruggle({
      time: run.now,
      turnId: 't',
      model: middle.model,
      kind: 'loop',
      error: undefined,
      transient: false,
      retryAfterMs: undefined,
      attempts: 1,
      attemptsOnModel: 1,
      releasedChars: 1234,
      alternatives: 1,
      random: 0.5,
    })
    await run.decide('t', request([small, loaded(middle), large], free(7)), { purpose: 'rescue', failed: [middle.model] })
    await run.switched(middle.model, small.model, 'loop', true, 't')
  },
  'load-refused': async (run) => {
    await run.decide('t', request(all, free(12.1)))
    await run.journal.record('model.load.failed', { turnId: 't', model: middle.model, code: 'MAI_LOAD_REFUSED', memory: true })
    await run.decide('t', request(all, free(12.1)), { purpose: 'rescue', failed: [middle.model] })
  },
  circuit: async (run) => {
    for (let i = 0; i < 3; i++) {
      await run.journal.record('generation.failed', { model: middle.model, kind: 'crashed', code: 'MAI_MODEL_CRASHED' })
      run.now += 1000
    }
    await run.decide('t', request([small, loaded(middle)], { ...free(7), current: middle.model }))
  },
  needs: (run) => {
    const seeing = candidate({ model: 'lmstudio/qwen2.5-vl-7b', gb: 5.5, vision: true })
    const needs = { contextTokens: 1900, vision: true, tools: false, task: 'image' } as const
    return run.decide('t', request([loaded(middle), seeing], { ...free(10), current: middle.model, needs }))
  },
  gone: (run) => run.decide('t', request([small, middle], { ...free(12), current: 'lmstudio/deleted' })),
  'remote-excluded': (run) => run.decide('t', request([small, far], free(12.1))),
  'remote-allowed': (run) => run.decide('t', request([small, { ...far, allowed: true, parameters: 70e9 }], free(12.1))),
  'remote-left': (run) => run.decide('t', request([small, far], { ...free(12.1), current: far.model })),
  'last-resort': (run) => {
    const needs = { contextTokens: 1024, vision: false, tools: false, script: 'thai' } as const
    return run.decide('t', request([candidate({ model: 'lmstudio/smollm2-1.7b', gb: 1.2 }), large], { ...free(9), needs }))
  },
  widest: (run) => run.decide('t', request(all, { ...free(12.1), needs: { contextTokens: 40_000, vision: false, tools: false } })),
  tight: (run) => run.decide('t', request(all, free(4.5))),
  smallest: (run) => run.decide('t', request(all, free(1.9))),
  minimal: async (run) => {
    await run.journal.record('resources.pressured', pressed)
    await run.decide('t', request(all, free(1, 'critical')))
  },
  none: (run) => run.decide('t', request(all, { ...free(12), needs: { contextTokens: 1024, vision: true, tools: false } })),
  many: (run) => {
    const crowd = Array.from({ length: 30 }, (_, i) => candidate({ model: `lmstudio/m${i}`, gb: 1 + i }))
    return run.decide('t', request(crowd, free(12.1)))
  },
}

async function explained(run: Run, turnId?: string, by: SwitchingPolicy = policy): Promise<Explanation> {
  const explanation = await explainTurn(run.store, by, turnId)
  if (!explanation) throw new Error('nothing was recorded')
  return explanation
}

describe('a decision, explained', () => {
  it.each(Object.keys(KINDS))('%s, in words that stay as they are', async (kind) => {
    const run = new Run(await openStore())
    await KINDS[kind]?.(run)
    await run.journal.settled()
    const explanation = await explained(run)
    expect(explanation).toMatchObject({ same: true, exact: true })
    await expect(`${explanationLines(explanation).join('\n')}\n`).toMatchFileSnapshot(
      path.resolve('tests/cli/explain/golden', `${kind}.txt`),
    )
  })
})

describe('a replay', () => {
  it('is the same bit for bit after snapshots, in a second run, and beside another run', async () => {
    const store = await openStore()
    const first = new Run(store, policy, 'one')
    const other = new Run(store, policy, 'two')
    const asked = (index: number): SelectionRequest =>
      request([index % 3 === 0 ? loaded(small) : small, middle, large], { ...free(6 + (index % 9)), current: small.model })
    for (let index = 0; index < 700; index++) {
      for (const run of [first, other]) {
        run.now += 20_000
        await run.decide(`${run === first ? 'a' : 'b'}${index}`, asked(index))
        await run.journal.record('generation.finished', {
          model: index % 2 === 0 ? small.model : middle.model,
          ms: 1000 + index,
          firstTokenMs: 100,
          completionTokens: 50,
        })
        if (index % 50 === 7) await run.journal.record('generation.failed', { model: middle.model, kind: 'loop', code: 'loop' })
      }
    }
    const third = new Run(store, policy, 'three')
    third.now = first.now
    await third.decide('c', asked(1))
    for (const id of ['a0', 'a3', 'b450', 'a699', 'b699', 'c'])
      expect(await explained(third, id), id).toMatchObject({ same: true, exact: true, turnId: id })
  }, 60_000)

  it('says so when the policy now decides otherwise', async () => {
    const run = new Run(await openStore())
    await run.decide('t', request(all, free(12.1)))
    const cautious = { ...switchingPolicy({ ...OPTIONS, headroom: 0.5 }), version: 99 }
    const explanation = await explained(run, 't', cautious)
    expect(explanation).toMatchObject({ same: false, exact: false, decidedBy: { name: 'switching', version: policy.version } })
    expect(explanationLines(explanation).join('\n')).toMatch(/switching 99 decides differently: .+ \((tight|most-efficient)\)\./)
  })

  it('holds a whole decision among 200 models in a few kilobytes', async () => {
    const store = await openStore()
    const run = new Run(store)
    const crowd = Array.from({ length: 200 }, (_, i) => candidate({ model: `lmstudio/model-number-${i}`, gb: 1 + i / 10 }))
    for (let turn = 0; turn < 5; turn++) {
      const one = crowd.map((c, i) => (i === turn ? loaded(c) : c))
      await run.decide(`t${turn}`, request(one, { ...free(12), current: crowd[turn]?.model }))
    }
    const written = await store.records({ type: 'model.selected' })
    for (const { payload } of written) expect(JSON.stringify(payload).length).toBeLessThan(6000)
    expect(await store.records({ type: 'candidates.listed' })).toHaveLength(1)
    const { steps } = await explained(run, 't4')
    const [step] = steps
    expect(step?.type === 'decision' && step.request.candidates.length).toBe(200)
    expect(step?.type === 'decision' && step.request.candidates[4]).toEqual({
      ...loaded(crowd[4]!),
      reclaimableBytes: crowd[4]!.memory.totalBytes,
    })
  })

  it('gives back whatever a policy of another kind answered', async () => {
    const plain: SwitchingPolicy<null> = {
      name: 'plain',
      version: 1,
      initial: () => null,
      reduce: () => null,
      select: (_, { candidates }) => ({
        model: candidates[1]?.model,
        contextLength: 7,
        reason: 'mine',
        fallbacks: ['elsewhere'],
        candidates: [],
      }),
      onStruggle: () => ({ action: 'fail', reason: 'mine', delayMs: 0 }),
    }
    const store = await openStore()
    const run = new Run(store, plain)
    for (const id of ['t1', 't2']) await run.decide(id, request(all, free(12.1)))
    expect(await store.records({ type: 'candidates.listed' })).toHaveLength(1)
    const explanation = await explained(run, 't2', plain)
    expect(explanation).toMatchObject({ same: true, exact: true, decidedBy: { name: 'plain' } })
    expect(explanationLines(explanation)).toContain(`Mai used ${middle.model} (mine).`)
  })

  it('names the nearest turns for an id that is not there, and says when there is none at all', async () => {
    const store = await openStore()
    expect(await explainTurn(store, policy, undefined)).toBeUndefined()
    const run = new Run(store)
    for (const id of ['abc1', 'abd2']) await run.decide(id, request(all))
    await expect(explainTurn(store, policy, 'abc2')).rejects.toMatchObject({
      code: 'MAI_UNKNOWN_TURN',
      details: { nearest: expect.arrayContaining(['abc1']) },
    })
    await expect(explainTurn(store, policy, 'ab')).rejects.toMatchObject({ details: { nearest: ['abd2', 'abc1'] } })
    expect((await explained(run, 'abc')).turnId).toBe('abc1')
  })

  it('survives the process: another one explains from the same file', async () => {
    const store = await openStore()
    const run = new Run(store)
    await run.decide('t', request(all, free(12.1)))
    const again = createStore({ file: store.location, ownFolder: false })
    try {
      expect((await explainTurn(again, policy, 't'))?.same).toBe(true)
    } finally {
      await again.close()
    }
  })
})

it('all figures in golden files come from these sizes', () => {
  expect(middle.memory.totalBytes).toBe(5.2 * GB)
})
