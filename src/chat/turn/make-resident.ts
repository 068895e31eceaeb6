/**
 * Getting the chosen model into memory: the same one with a shorter context before another one.
 *
 * @module
 */
import { toErrorFact } from '../../core/errors.ts'
import { settingsFor } from '../decisions/situation.ts'
import { traitsOf } from '../failure.ts'
import type { Hold } from '../residency/residents.ts'
import type { Attempts } from './attempts.ts'
import type { Choice } from './choice.ts'
import { notSmaller, shorterContext } from './degradation.ts'
import type { Interruption } from './interruption.ts'
import type { TurnParts } from './turn-parts.ts'

/**
 * Where memory is refused, the window is halved, down to what the conversation needs.
 * @param contextTokens smallest window that serves
 * @returns undefined when it cannot be loaded, which counts as a failed attempt
 * @throws the interruption's reason
 */
export async function makeResident(
  parts: TurnParts,
  turnId: string,
  choice: Choice,
  contextTokens: number,
  attempts: Attempts,
  interruption: Interruption,
): Promise<Hold | undefined> {
  const { residency, journal, ctx, now } = parts
  const { model, decision } = choice
  const began = now()
  const settings = { ...settingsFor(model, parts.models), ...(choice.cpuOnly ? { gpuLayers: 'off' as const } : {}) }
  let contextLength = Math.max(contextTokens, Math.min(decision.contextLength, attempts.shortened.get(model.key) ?? Infinity))
  for (;;) {
    try {
      const wanted = { model, settings: { ...settings, contextLength }, contextTokens }
      const hold = await (residency.present(wanted) ?? residency.acquire({ ...wanted, signal: interruption.signal }))
      if (hold.loadMs > 0) {
        const loaded = { turnId, model: model.key, contextLength: hold.instance.contextLength, ms: hold.loadMs }
        await journal.record('model.loaded', loaded)
        ctx.emit('model.loaded', loaded)
      }
      return hold
    } catch (error) {
      if (interruption.aborted) throw error
      const { memory, kind } = traitsOf(error)
      // A refusal is cheap and may be repeated; a crash is neither.
      const mayShrink = memory && !(kind === 'crashed' && attempts.shortened.has(model.key))
      const shorter = mayShrink ? shorterContext(contextLength, contextTokens) : undefined
      if (shorter === undefined) {
        await failed(parts, turnId, choice, attempts, error, now() - began)
        return undefined
      }
      attempts.shortened.set(model.key, shorter)
      contextLength = shorter
    }
  }
}

async function failed(
  { catalogue, journal, ctx }: TurnParts,
  turnId: string,
  { model, request }: Choice,
  attempts: Attempts,
  error: unknown,
  ms: number,
): Promise<void> {
  const { memory, kind } = traitsOf(error)
  const fact = toErrorFact(error)
  // What was listed before the backend went says nothing now: ask, and wait for it, before the next candidate.
  if (kind === 'backend-lost') catalogue.invalidate()
  attempts.cause = error
  attempts.ended({ model: model.key, outcome: 'failed', code: fact.code, ms })
  attempts.giveUp(model.key, 'load-failed')
  // What is as large would not fit either.
  if (memory) {
    attempts.outOfMemory = true
    for (const other of notSmaller(request.candidates, model.key)) attempts.failed.add(other)
  }
  await journal.record('model.load.failed', { turnId, model: model.key, code: fact.code, memory })
  ctx.emit('model.load.failed', { turnId, model: model.key, error: fact })
}
