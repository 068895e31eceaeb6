/**
 * The circuit of each model: failures that make it rest, as a pure fold.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { RecordedEvent } from '../../chat/policy.ts'

/** Newest failures of each model. Survives JSON. */
export type Circuits = Readonly<Record<ModelKey, { readonly times: readonly number[]; readonly memory: boolean }>>

/** Failures within a minute that open a model's circuit. */
const CIRCUIT_FAILURES = 2
const CIRCUIT_WINDOW_MS = 60_000
/** Failures kept for one model; a circuit needs fewer. */
const KEPT_FAILURES = 4

/** Folds one record; the same object where nothing changed. */
export function foldCircuits(circuits: Circuits, event: RecordedEvent): Circuits {
  switch (event.type) {
    case 'model.load.failed':
      return failed(circuits, event.payload.model, event.time, event.payload.memory)
    case 'generation.failed':
      return failed(circuits, event.payload.model, event.time, event.payload.kind === 'crashed')
    case 'generation.finished':
      return without(circuits, event.payload.model)
    default:
      return circuits
  }
}

/** Twice failed within a minute: rests, then may try once more. @param cooldownMs how long it rests */
export function isResting(circuits: Circuits, model: ModelKey, time: number, cooldownMs: number): boolean {
  const times = circuits[model]?.times ?? []
  const last = times.at(-1) ?? 0
  const recent = times.filter((failure) => last - failure <= CIRCUIT_WINDOW_MS)
  return recent.length >= CIRCUIT_FAILURES && time - last < cooldownMs
}

function failed(circuits: Circuits, model: ModelKey, time: number, memory: boolean): Circuits {
  const times = [...(circuits[model]?.times ?? []), time].slice(-KEPT_FAILURES)
  return { ...circuits, [model]: { times, memory } }
}

function without(circuits: Circuits, model: ModelKey): Circuits {
  if (!(model in circuits)) return circuits
  return Object.fromEntries(Object.entries(circuits).filter(([key]) => key !== model))
}
