/**
 * The policy's journal: every record is written, then folded into the policy's state, in one order.
 *
 * A decision is recorded with its whole request before anybody acts on it, so that it can be replayed.
 *
 * @module
 */
import { toErrorFact } from '../core/errors.ts'
import type { PluginContext } from '../core/plugin.ts'
import type {
  Decision,
  PolicyRecords,
  RecordedEvent,
  RecordType,
  SelectionRequest,
  StruggleDecision,
  StruggleRequest,
  SwitchingPolicy,
} from './policy.ts'
import type { Store } from './store.ts'

/** Records between two snapshots of the state. */
const SNAPSHOT_EVERY = 1000
/** Records read at once when catching up. */
const PAGE = 1000

/** Folds, decides and remembers, for one process. */
export class Journal {
  readonly #ctx: PluginContext
  readonly #policy: SwitchingPolicy
  readonly #store: Store
  readonly #run: string
  readonly #now: () => number
  #state: unknown
  #opened: Promise<void> | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #sinceSnapshot = 0

  /** @param run id of this process in the log */
  constructor(ctx: PluginContext, policy: SwitchingPolicy, store: Store, run: string, now: () => number) {
    this.#ctx = ctx
    this.#policy = policy
    this.#store = store
    this.#run = run
    this.#now = now
  }

  /** Writes and folds a record. A store that fails costs the record, not the turn. */
  record<T extends RecordType>(type: T, payload: PolicyRecords[T]): Promise<void> {
    return this.#inOrder(() => this.#append(type, payload))
  }

  /** Asks the policy, records question and answer, states the fact. A policy that throws is replaced by a plain rule. */
  select(request: SelectionRequest): Promise<Decision> {
    return this.#inOrder(async () => {
      const decision = this.#asking(
        'select',
        () => this.#policy.select(this.#state, request),
        () => plainDecision(request),
      )
      await this.#append('model.selected', { request, decision })
      this.#ctx.emit('model.selected', { request, decision })
      return decision
    })
  }

  /** What the policy would decide; neither recorded nor acted on. */
  preview(request: SelectionRequest): Promise<Decision> {
    return this.#inOrder(async () =>
      this.#asking(
        'select',
        () => this.#policy.select(this.#state, request),
        () => plainDecision(request),
      ),
    )
  }

  /** Asks what to do about a struggle, and records it. */
  onStruggle(request: StruggleRequest): Promise<StruggleDecision> {
    return this.#inOrder(async () => {
      const plain: StruggleDecision = { action: 'switch', reason: 'policy-failed', delayMs: 0 }
      const decision = this.#asking(
        'onStruggle',
        () => this.#policy.onStruggle(this.#state, request),
        () => plain,
      )
      await this.#append('struggle.decided', { request, decision })
      return decision
    })
  }

  /** Resolves when everything recorded so far is written. */
  async settled(): Promise<void> {
    await this.#tail
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    this.#opened ??= this.#open()
    const opened = this.#opened
    const result = this.#tail.then(() => opened).then(work)
    this.#tail = result.catch(() => {})
    return result
  }

  /** Starts from the newest snapshot and folds what came after it, from all runs. */
  async #open(): Promise<void> {
    this.#state = this.#asking(
      'initial',
      () => this.#policy.initial(),
      () => undefined,
    )
    let through = 0
    try {
      const snapshot = await this.#store.latestSnapshot(this.#policy.name, this.#policy.version)
      if (snapshot) {
        this.#state = snapshot.state
        through = snapshot.seq
      }
      for (;;) {
        const page = await this.#store.records({ after: through, limit: PAGE })
        for (const event of page) this.#fold(event)
        this.#sinceSnapshot += page.length
        const last = page.at(-1)
        if (last) through = last.seq
        if (page.length < PAGE) break
      }
    } catch (error) {
      this.#report('reading the log', error)
    }
    await this.#append('run.started', { pid: process.pid, foldedThrough: through })
  }

  async #append<T extends RecordType>(type: T, payload: PolicyRecords[T]): Promise<void> {
    const time = this.#now()
    let seq = 0
    try {
      seq = await this.#store.appendRecord({ run: this.#run, time, type, payload })
    } catch (error) {
      this.#report(`recording ${type}`, error)
    }
    // Type and payload belong together by the signature; the union cannot express it.
    this.#fold({ seq, run: this.#run, time, type, payload } as RecordedEvent)
    if (++this.#sinceSnapshot < SNAPSHOT_EVERY || seq === 0) return
    this.#sinceSnapshot = 0
    const { name, version } = this.#policy
    await this.#store
      .saveSnapshot({ seq, policy: name, version, state: this.#state })
      .catch((error: unknown) => this.#report('saving a snapshot', error))
  }

  #fold(event: RecordedEvent): void {
    this.#state = this.#asking(
      'reduce',
      () => this.#policy.reduce(this.#state, event),
      () => this.#state,
    )
  }

  #asking<T>(what: string, ask: () => T, otherwise: () => T): T {
    try {
      return ask()
    } catch (error) {
      this.#ctx.emit('plugin.failed', { plugin: this.#policy.name, during: `policy ${what}`, error: toErrorFact(error) })
      return otherwise()
    }
  }

  #report(during: string, error: unknown): void {
    this.#ctx.emit('plugin.failed', { plugin: 'store', during, error: toErrorFact(error) })
  }
}

/** Stays where it is, else takes the smallest that is allowed: for a policy that cannot answer. */
function plainDecision(request: SelectionRequest): Decision {
  const possible = request.candidates
    .filter((c) => c.allowed && !request.failed.includes(c.model))
    .sort((a, b) => a.memory.totalBytes - b.memory.totalBytes)
  const chosen = possible.find((c) => c.model === (request.requested ?? request.current)) ?? possible[0]
  return {
    model: chosen?.model,
    contextLength: chosen?.plannedContextLength ?? 0,
    reason: 'policy-failed',
    fallbacks: possible.filter((c) => c !== chosen).map((c) => c.model),
    candidates: request.candidates.map((c) => ({ model: c.model, score: 0 })),
  }
}
