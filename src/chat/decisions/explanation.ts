/**
 * Why a turn went as it went: its decisions and struggles from the log, each put to the policy again.
 *
 * @module
 */
import { isDeepStrictEqual } from 'node:util'
import { toErrorFact } from '../../core/errors.ts'
import { chatErrors } from '../failure.ts'
import type { ModelKey } from '../model.ts'
import { nearest } from '../nearest.ts'
import type { Decision, OfTurn, RecordedEvent, SelectionRequest, StruggleDecision, StruggleRequest, SwitchingPolicy } from '../policy.ts'
import type { Store } from '../store.ts'
import { type Recorded, stateBefore } from './replay.ts'
import { RecordReader } from './selection-record.ts'

/** Whether asking again gives what was recorded. */
export type Replay<D> = { readonly same: true } | { readonly same: false; readonly now: D | undefined; readonly error?: string }

/** One thing that happened in a turn. Times are epoch ms. */
export type Step =
  | {
      readonly type: 'decision'
      readonly seq: number
      readonly time: number
      readonly request: SelectionRequest
      readonly decision: Decision
      readonly replay: Replay<Decision>
    }
  | {
      readonly type: 'struggle'
      readonly seq: number
      readonly time: number
      readonly request: StruggleRequest
      readonly decision: StruggleDecision
      readonly replay: Replay<StruggleDecision>
    }
  | { readonly type: 'loaded'; readonly time: number; readonly model: ModelKey; readonly contextLength: number; readonly ms: number }
  | { readonly type: 'load-failed'; readonly time: number; readonly model: ModelKey; readonly code: string; readonly memory: boolean }
  | {
      readonly type: 'switched'
      readonly time: number
      readonly from: ModelKey
      readonly to: ModelKey
      readonly reason: string
      readonly rescue: boolean
    }
  | { readonly type: 'failed'; readonly time: number; readonly model: ModelKey; readonly kind: string; readonly code: string }
  | { readonly type: 'finished'; readonly time: number; readonly model: ModelKey; readonly ms: number; readonly completionTokens: number }

/** Everything the log knows of a turn. */
export interface Explanation {
  readonly turnId: string
  readonly sessionId: string | undefined
  /** Name and version of the policy that decided; undefined when the log does not say. */
  readonly decidedBy: { readonly name: string; readonly version: number } | undefined
  /** The policy that was asked again. */
  readonly askedAgain: { readonly name: string; readonly version: number }
  /** Whether every answer was the same again, bit for bit. */
  readonly same: boolean
  /** Whether the policy knew the same when asked again: it is the one that decided, and the log holds all that it had seen. */
  readonly exact: boolean
  readonly steps: readonly Step[]
}

/** Records read at once when looking for a turn and its end. */
const PAGE = 200
/** Records among which the end of a turn is looked for: its own are few, but other turns of its process may stand between them. */
const TURN_RECORDS = 5000

/**
 * Explains a turn.
 * @param turnId its id or the beginning of it; undefined: the last one
 * @returns undefined when no turn has been recorded at all
 * @throws MaiError `MAI_UNKNOWN_TURN` with the nearest ids
 */
export async function explainTurn(store: Store, policy: SwitchingPolicy, turnId: string | undefined): Promise<Explanation | undefined> {
  const found = await findTurn(store, turnId)
  if (!found) return undefined
  const { first, id } = found
  const rebuilt = await stateBefore(store, policy, first)
  // A run whose beginning is no longer in the log is younger than records without their turn.
  const told = rebuilt.run === undefined || rebuilt.run.payload.turns === true
  let { state } = rebuilt
  const steps: Step[] = []
  for (const event of await turnRecords(store, first, id, told)) {
    const turn = turnOf(event) ?? (told ? undefined : id)
    const step = turn === id ? stepOf(event, policy, state) : undefined
    if (step) steps.push(step)
    state = policy.reduce(state, event)
  }
  const decided = rebuilt.run?.payload
  return {
    turnId: id,
    sessionId: first.payload.request.sessionId,
    decidedBy:
      decided?.policy === undefined || decided.version === undefined ? undefined : { name: decided.policy, version: decided.version },
    askedAgain: { name: policy.name, version: policy.version },
    same: steps.every((step) => !('replay' in step) || step.replay.same),
    exact: rebuilt.exact,
    steps,
  }
}

