/**
 * What a policy knew at a moment of the past: its state, rebuilt from the log as the run that decided had built it.
 *
 * A run starts from a snapshot, folds what all runs wrote before it, then its own records only.
 *
 * @module
 */
import type { RecordedEvent, SwitchingPolicy } from '../policy.ts'
import type { Store } from '../store.ts'
import { RecordReader } from './selection-record.ts'

const PAGE = 250

/** A record of the type. */
export type Recorded<T extends RecordedEvent['type']> = Extract<RecordedEvent, { readonly type: T }>

/** A rebuilt state. */
export interface Rebuilt {
  readonly state: unknown
  /** The start of the run; undefined when it is no longer in the log. */
  readonly run: Recorded<'run.started'> | undefined
  /** Whether it is what the run had: the policy is the one that decided, and all that it had folded is still in the log. */
  readonly exact: boolean
}

/** The state of a run just before one of its records. */
export async function stateBefore(store: Store, policy: SwitchingPolicy, { run, seq }: RecordedEvent): Promise<Rebuilt> {
  const [started] = await store.records({ run, type: 'run.started', through: seq, limit: 1 })
  const start = started?.type === 'run.started' ? started : undefined
  const decided = start?.payload
  const samePolicy = decided?.policy === policy.name && decided.version === policy.version
  const own = samePolicy && start ? await ownSnapshot(store, policy, start, seq) : undefined
  if (own) return { state: await fold(store, policy, own.state, { run, after: own.seq, through: seq - 1 }), run: start, exact: true }
  const foldedThrough = decided?.foldedThrough ?? seq - 1
  const first = await store.latestSnapshot(policy.name, policy.version, samePolicy ? (decided.snapshot ?? 0) : foldedThrough)
  // Without the snapshot it began at, the state is that of all that is left.
  const whole = samePolicy && (first?.seq ?? 0) === decided.snapshot && (first !== undefined || (await isWhole(store)))
  const before = await fold(store, policy, first?.state ?? policy.initial(), { after: first?.seq ?? 0, through: foldedThrough })
  const state = await fold(store, policy, before, { run, after: foldedThrough, through: seq - 1 })
  return { state, run: start, exact: whole }
}

/** The newest snapshot before a record that this run itself has made. */
async function ownSnapshot(
  store: Store,
  policy: SwitchingPolicy,
  start: Recorded<'run.started'>,
  seq: number,
): Promise<{ readonly seq: number; readonly state: unknown } | undefined> {
  for (let through = seq - 1; through > start.seq; ) {
    const snapshot = await store.latestSnapshot(policy.name, policy.version, through)
    if (!snapshot || snapshot.seq <= start.seq) return undefined
    const [at] = await store.records({ after: snapshot.seq - 1, through: snapshot.seq, limit: 1 })
    if (at?.run === start.run) return snapshot
    through = snapshot.seq - 1
  }
  return undefined
}

/** Whether nothing has been removed from the log yet. */
async function isWhole(store: Store): Promise<boolean> {
  const [first] = await store.records({ limit: 1 })
  return first === undefined || first.seq === 1
}

async function fold(
  store: Store,
  policy: SwitchingPolicy,
  state: unknown,
  range: { readonly run?: string; readonly after: number; readonly through: number },
): Promise<unknown> {
  const reader = new RecordReader(store)
  let folded = state
  for (let after = range.after; after < range.through; ) {
    const page = await store.records({ ...range, after, limit: PAGE })
    for (const event of await reader.whole(page)) folded = policy.reduce(folded, event)
    const last = page.at(-1)
    if (!last || page.length < PAGE) break
    after = last.seq
  }
  return folded
}
