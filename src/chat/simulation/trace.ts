/**
 * Traces: a machine, its models, and what happens to them over time. One JSON value a line; see docs/simulate.md.
 *
 * @module
 */
import { MaiError } from '../../core/errors.ts'
import type { ModelKey } from '../model.ts'
import type { Needs, StruggleKind, TaskKind } from '../policy.ts'

/** First line: the machine. */
export interface TraceMachine {
  readonly type: 'machine'
  readonly version: 1
  readonly name: string
  readonly totalBytes: number
}

/** A model as it really is on this machine; a policy sees only what it would see in life. */
export interface TraceModel {
  readonly type: 'model'
  readonly model: ModelKey
  readonly weightsBytes: number
  /** Of the whole window. */
  readonly kvBytes: number
  readonly computeBytes: number
  readonly parameters: number
  readonly bits: number
  /** Tokens. */
  readonly contextLength: number
  /** True quality of its answers, in doublings of parameters over an eighth of a billion: for all tasks, and what differs for some. */
  readonly quality: number
  readonly qualityFor?: Readonly<Partial<Record<TaskKind, number>>>
  readonly tokensPerSecond: number
  readonly prefillPerSecond: number
  readonly loadMs: number
  readonly vision?: boolean
  readonly tools?: boolean
  readonly reasoning?: boolean
}

/** What happens. `at` is ms since the beginning. */
export type TraceEvent =
  /** What would be free if Mai held no model, from now on. */
  | { readonly type: 'memory'; readonly at: number; readonly freeBytes: number }
  | {
      readonly type: 'message'
      readonly at: number
      readonly session: string
      readonly needs: Needs
      /** Length of the answer, in tokens. */
      readonly answerTokens: number
    }
  /** A model fails in a way: to load, or while it answers. */
  | { readonly type: 'fault'; readonly at: number; readonly until: number; readonly model: ModelKey; readonly kind: StruggleKind }
  /** A backend is away, with all its models. */
  | { readonly type: 'outage'; readonly at: number; readonly until: number; readonly backend: string }
  | { readonly type: 'end'; readonly at: number }

/** A whole trace; events in the order of time. */
export interface Trace {
  readonly machine: TraceMachine
  readonly models: readonly TraceModel[]
  readonly events: readonly TraceEvent[]
}

/** A question in a trace. */
export type TraceMessage = Extract<TraceEvent, { readonly type: 'message' }>

/** Memory of a model with a window, in bytes. */
export function traceNeed({ weightsBytes, kvBytes, computeBytes, contextLength }: TraceModel, window: number): number {
  return weightsBytes + computeBytes + (kvBytes * window) / contextLength
}

/** JSON, a value a line. */
export function traceText({ machine, models, events }: Trace): string {
  return [machine, ...models, ...events].map((line) => `${JSON.stringify(line)}\n`).join('')
}

/** Fields that a line must have, by its type, and what they are. */
const FIELDS: Readonly<Record<string, Readonly<Record<string, 'number' | 'string' | 'object'>>>> = {
  machine: { name: 'string', totalBytes: 'number' },
  model: {
    model: 'string',
    weightsBytes: 'number',
    kvBytes: 'number',
    computeBytes: 'number',
    parameters: 'number',
    bits: 'number',
    contextLength: 'number',
    quality: 'number',
    tokensPerSecond: 'number',
    prefillPerSecond: 'number',
    loadMs: 'number',
  },
  memory: { at: 'number', freeBytes: 'number' },
  message: { at: 'number', session: 'string', needs: 'object', answerTokens: 'number' },
  fault: { at: 'number', until: 'number', model: 'string', kind: 'string' },
  outage: { at: 'number', until: 'number', backend: 'string' },
  end: { at: 'number' },
}

/** Reads a trace. Empty lines and lines that begin with # are skipped. @throws MaiError `MAI_USAGE` naming the line */
export function parseTrace(text: string, name: string): Trace {
  let machine: TraceMachine | undefined
  const models: TraceModel[] = []
  const events: TraceEvent[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const value = checked(line, `${name}:${index + 1}`)
    if (value.type === 'machine') machine = value
    else if (value.type === 'model') models.push(value)
    else events.push(value)
  }
  if (!machine) throw invalid(name, 'there is no line of type "machine"')
  if (models.length === 0) throw invalid(name, 'there is no line of type "model"')
  return { machine, models, events: events.sort((a, b) => a.at - b.at) }
}

function checked(line: string, place: string): TraceMachine | TraceModel | TraceEvent {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw invalid(place, 'it is no JSON')
  }
  const fields: Readonly<Record<string, unknown>> = typeof value === 'object' && value !== null ? { ...value } : {}
  const wanted = FIELDS[String(fields.type)]
  if (!wanted) throw invalid(place, `its type is none of ${Object.keys(FIELDS).join(', ')}`)
  for (const [field, kind] of Object.entries(wanted)) {
    const found = fields[field]
    const fits =
      kind === 'number'
        ? Number.isFinite(found)
        : kind === 'string'
          ? typeof found === 'string'
          : typeof found === 'object' && found !== null
    if (!fits) throw invalid(place, `"${field}" must be a ${kind}`)
  }
  if (fields.type === 'machine' && fields.version !== 1)
    throw invalid(place, `version ${String(fields.version)} is not known; this Mai reads 1`)
  if (fields.type === 'message' && !(isObject(fields.needs) && Number.isFinite(fields.needs.contextTokens)))
    throw invalid(place, '"needs.contextTokens" must be a number')
  // The table and this have checked what is used of it.
  return value as TraceMachine | TraceModel | TraceEvent
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function invalid(place: string, problem: string): MaiError {
  return new MaiError('MAI_USAGE', `${place} is no trace: ${problem}.`, {
    cure: 'See docs/simulate.md, or write one with mai simulate --save.',
  })
}