/** The first decision of the turn that is meant. */
async function findTurn(
  store: Store,
  wanted: string | undefined,
): Promise<{ readonly first: Recorded<'model.selected'>; readonly id: string } | undefined> {
  const ids = new Set<string>()
  const firsts = new Map<string, Recorded<'model.selected'>>()
  let sought = wanted
  for (let through: number | undefined; ; ) {
    const page = await store.records({ type: 'model.selected', newest: true, limit: PAGE, ...(through === undefined ? {} : { through }) })
    for (const event of page) {
      const id = event.type === 'model.selected' ? event.payload.request.turnId : undefined
      if (id === undefined || event.type !== 'model.selected') continue
      ids.add(id)
      sought ??= id
      if (id.startsWith(sought)) firsts.set(id, event)
    }
    const last = page.at(-1)
    // An id that is given in full, or that of the last turn, has no more before the decision that it began with.
    const complete = sought !== undefined && firsts.get(sought)?.payload.request.purpose === 'turn'
    if (!last || page.length < PAGE || complete) break
    through = last.seq - 1
  }
  if (sought === undefined) return undefined
  const exact = firsts.get(sought)
  const [only] = exact ? [exact] : [...firsts.values()]
  if (!only || (!exact && firsts.size > 1)) {
    throw chatErrors.unknownTurn(sought, firsts.size > 1 ? [...firsts.keys()].slice(0, 3) : nearest(sought, [...ids]))
  }
  return { first: only, id: only.payload.request.turnId ?? '' }
}

/**
 * What its run wrote from a turn's first decision on, until the turn's end or, where records do not say of which turn
 * they are, until another one's first decision.
 */
async function turnRecords(store: Store, first: Recorded<'model.selected'>, id: string, told: boolean): Promise<RecordedEvent[]> {
  const { run, seq } = first
  const reader = new RecordReader(store)
  const records: RecordedEvent[] = []
  while (records.length < TURN_RECORDS) {
    const page = await reader.whole(await store.records({ run, after: records.at(-1)?.seq ?? seq - 1, limit: PAGE }))
    const end = page.findIndex(({ type, payload }) =>
      told
        ? type === 'generation.finished' && payload.turnId === id
        : type === 'model.selected' && payload.request.purpose === 'turn' && payload.request.turnId !== id,
    )
    records.push(...(end < 0 ? page : page.slice(0, told ? end + 1 : end)))
    if (end >= 0 || page.length < PAGE) break
  }
  return records
}

/** The turn of which a record says that it is. */
function turnOf({ payload }: RecordedEvent): string | undefined {
  if ('turnId' in payload) return payload.turnId
  return 'request' in payload ? payload.request.turnId : undefined
}

function stepOf(event: RecordedEvent, policy: SwitchingPolicy, state: unknown): Step | undefined {
  const { seq, time } = event
  switch (event.type) {
    case 'model.selected': {
      const { request, decision } = event.payload
      return { type: 'decision', seq, time, request, decision, replay: replayed(decision, () => policy.select(state, request)) }
    }
    case 'struggle.decided': {
      const { request, decision } = event.payload
      return { type: 'struggle', seq, time, request, decision, replay: replayed(decision, () => policy.onStruggle(state, request)) }
    }
    case 'model.loaded':
      return { type: 'loaded', time, ...factsOf(event.payload) }
    case 'model.load.failed':
      return { type: 'load-failed', time, ...factsOf(event.payload) }
    case 'model.switched':
      return { type: 'switched', time, ...factsOf(event.payload) }
    case 'generation.failed':
      return { type: 'failed', time, ...factsOf(event.payload) }
    case 'generation.finished': {
      const { model, ms, completionTokens } = event.payload
      return { type: 'finished', time, model, ms, completionTokens }
    }
    default:
      return undefined
  }
}

/** Steps stand under their turn. */
function factsOf<P extends OfTurn>({ turnId: _, ...facts }: P): Omit<P, 'turnId'> {
  return facts
}

function replayed<D>(recorded: D, ask: () => D): Replay<D> {
  try {
    const now = ask()
    return isDeepStrictEqual(asJson(recorded), asJson(now)) ? { same: true } : { same: false, now }
  } catch (error) {
    return { same: false, now: undefined, error: toErrorFact(error).message }
  }
}

/** As the log keeps it: what is undefined is not there. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
