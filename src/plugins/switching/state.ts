/**
 * What the default policy remembers: the fold over recorded events.
 *
 * @module
 */
import type { ModelKey } from '../../chat/model.ts'
import type { RecordedEvent } from '../../chat/policy.ts'
import type { PressureLevel } from '../../chat/resources.ts'
import { type Circuits, foldCircuits, OF_THE_LINE } from './circuit.ts'
import { foldLearned, type Learned, NOTHING_LEARNED } from './learned.ts'

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
  rescuedFrom: null,
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
      return switched(state, event)
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

function switched(state: SwitchingState, { time, payload }: Extract<RecordedEvent, { type: 'model.switched' }>): SwitchingState {
  const { from, reason, rescue } = payload
  if (rescue) return { ...state, rescuedAt: time, rescuedFrom: OF_THE_LINE.has(reason) ? (state.rescuedFrom ?? from) : state.rescuedFrom }
  // The way back from a rescue is no choice that others must wait for.
  return { ...state, rescuedFrom: null, switchedAt: reason === 'recovered' ? state.switchedAt : time }
}
