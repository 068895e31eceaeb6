/**
 * How a decision is written down: its whole question and answer, without saying again what the log says already.
 *
 * With 200 models a question and its answer are some 100 kB of JSON, nearly all of it the same each time. The models are
 * written once, as `candidates.listed`; a decision points there and adds what has changed. Nothing is lost: reading gives
 * back the same question and answer.
 *
 * @module
 */
import type { Candidate, Decision, PolicyRecords, RecordedEvent, SelectionRequest } from '../policy.ts'
import { type PackedDecision, packDecision, unpackDecision } from './packed-decision.ts'
import type { PolicyLog } from './patient-log.ts'

/** A list that decisions point to. */
export interface CandidateList {
  /** Its place in the log. */
  readonly seq: number
  /** Epoch ms. */
  readonly time: number
  readonly candidates: readonly Candidate[]
}

/** Candidates as a list and what differs from it. A missing value stands as null. */
interface PackedCandidates {
  readonly list: number
  /** The same for all that do not say otherwise. */
  readonly reclaimableBytes: number
  readonly changed: Readonly<Record<number, Readonly<Record<string, unknown>>>>
}

/** A question and its answer as the store keeps them. */
export interface PackedSelection {
  readonly request: Omit<SelectionRequest, 'candidates'> & { readonly candidates: PackedCandidates }
  /** Whole where a policy's rows are of an order of its own. */
  readonly decision: PackedDecision | Decision
}

/** Old records go after 30 days; a list is written anew after one, in ms, so that it outlives what points to it by far most of the time. */
const LIST_AGE_MS = 24 * 60 * 60 * 1000
/** A list is written anew when more than this share of it has changed. */
const MANY = 0.25
const FEW = 4
/** Lists that a reader remembers. */
const REMEMBERED = 4

/** The decision relative to a list; undefined when it needs a new one. */
export function packSelection(
  { request, decision }: PolicyRecords['model.selected'],
  list: CandidateList | undefined,
): PackedSelection | undefined {
  const { candidates, ...asked } = request
  if (!list || request.time - list.time > LIST_AGE_MS || list.candidates.length !== candidates.length) return undefined
  const reclaimableBytes = candidates[0]?.reclaimableBytes ?? 0
  const changed: Record<number, Record<string, unknown>> = {}
  let changes = 0
  for (const [index, candidate] of candidates.entries()) {
    const listed = list.candidates[index]
    if (listed?.model !== candidate.model) return undefined
    const difference = differenceOf(listed, candidate, reclaimableBytes)
    if (!difference) continue
    changed[index] = difference
    if (++changes > Math.max(FEW, candidates.length * MANY)) return undefined
  }
  return {
    request: { ...asked, candidates: { list: list.seq, reclaimableBytes, changed } },
    decision: packDecision(decision, candidates) ?? decision,
  }
}

function unpackCandidates({ reclaimableBytes, changed }: PackedCandidates, listed: readonly Candidate[]): Candidate[] {
  return listed.map((candidate, place) => {
    const difference = changed[place]
    if (!difference) return candidate.reclaimableBytes === reclaimableBytes ? candidate : { ...candidate, reclaimableBytes }
    const values = Object.entries(difference).map(([field, value]) => [field, value === null ? undefined : value] as const)
    return { ...candidate, reclaimableBytes, ...Object.fromEntries(values) }
  })
}

function unpackSelection({ request, decision }: PackedSelection, candidates: readonly Candidate[]): PolicyRecords['model.selected'] {
  return { request: { ...request, candidates }, decision: isWhole(decision) ? decision : unpackDecision(decision, candidates) }
}

function isWhole(decision: PackedDecision | Decision): decision is Decision {
  return Array.isArray(decision.candidates)
}

/** Fields in which a candidate differs from the listed one with the common figure. */
function differenceOf(listed: Candidate, candidate: Candidate, reclaimableBytes: number): Record<string, unknown> | undefined {
  if (listed === candidate && candidate.reclaimableBytes === reclaimableBytes) return undefined
  let difference: Record<string, unknown> | undefined
  for (const field of new Set([...Object.keys(listed), ...Object.keys(candidate)]) as Set<keyof Candidate>) {
    if (same(field === 'reclaimableBytes' ? reclaimableBytes : listed[field], candidate[field])) continue
    difference ??= {}
    difference[field] = candidate[field] ?? null
  }
  return difference
}

/** Values of a candidate: plain, or one level of plain ones. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const left: Readonly<Record<string, unknown>> = { ...a }
  const right: Readonly<Record<string, unknown>> = { ...b }
  const keys = Object.keys(left)
  return keys.length === Object.keys(right).length && keys.every((key) => Object.is(left[key], right[key]))
}

/** The newest list of the log, if there is one. */
export async function newestList(log: Pick<PolicyLog, 'records'>): Promise<CandidateList | undefined> {
  const [event] = await log.records({ type: 'candidates.listed', newest: true, limit: 1 })
  return event?.type === 'candidates.listed' ? { seq: event.seq, time: event.time, candidates: event.payload.candidates } : undefined
}

/** Reads records back as they were before they were written short. */
export class RecordReader {
  readonly #log: Pick<PolicyLog, 'records'>
  readonly #lists: Map<number, readonly Candidate[]> = new Map()
  /** What was last given out; the same for many decisions in a row, until something else is loaded. */
  #last: { readonly packed: string; readonly candidates: readonly Candidate[] } | undefined

  constructor(log: Pick<PolicyLog, 'records'>) {
    this.#log = log
  }

  /** Whole records, in the order given. A decision whose models are no longer in the log has none. */
  async whole(records: readonly RecordedEvent[]): Promise<RecordedEvent[]> {
    const whole: RecordedEvent[] = []
    for (const event of records) {
      if (event.type === 'candidates.listed') this.#remember(event.seq, event.payload.candidates)
      const packed = event.type === 'model.selected' ? asPacked(event.payload) : undefined
      if (!packed || event.type !== 'model.selected') whole.push(event)
      else whole.push({ ...event, payload: unpackSelection(packed, await this.#candidates(packed.request.candidates)) })
    }
    return whole
  }

  async #candidates(packed: PackedCandidates): Promise<readonly Candidate[]> {
    const text = JSON.stringify(packed)
    if (this.#last?.packed === text) return this.#last.candidates
    const candidates = unpackCandidates(packed, await this.#list(packed.list))
    this.#last = { packed: text, candidates }
    return candidates
  }

  async #list(seq: number): Promise<readonly Candidate[]> {
    const known = this.#lists.get(seq)
    if (known) return known
    const [event] = await this.#log.records({ after: seq - 1, through: seq, limit: 1 })
    const candidates = event?.type === 'candidates.listed' ? event.payload.candidates : []
    this.#remember(seq, candidates)
    return candidates
  }

  #remember(seq: number, candidates: readonly Candidate[]): void {
    this.#lists.set(seq, candidates)
    const [oldest] = this.#lists.keys()
    if (this.#lists.size > REMEMBERED && oldest !== undefined) this.#lists.delete(oldest)
  }
}

/** The short form; undefined for a decision that was written whole. */
function asPacked(payload: PolicyRecords['model.selected'] | PackedSelection): PackedSelection | undefined {
  return Array.isArray(payload.request.candidates) ? undefined : (payload as PackedSelection)
}
