/**
 * The circuit of each model: failures that make it rest, as a pure fold.
 *
 * It opens when more than half of the attempts of the last minute failed, or at a failure that no retry could mend.
 * After a short rest one attempt is let through; if that succeeds it closes, otherwise it rests again.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { OpenCircuit, RecordedEvent, StruggleKind } from '../../chat/policy.ts'
import { groupOf } from './groups.ts'

/** One model's circuit. Times are epoch ms. */
export interface Circuit {
  /** Attempts of the last minute, oldest first. */
  readonly samples: readonly { readonly time: number; readonly ok: boolean }[]
  /** Null: closed. */
  readonly opened: { readonly time: number; readonly reason: string } | null
  /** When it was last let through while open. */
  readonly probedAt: number
}

/** By group. Survives JSON. */
export type Circuits = Readonly<Record<number, Readonly<Record<ModelKey, Circuit>>>>

/** Troubles after which the model itself may be as good as before: its server or its line is the circuit's business alone. */
export const OF_THE_LINE: ReadonlySet<string> = new Set<StruggleKind>(['failed', 'backend-lost', 'stall', 'cut-off'])

const WINDOW_MS = 60_000
/** Samples kept for one model. */
const KEPT_SAMPLES = 20

/** What says nothing about the model: this message would fail anywhere like it. */
const OF_THE_REQUEST: ReadonlySet<string> = new Set(['MAI_REQUEST_INVALID', 'MAI_CONTENT_FILTERED', 'MAI_CONTEXT_OVERFLOW', 'context-full'])
/** What the next attempt would only meet again, mostly after a long wait. */
const NOT_RETRYABLE: ReadonlySet<string> = new Set([
  'MAI_AUTH_REFUSED',
  'MAI_MODEL_NOT_FOUND',
  'MAI_BACKEND_UNREACHABLE',
  'MAI_BACKEND_TIMEOUT',
  'MAI_LOAD_TIMEOUT',
])

/** Folds one record; the same object where nothing changed. */
export function foldCircuits(circuits: Circuits, event: RecordedEvent): Circuits {
  switch (event.type) {
    case 'model.load.failed':
    case 'generation.failed':
      return failed(circuits, event.payload.model, event.time, event.payload.code)
    case 'generation.finished':
      return changed(circuits, event.payload.model, event.time, true, () => null)
    case 'model.selected':
      return letThrough(circuits, event.payload.decision.model, event.time)
    default:
      return circuits
  }
}

/** Open, and neither rested nor just let through. @param cooldownMs how long it rests */
export function isResting(circuits: Circuits, model: ModelKey, time: number, cooldownMs: number): boolean {
  const circuit = circuitOf(circuits, model)
  return !!circuit?.opened && time - Math.max(circuit.opened.time, circuit.probedAt) < cooldownMs
}

/** The circuits that are open, for people. */
export function openCircuits(circuits: Circuits): OpenCircuit[] {
  return Object.values(circuits)
    .flatMap((group) => Object.entries(group))
    .flatMap(([model, { opened }]) => (opened ? [{ model, reason: opened.reason, since: opened.time }] : []))
}

function failed(circuits: Circuits, model: ModelKey, time: number, code: string): Circuits {
  if (OF_THE_REQUEST.has(code)) return circuits
  return changed(circuits, model, time, false, ({ samples, opened }) => {
    const failures = samples.filter(({ ok }) => !ok).length
    const opens = opened !== null || NOT_RETRYABLE.has(code) || (samples.length > 1 && failures > samples.length / 2)
    return opens ? { time, reason: code } : null
  })
}

function changed(circuits: Circuits, model: ModelKey, time: number, ok: boolean, open: (circuit: Circuit) => Circuit['opened']): Circuits {
  const { samples, opened, probedAt } = circuitOf(circuits, model) ?? { samples: [], opened: null, probedAt: 0 }
  const recent = [...samples.filter((sample) => time - sample.time <= WINDOW_MS), { time, ok }].slice(-KEPT_SAMPLES)
  const next = { samples: recent, opened, probedAt }
  return withCircuit(circuits, model, { ...next, opened: open(next) })
}

function letThrough(circuits: Circuits, model: ModelKey | undefined, time: number): Circuits {
  const circuit = model === undefined ? undefined : circuitOf(circuits, model)
  if (model === undefined || !circuit?.opened) return circuits
  return withCircuit(circuits, model, { ...circuit, probedAt: time })
}

/** The circuit of a model; undefined: nothing is known of it. */
export function circuitOf(circuits: Circuits, model: ModelKey): Circuit | undefined {
  return circuits[groupOf(model)]?.[model]
}

function withCircuit(circuits: Circuits, model: ModelKey, circuit: Circuit): Circuits {
  const group = groupOf(model)
  return { ...circuits, [group]: { ...circuits[group], [model]: circuit } }
}
