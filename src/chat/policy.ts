/**
 * The slot `policy`: which model, and what to do when one struggles.
 *
 * A policy is a pure fold over recorded events and a pure decision: no clock, no randomness, no I/O.
 * Same log, same decisions.
 *
 * @module
 */
import type { ErrorFact } from '../core/errors.ts'
import type { MemoryEstimate, ModelAbilities, ModelKey } from './model.ts'
import type { PressureLevel, ResourceSample } from './resources.ts'

/** What a message asks for, by its looks. */
export type TaskKind = 'chat' | 'code' | 'mathematics' | 'analysis' | 'translation' | 'image'

/** The script that most of a text is written in. */
export type Script = 'latin' | 'cyrillic' | 'greek' | 'arabic' | 'hebrew' | 'indic' | 'thai' | 'han' | 'kana' | 'hangul' | 'other'

/** What a conversation needs of a model. Categories and numbers only, never text. */
export interface Needs {
  /** Smallest window that serves, in tokens. */
  readonly contextTokens: number
  readonly vision: boolean
  readonly tools: boolean
  /** Default `chat`. */
  readonly task?: TaskKind
  /** Default `latin`. */
  readonly script?: Script
  /** Whether a model that thinks before it answers would do better. */
  readonly reasoning?: boolean
  /** What will be read before the answer, in tokens, as estimated. */
  readonly promptTokens?: number
}

/** A model that could answer. */
export interface Candidate {
  readonly model: ModelKey
  readonly remote: boolean
  /** False for a remote model whose configuration lacks `allowRemote`. */
  readonly allowed: boolean
  readonly sizeBytes: number | undefined
  readonly parameters: number | undefined
  readonly quantisationBits: number | undefined
  /** Configured quality, if any. */
  readonly quality: number | undefined
  readonly maxContextLength: number
  readonly abilities: ModelAbilities
  /** As the backend names it, such as `qwen2`. */
  readonly architecture?: string | undefined
  /** Window of the instance in memory; undefined when none is loaded. */
  readonly loadedContextLength: number | undefined
  /** Window it would be loaded with. */
  readonly plannedContextLength: number
  /** Memory that loading it would take. */
  readonly memory: MemoryEstimate
  /** Memory that becomes free when Mai unloads what it may unload for it. */
  readonly reclaimableBytes: number
  /** Of these, its own: what is loaded of it and Mai may unload. */
  readonly ownBytes?: number
}

/** A question to the policy, with everything it may look at. */
export interface SelectionRequest {
  /** Epoch ms. */
  readonly time: number
  readonly purpose: 'turn' | 'rescue' | 'preload' | 'query'
  readonly sessionId: string | undefined
  readonly turnId: string | undefined
  /** The model in use. */
  readonly current: ModelKey | undefined
  /** The model that the person asked for with this message. */
  readonly requested: ModelKey | undefined
  readonly needs: Needs
  readonly resources: ResourceSample
  readonly candidates: readonly Candidate[]
  /** Models that failed in this turn. */
  readonly failed: readonly ModelKey[]
}

/** What the policy thought of one candidate. */
export interface ScoredCandidate {
  readonly model: ModelKey
  readonly score: number
  /** The rule that excluded it. */
  readonly excluded?: string
}

/** An answer. Serialisable, so that it can be recorded, replayed and explained. */
export interface Decision {
  /** Undefined: nothing can serve. */
  readonly model: ModelKey | undefined
  /** Window to load it with, in tokens. */
  readonly contextLength: number
  /** A short code such as `most-efficient`, `pinned`, `dwell`, `smallest`. */
  readonly reason: string
  /** What to try next, in order, when it cannot be loaded. */
  readonly fallbacks: readonly ModelKey[]
  readonly candidates: readonly ScoredCandidate[]
}

/** Why an answer is in trouble. */
export type StruggleKind =
  | 'loop'
  | 'noisy-loop'
  | 'stall'
  | 'slow'
  | 'empty'
  | 'cut-off'
  | 'garbled'
  | 'low-confidence'
  | 'context-full'
  | 'model-unloaded'
  | 'backend-lost'
  | 'crashed'
  | 'load-failed'
  | 'failed'

