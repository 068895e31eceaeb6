/**
 * What Mai says of itself.
 *
 * @module
 */
import type { ErrorFact } from '../core/errors.ts'
import type { LoadedInstance, ModelInfo, ModelKey } from './model.ts'
import type { Decision, OpenCircuit } from './policy.ts'
import type { MemoryUser, ResourceSample } from './resources.ts'
import type { Lease } from './store.ts'

/** The cheap status: no I/O. */
export interface MaiStatus {
  readonly state: 'idle' | 'answering' | 'closed'
  readonly sessionId: string | undefined
  readonly model: ModelKey | undefined
  readonly turns: readonly {
    readonly sessionId: string
    readonly turnId: string
    readonly phase: string
    readonly model: ModelKey | undefined
  }[]
}

/** A backend as it was last seen. */
export interface BackendStatus {
  readonly name: string
  readonly remote: boolean
  readonly connected: boolean
  readonly models: number
  readonly error: ErrorFact | undefined
}

/** The model in use. */
export interface CurrentModelStatus {
  readonly model: ModelKey | undefined
  readonly instance: LoadedInstance | undefined
  /** What the policy would choose or has chosen, with its reason. */
  readonly decision: Decision | undefined
  readonly pinned: ModelKey | undefined
  readonly resources: ResourceSample
  /** While memory is short: the programs that take most of it, where the configuration allows to name them. */
  readonly memoryUsers?: readonly MemoryUser[]
}

/** A model with what the policy would think of it now. */
export interface ModelRow {
  readonly model: ModelInfo
  /** Whether it could be loaded into the memory that is free now. */
  readonly fits: boolean
  readonly needBytes: number
  readonly state: 'loaded' | 'available'
  /** Why the policy would not choose it. */
  readonly excluded: string | undefined
}

/** Everything, freshly asked. */
export interface SystemStatus extends CurrentModelStatus {
  readonly version: string
  readonly configFile: string | undefined
  readonly backends: readonly BackendStatus[]
  readonly loaded: readonly LoadedInstance[]
  readonly leases: readonly Lease[]
  /** Models that rest after failures. */
  readonly circuits: readonly OpenCircuit[]
  readonly store: { readonly location: string; readonly sessions: number }
}
