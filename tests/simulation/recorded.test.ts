import { describe, expect, it } from 'vitest'
import type { PolicyRecords, RecordType } from '../../src/chat/policy.ts'
import { recordedTrace } from '../../src/chat/simulation/recorded.ts'
import { openStore } from '../plugins/store/harness.ts'
import { candidate, request } from '../plugins/switching/support.ts'

const asked = request([candidate({ model: 'a', gb: 1 }), candidate({ model: 'b', gb: 2 })])
const decision = { model: 'a', contextLength: 8192, reason: 'most-efficient', fallbacks: [], candidates: [] }

function decided(turnId: string, sessionId: string): PolicyRecords['model.selected'] {
  return { request: { ...asked, turnId, sessionId }, decision }
}

function finished(completionTokens: number, turnId?: string): PolicyRecords['generation.finished'] {
  return { ...(turnId === undefined ? {} : { turnId }), model: 'a', ms: 1000, firstTokenMs: 100, completionTokens }
}

type Line = { [T in RecordType]: readonly [T, PolicyRecords[T]] }[RecordType]

async function traced(lines: readonly Line[]): Promise<unknown[]> {
  const store = await openStore()
  for (const [index, [type, payload]] of lines.entries()) await store.appendRecord({ run: 'r', time: 1000 + 10 * index, type, payload })
  const trace = await recordedTrace(store, 0)
  return (trace?.events ?? []).flatMap((event) => {
    if (event.type === 'message') return [`${event.session} at ${event.at}: ${event.answerTokens}`]
    return event.type === 'fault' ? [`${event.kind} of ${event.model} at ${event.at}`] : []
  })
}

describe('a trace from the log', () => {
  it('gives each of two turns at once its own answer and its own trouble', async () => {
    const events = await traced([
      ['model.selected', decided('t1', 'one')],
      ['model.selected', decided('t2', 'other')],
      ['generation.failed', { turnId: 't1', model: 'b', kind: 'loop', code: 'loop' }],
      ['generation.finished', finished(20, 't2')],
      ['generation.finished', finished(10, 't1')],
    ])
    expect(events.toSorted()).toEqual(['loop of b at 0', 'one at 0: 10', 'other at 10: 20'])
  })

  it('takes records that do not say of which turn they are for the newest one', async () => {
    const events = await traced([
      ['model.selected', decided('t1', 'one')],
      ['generation.finished', finished(10)],
      ['model.selected', decided('t2', 'other')],
      ['generation.finished', finished(20)],
    ])
    expect(events).toEqual(['one at 0: 10', 'other at 20: 20'])
  })

  it('counts a message without an answer as one of usual length', async () => {
    const events = await traced([
      ['model.selected', decided('t1', 'one')],
      ['model.selected', decided('t2', 'one')],
      ['generation.finished', finished(20, 't2')],
      ['model.selected', decided('t3', 'other')],
    ])
    expect(events).toEqual(['one at 0: 300', 'one at 10: 20', 'other at 30: 300'])
  })
})
