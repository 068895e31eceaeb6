/**
 * The domain's settings with their defaults.
 *
 * @module
 */
import type { Plugin } from '../core/plugin.ts'
import type { BlockingTwin } from './blocking.ts'
import type { ModelSettings } from './model.ts'

/** Limits of one turn. */
export interface TurnSettings {
  /** Longest wait for the first token, in ms, before the prompt's length is taken into account. */
  readonly firstTokenMs: number
  /** Longest silence between two pieces of an answer, in ms. */
  readonly gapMs: number
  /** Longest load without progress, in ms. */
  readonly loadIdleMs: number
  /** Longest turn in all, in ms. */
  readonly deadlineMs: number
  /** Most attempts at one answer, over all models. */
  readonly maxAttempts: number
  /** Largest message, in bytes of UTF-8. */
  readonly maxMessageBytes: number
}

/** Defaults: first token, gap and load from the field's servers (their slowest legitimate answers), the rest as bounds. */
export const DEFAULT_TURN: TurnSettings = {
  firstTokenMs: 30_000,
  gapMs: 15_000,
  loadIdleMs: 60_000,
  deadlineMs: 1_800_000,
  maxAttempts: 6,
  maxMessageBytes: 32 * 1024 * 1024,
}

/** What Mai runs with. */
export interface MaiSettings {
  readonly plugins: readonly Plugin[]
  /** By model key, by id, or `'*'` for all. */
  readonly models?: Readonly<Record<string, ModelSettings>>
  readonly turn?: Partial<TurnSettings>
  /** Unload what Mai loaded when it shuts down; otherwise the keep-alive of the engine applies. Default false. */
  readonly unloadOnExit?: boolean
  /** The configuration file these came from, for the status. */
  readonly configFile?: string
  /** What answers `processMessageSync`; a Mai without one refuses it. */
  readonly blocking?: BlockingTwin
}
