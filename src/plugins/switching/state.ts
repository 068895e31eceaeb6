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
  /** Where a failure drove us from; we return when its circuit lets us. */
  readonly rescuedFrom: ModelKey | null
  readonly circuits: Circuits
}

/** Nothing remembered. */
export const INITIAL: SwitchingState = { pin: null, pressure: 'normal', pressureAt: 0, switchedAt: 0, rescuedFrom: null, circuits: {} }

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
      return switched(state, event)
    default: {
      const circuits = foldCircuits(state.circuits, event)
      return circuits === state.circuits ? state : { ...state, circuits }
    }
  }
}

/** Failures after which the model itself may be as good as before: its server or its line was the trouble. */
const OF_THE_LINE: ReadonlySet<string> = new Set(['failed', 'backend-lost', 'stall', 'cut-off'])

function switched(state: SwitchingState, { time, payload }: Extract<RecordedEvent, { type: 'model.switched' }>): SwitchingState {
  const { from, reason, rescue } = payload
  if (rescue) return OF_THE_LINE.has(reason) ? { ...state, rescuedFrom: state.rescuedFrom ?? from } : state
  // The way back from a rescue is no choice that others must wait for.
  return { ...state, rescuedFrom: null, switchedAt: reason === 'recovered' ? state.switchedAt : time }
}