/** A struggle, put to the policy. */
export interface StruggleRequest {
  /** Epoch ms. */
  readonly time: number
  readonly turnId: string
  readonly model: ModelKey
  readonly kind: StruggleKind
  readonly error: ErrorFact | undefined
  /** Whether the same request could succeed on the same model. */
  readonly transient: boolean
  /** Wait that the server asked for, in ms. */
  readonly retryAfterMs: number | undefined
  /** Attempts made in this turn so far, this one included. */
  readonly attempts: number
  /** Of these, on this model. */
  readonly attemptsOnModel: number
  /** Characters of this answer that the person has seen. */
  readonly releasedChars: number
  /** Models that have not failed in this turn. */
  readonly alternatives: number
  /** Whether the same model can now be reached another way than the one that failed. */
  readonly anotherRoute?: boolean
  /**
   * What looks like a struggle may be the text itself: another model of this turn did the same at the same place,
   * or none is left to ask and the text ends as a whole one does. Absent: no.
   */
  readonly agreed?: boolean
  /** A random share, 0 to 1, for jitter: part of the question, so that the answer replays. */
  readonly random: number
}

/** A model that rests after failures. */
export interface OpenCircuit {
  readonly model: ModelKey
  /** Code of the failure that opened it. */
  readonly reason: string
  /** Epoch ms. */
  readonly since: number
}

/** What to do about it. */
export interface StruggleDecision {
  readonly action: 'continue' | 'retry' | 'switch' | 'fail'
  readonly reason: string
  /** Wait before a retry, in ms. */
  readonly delayMs: number
}

/** Of what may happen in a turn. */
export interface OfTurn {
  /** Absent: it happened in none, or in a run whose records do not say it; see `run.started`. */
  readonly turnId?: string | undefined
}

/** Type → payload of what is recorded. Ids and numbers only. */
export interface PolicyRecords {
  /** A process begins; it folds records up to `foldedThrough`, then its own. */
  'run.started': {
    readonly pid: number
    readonly foldedThrough: number
    /** Record of the snapshot that the fold began at; 0: none. */
    readonly snapshot?: number
    /** Name and version of the policy. */
    readonly policy?: string
    readonly version?: number
    /** Records of this run say of which turn they are. Absent: no. */
    readonly turns?: true
  }
  /** Models as they stood, written once and pointed to by the decisions that follow. */
  'candidates.listed': { readonly candidates: readonly Candidate[] }
  'pin.changed': { readonly model: ModelKey | null }
  'resources.pressured': { readonly level: PressureLevel; readonly availableBytes: number; readonly totalBytes: number }
  'resources.recovered': { readonly availableBytes: number; readonly totalBytes: number }
  'model.selected': { readonly request: SelectionRequest; readonly decision: Decision }
  'model.loaded': OfTurn & { readonly model: ModelKey; readonly contextLength: number; readonly ms: number }
  'model.load.failed': OfTurn & { readonly model: ModelKey; readonly code: string; readonly memory: boolean }
  'model.unloaded': { readonly model: ModelKey }
  'model.switched': OfTurn & { readonly from: ModelKey; readonly to: ModelKey; readonly reason: string; readonly rescue: boolean }
  'struggle.decided': { readonly request: StruggleRequest; readonly decision: StruggleDecision }
  'generation.finished': OfTurn & {
    readonly model: ModelKey
    readonly ms: number
    readonly firstTokenMs: number
    readonly completionTokens: number
  }
  'generation.failed': OfTurn & { readonly model: ModelKey; readonly kind: StruggleKind; readonly code: string }
}

/** The name of a record. */
export type RecordType = keyof PolicyRecords

/** One line of the policy's log. */
export type RecordedEvent = {
  [T in RecordType]: {
    /** Position in the log, ascending over all runs. */
    readonly seq: number
    /** The process that wrote it. */
    readonly run: string
    /** Epoch ms. */
    readonly time: number
    readonly type: T
    readonly payload: PolicyRecords[T]
  }
}[RecordType]

/**
 * A switching policy. `State` must survive JSON: it is snapshotted every 250 records.
 *
 * @example
 * const alwaysFirst: SwitchingPolicy<null> = {
 *   name: 'always-first', version: 1,
 *   initial: () => null,
 *   reduce: (state) => state,
 *   select: (_, { candidates }) => ({ model: candidates[0]?.model, contextLength: 4096, reason: 'first', fallbacks: [], candidates: [] }),
 *   onStruggle: () => ({ action: 'switch', reason: 'struggled', delayMs: 0 }),
 * }
 */
export interface SwitchingPolicy<State = unknown> {
  readonly name: string
  readonly version: number
  initial(): State
  reduce(state: State, event: RecordedEvent): State
  select(state: State, request: SelectionRequest): Decision
  onStruggle(state: State, request: StruggleRequest): StruggleDecision
  /** The circuits that are open, for events and the status. Default: it has none. */
  openCircuits?(state: State): readonly OpenCircuit[]
}
