import { describe, expect, it, onTestFinished } from 'vitest'
import { type Explanation, explainTurn, type Step } from '../../../src/chat/decisions/explanation.ts'
import { createMai, type Mai } from '../../../src/chat/mai.ts'
import type { SwitchingPolicy } from '../../../src/chat/policy.ts'
import type { Store } from '../../../src/chat/store.ts'
import { compression } from '../../../src/plugins/compression/index.ts'
import { store } from '../../../src/plugins/store/index.ts'
import { switching, switchingPolicy } from '../../../src/plugins/switching/index.ts'
import { resourceTrace } from '../../../src/testing/resource-trace.ts'
import { scriptedBackend } from '../../../src/testing/scripted-backend.ts'
import { openStore, temporaryFile } from '../../plugins/store/harness.ts'
import { candidate, OPTIONS, request } from '../../plugins/switching/support.ts'

const GB = 1e9

/** What happened, in short. */
function told({ steps }: Explanation): string[] {
  return steps.map((step: Step) => {
    if (step.type === 'decision') return `decision ${step.decision.model} (${step.decision.reason})`
    if (step.type === 'struggle') return `struggle ${step.request.kind}`
    if (step.type === 'switched') return `switched ${step.from} to ${step.to}${step.rescue ? ', a rescue' : ''}`
    return `${step.type} ${step.model}`
  })
}

async function explained(from: Store, policy: SwitchingPolicy, turnId?: string): Promise<Explanation> {
  const explanation = await explainTurn(from, policy, turnId)
  if (!explanation) throw new Error('nothing was recorded')
  return explanation
}

async function talking(gapMs: number): Promise<Mai> {
  const machine = resourceTrace()
  const { plugin } = scriptedBackend(
    [
      { id: 'big', sizeBytes: 4 * GB, answer: 'One two three four.', faults: [{ kind: 'stall', afterPieces: 2 }] },
      { id: 'small', sizeBytes: GB, answer: 'One two three four.' },
    ],
    { machine },
  )
  const mai = await createMai({
    plugins: [store({ file: await temporaryFile() }), machine.plugin, switching(), compression(), plugin],
    turn: { gapMs },
  })
  onTestFinished(() => mai.shutdown())
  return mai
}

describe('two turns at once in one process', () => {
  it('are explained each by what happened in it', async () => {
    const mai = await talking(1500)
    // Begins while the first stands still, and is over before that is noticed.
    const second = new Promise<string>((resolve, reject) => {
      mai.on('generation.started', ({ model }) => {
        if (model !== 'scripted/big') return
        const other = mai.processMessage('The other.', { sessionId: 'other', model: 'scripted/small' })
        other.then(({ turnId }) => resolve(turnId), reject)
      })
    })
    for (const id of ['one', 'other']) await mai.store.createSession({ id, title: id, time: Date.now() })
    const first = await mai.processMessage('The one.', { sessionId: 'one' })
    const policy = mai.kernel.context.use('policy')
    const one = await explained(mai.store, policy, first.turnId)
    const other = await explained(mai.store, policy, await second)
    expect(told(one)).toEqual([
      'decision scripted/big (most-efficient)',
      'loaded scripted/big',
      'failed scripted/big',
      'struggle stall',
      'decision scripted/small (rescue)',
      'switched scripted/big to scripted/small, a rescue',
      'finished scripted/small',
    ])
    expect(told(other)).toEqual([
      'decision scripted/small (requested)',
      'loaded scripted/small',
      'switched scripted/big to scripted/small',
      'finished scripted/small',
    ])
    for (const explanation of [one, other]) expect(explanation).toMatchObject({ same: true, exact: true })
  })
})

describe('records of former versions, which do not say of which turn they are', () => {
  it('go to the turn that was decided last before them', async () => {
    const from = await openStore()
    const policy = switchingPolicy(OPTIONS)
    const asked = request([candidate({ model: 'a' }), candidate({ model: 'b' })])
    const decided = (turnId: string): Parameters<Store['appendRecord']>[0] => {
      const question = { ...asked, turnId }
      const payload = { request: question, decision: policy.select(policy.initial(), question) }
      return { run: 'r', time: 1, type: 'model.selected', payload }
    }
    await from.appendRecord({ run: 'r', time: 1, type: 'run.started', payload: { pid: 1, foldedThrough: 0 } })
    await from.appendRecord(decided('t1'))
    await from.appendRecord({ run: 'r', time: 2, type: 'model.loaded', payload: { model: 'a', contextLength: 8192, ms: 1 } })
    await from.appendRecord(decided('t2'))
    const finished = { model: 'a', ms: 2, firstTokenMs: 1, completionTokens: 3 }
    await from.appendRecord({ run: 'r', time: 3, type: 'generation.finished', payload: finished })
    expect(told(await explained(from, policy, 't1')).slice(1)).toEqual(['loaded a'])
    expect(told(await explained(from, policy, 't2')).slice(1)).toEqual(['finished a'])
  })
})
