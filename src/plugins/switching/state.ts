/**
 * What the default policy remembers: the fold over recorded events.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { RecordedEvent } from '../../chat/policy.ts'
import type { PressureLevel } from '../../chat/resources.ts'
import { type Circuits, foldCircuits } from './circuit.ts'

/** Survives JSON. Times are epoch ms. */
export interface SwitchingState {
  readonly pin: ModelKey | null
  readonly pressure: PressureLevel
  /** Last edge of memory pressure. */
  readonly pressureAt: number
  /** Last switch that was not a rescue. */
  readonly switchedAt: number
  readonly circuits: Circuits
}

/** Nothing remembered. */
export const INITIAL: SwitchingState = { pin: null, pressure: 'normal', pressureAt: 0, switchedAt: 0, circuits: {} }

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
    default: {
      const circuits = foldCircuits(state.circuits, event)
      return circuits === state.circuits ? state : { ...state, circuits }
    }
  }
}
