/**
 * What the default policy remembers: the fold over recorded events.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { RecordedEvent } from '../../chat/policy.ts'
import type { PressureLevel } from '../../chat/resources.ts'
import { type Circuits, foldCircuits } from './circuit.ts'
import { foldLearned, type Learned, NOTHING_LEARNED } from './learned.ts'

/** Survives JSON. Times are epoch ms. */
export interface SwitchingState {
  readonly pin: ModelKey | null
  readonly pressure: PressureLevel
  /** Last edge of memory pressure. */
  readonly pressureAt: number
  /** Last switch that was not a rescue. */
  readonly switchedAt: number
  /** Last rescue: going back waits for the dwell time, not for calm. */
  readonly rescuedAt: number
  /** Whether the machine is exhausted, and Mai does with the smallest. */
  readonly minimal: boolean
  /** Whether the model in use takes memory that was to stay free. */
  readonly tight: boolean
  readonly circuits: Circuits
  readonly learned: Learned
}

/** Nothing remembered. */
export const INITIAL: SwitchingState = {
  pin: null,
  pressure: 'normal',
  pressureAt: 0,
  switchedAt: 0,
  rescuedAt: 0,
  minimal: false,
  tight: false,
  circuits: {},
  learned: NOTHING_LEARNED,
}

/** Folds one record; the same object where nothing changed. */
export function reduce(state: SwitchingState, event: RecordedEvent): SwitchingState {
  const next = reduceOwn(state, event)
  const circuits = foldCircuits(next.circuits, event)
  const learned = foldLearned(next.learned, event)
  return circuits === next.circuits && learned === next.learned ? next : { ...next, circuits, learned }
}

function reduceOwn(state: SwitchingState, event: RecordedEvent): SwitchingState {
  switch (event.type) {
    case 'pin.changed':
      return { ...state, pin: event.payload.model }
    case 'resources.pressured':
      return { ...state, pressure: event.payload.level, pressureAt: event.time }
    case 'resources.recovered':
      return { ...state, pressure: 'normal', pressureAt: event.time }
    case 'model.switched':
      return event.payload.rescue ? { ...state, rescuedAt: event.time } : { ...state, switchedAt: event.time }
    case 'model.selected': {
      const { request, decision } = event.payload
      if (request.purpose !== 'turn' && request.purpose !== 'rescue') return state
      const minimal = decision.reason === 'minimal'
      const tight = decision.reason === 'tight'
      return minimal === state.minimal && tight === state.tight ? state : { ...state, minimal, tight }
    }
    default:
      return state
  }
}
