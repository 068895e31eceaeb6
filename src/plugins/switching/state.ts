/**
 * What the default policy remembers: the fold over recorded events.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { RecordedEvent } from '../../chat/policy.ts'
import type { PressureLevel } from '../../chat/resources.ts'

/** Survives JSON. Times are epoch ms. */
export interface SwitchingState {
  readonly pin: ModelKey | null
  readonly pressure: PressureLevel
  /** Last edge of memory pressure. */
  readonly pressureAt: number
  /** Last switch that was not a rescue. */
  readonly switchedAt: number
  /** Newest failures of each model. */
  readonly failures: Readonly<Record<ModelKey, { readonly times: readonly number[]; readonly memory: boolean }>>
}

/** Failures kept for one model; a circuit needs fewer. */
const KEPT_FAILURES = 4

/** Nothing remembered. */
export const INITIAL: SwitchingState = { pin: null, pressure: 'normal', pressureAt: 0, switchedAt: 0, failures: {} }

/** Folds one record. */
export function reduce(state: SwitchingState, event: RecordedEvent): SwitchingState {
  switch (event.type) {
    case 'pin.changed':
      return { ...state, pin: event.payload.model }
    case 'resources.pressured':
      return { ...state, pressure: event.payload.level, pressureAt: event.time }
    case 'resources.recovered':
      return { ...state, pressure: 'normal', pressureAt: event.time }
    case 'model.switched':
      return event.payload.rescue ? state : { ...state, switchedAt: event.time }
    case 'model.load.failed':
      return failed(state, event.payload.model, event.time, event.payload.memory)
    case 'generation.failed':
      return failed(state, event.payload.model, event.time, event.payload.kind === 'crashed')
    case 'generation.finished':
      return { ...state, failures: without(state.failures, event.payload.model) }
    default:
      return state
  }
}

function failed(state: SwitchingState, model: ModelKey, time: number, memory: boolean): SwitchingState {
  const times = [...(state.failures[model]?.times ?? []), time].slice(-KEPT_FAILURES)
  return { ...state, failures: { ...state.failures, [model]: { times, memory } } }
}

function without(failures: SwitchingState['failures'], model: ModelKey): SwitchingState['failures'] {
  if (!(model in failures)) return failures
  return Object.fromEntries(Object.entries(failures).filter(([key]) => key !== model))
}
