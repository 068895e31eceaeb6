/**
 * The policy's journal: every record is written, then folded into the policy's state, in one order.
 *
 * A decision is recorded with its whole request, so that it can be replayed. Whoever loads or unloads something for it waits
 * until it is written; one that only asks a loaded model is written a moment later, beside the model's first token.
 *
 * @module
 */
import { toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import type {
  Decision,
  OpenCircuit,
  PolicyRecords,
  RecordedEvent,
  RecordType,
  SelectionRequest,
  StruggleDecision,
  StruggleRequest,
  SwitchingPolicy,
} from '../policy.ts'
import { type PolicyLog, patientLog } from './patient-log.ts'
import { type CandidateList, newestList, packSelection, RecordReader } from './selection-record.ts'

/** Records between two snapshots of the state: a start reads as many at most, at some 20 µs each. */
const SNAPSHOT_EVERY = 250
/** Longest that a decision waits to be written when nothing comes before, in ms. */
const WRITE_WITHIN_MS = 25
/** Records read at once when catching up: few enough to be gone before the collector of young memory looks. */
const PAGE = 250

/** Folds, decides and remembers, for one process. */
export class Journal {
  readonly #ctx: PluginContext
  readonly #policy: SwitchingPolicy
  readonly #log: PolicyLog
  readonly #run: string
  readonly #now: () => number
  #state: unknown
  #opened: Promise<void> | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #sinceSnapshot = 0
  /** Writes the decision that is made and not written yet. */
  #unwritten: (() => Promise<void>) | undefined
  #timer: NodeJS.Timeout | undefined
  /** Models as the log lists them; false: it has not been asked. */
  #list: CandidateList | undefined | false = false

  /** @param run id of this process in the log */
  constructor(ctx: PluginContext, policy: SwitchingPolicy, store: PolicyLog, run: string, now: () => number) {
    this.#ctx = ctx
    this.#policy = policy
    this.#log = patientLog(store)
    this.#run = run
    this.#now = now
  }

  /** Writes and folds a record. A store that fails costs the record, not the turn. */
  record<T extends RecordType>(type: T, payload: PolicyRecords[T]): Promise<void> {
    return this.#inOrder(async () => void (await this.#append(type, payload)))
  }

  /**
   * Asks the policy, records question and answer within 25 ms, before anything else, and states the fact.
   * A policy that throws is replaced by a plain rule.
   */
  select(request: SelectionRequest): Promise<Decision> {
    return this.#inOrder(async () => {
      const decision = this.#asking(
        'select',
        () => this.#policy.select(this.#state, request),
        () => plainDecision(request),
      )
      const time = this.#now()
      this.#unwritten = () => this.#appendSelection({ request, decision }, time)
      this.#timer = setTimeout(() => void this.settled(), WRITE_WITHIN_MS)
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

  /** The policy's open circuits. */
  circuits(): Promise<readonly OpenCircuit[]> {
    return this.#inOrder(async () => this.#openCircuits())
  }

  /** Resolves when everything recorded so far is written. */
  async settled(): Promise<void> {
    await this.#tail
    if (this.#unwritten) await this.#inOrder(async () => {})
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    this.#opened ??= this.#open()
    const opened = this.#opened
    const result = this.#tail.then(() => opened).then(() => (this.#unwritten ? this.#writeDecision().then(work) : work()))
    this.#tail = result.catch(() => {})
    return result
  }

  async #writeDecision(): Promise<void> {
    clearTimeout(this.#timer)
    const write = this.#unwritten
    this.#unwritten = undefined
    await write?.()
  }

  /** Starts from the newest snapshot and folds what came after it, from all runs. */
  async #open(): Promise<void> {
    this.#state = this.#asking(
      'initial',
      () => this.#policy.initial(),
      () => undefined,
    )
    let through = 0
    let from = 0
    try {
      const snapshot = await this.#log.latestSnapshot(this.#policy.name, this.#policy.version)
      if (snapshot) {
        this.#state = snapshot.state
        through = snapshot.seq
        from = snapshot.seq
      }
      const reader = new RecordReader(this.#log)
      for (;;) {
        const page = await this.#log.records({ after: through, limit: PAGE })
        for (const event of await reader.whole(page)) this.#fold(event)
        this.#sinceSnapshot += page.length
        const last = page.at(-1)
        if (last) through = last.seq
        if (page.length < PAGE) break
      }
    } catch (error) {
      this.#report('reading the log', error)
      // A state that lacks what the log holds is no beginning for others.
      this.#sinceSnapshot = Number.NEGATIVE_INFINITY
    }
    const { name, version } = this.#policy
    await this.#append('run.started', { pid: process.pid, foldedThrough: through, snapshot: from, policy: name, version, turns: true })
  }

  /** Writes a decision short, and the list of models before it where it needs a new one. Folded is the whole. */
  async #appendSelection(selection: PolicyRecords['model.selected'], decided: number): Promise<void> {
    if (this.#list === false) this.#list = await newestList(this.#log).catch(() => undefined)
    let packed = packSelection(selection, this.#list)
    if (!packed && selection.request.candidates.length > 0) {
      const { candidates } = selection.request
      const { seq, time } = await this.#append('candidates.listed', { candidates }, { time: decided })
      this.#list = seq === 0 ? undefined : { seq, time, candidates }
      packed = packSelection(selection, this.#list)
    }
    await this.#append('model.selected', selection, { time: decided, short: packed })
  }

  /** @param short what is written, where that is less than what is folded @returns where it stands; 0: nowhere */
  async #append<T extends RecordType>(
    type: T,
    payload: PolicyRecords[T],
    { time = this.#now(), short }: { readonly time?: number; readonly short?: unknown } = {},
  ): Promise<{ seq: number; time: number }> {
    let seq = 0
    try {
      // `RecordReader` gives back what the type says.
      seq = await this.#log.appendRecord({ run: this.#run, time, type, payload: (short ?? payload) as PolicyRecords[T] })
    } catch (error) {
      this.#report(`recording ${type}`, error)
    }
    // Type and payload belong together by the signature; the union cannot express it.
    const before = this.#openCircuits()
    this.#fold({ seq, run: this.#run, time, type, payload } as RecordedEvent)
    this.#stateCircuits(before, this.#openCircuits())
    if (++this.#sinceSnapshot < SNAPSHOT_EVERY || seq === 0) return { seq, time }
    this.#sinceSnapshot = 0
    const { name, version } = this.#policy
    await this.#log
      .saveSnapshot({ seq, policy: name, version, state: this.#state })
      .catch((error: unknown) => this.#report('saving a snapshot', error))
    return { seq, time }
  }

  #fold(event: RecordedEvent): void {
    this.#state = this.#asking(
      'reduce',
      () => this.#policy.reduce(this.#state, event),
      () => this.#state,
    )
  }

  #openCircuits(): readonly OpenCircuit[] {
    return this.#asking(
      'openCircuits',
      () => this.#policy.openCircuits?.(this.#state) ?? [],
      () => [],
    )
  }

  /** What the fold changed, as facts. */
  #stateCircuits(before: readonly OpenCircuit[], after: readonly OpenCircuit[]): void {
    const had = (circuits: readonly OpenCircuit[], model: string): boolean => circuits.some((circuit) => circuit.model === model)
    for (const { model, reason } of after) if (!had(before, model)) this.#ctx.emit('circuit.opened', { model, reason })
    for (const { model } of before) if (!had(after, model)) this.#ctx.emit('circuit.closed', { model })
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
