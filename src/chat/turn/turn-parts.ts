/**
 * What a turn works with, and what it is asked.
 *
 * @module
 */
import type { PluginContext } from '../../core/plugin.ts'
import type { Journal } from '../decisions/journal.ts'
import type { Part } from '../message.ts'
import type { ModelKey, ModelSettings } from '../model.ts'
import type { Decision, Needs, SelectionRequest } from '../policy.ts'
import type { SendOptions } from '../reply.ts'
import type { Catalogue } from '../residency/catalogue.ts'
import type { Preloader } from '../residency/preload.ts'
import type { Residency } from '../residency/residency.ts'
import type { Speeds } from '../residency/speeds.ts'
import type { TurnSettings } from '../settings.ts'
import type { Store } from '../store.ts'

/** What a turn works with. */
export interface TurnParts {
  readonly ctx: PluginContext
  readonly store: Store
  readonly catalogue: Catalogue
  readonly residency: Residency
  readonly preloader: Preloader
  readonly speeds: Speeds
  readonly journal: Journal
  readonly limits: TurnSettings
  readonly models: Readonly<Record<string, ModelSettings>>
  readonly now: () => number
  /** 0 to 1. */
  readonly random: () => number
  /** The model in use, across turns. */
  current(): ModelKey | undefined
  setCurrent(model: ModelKey, decision: Decision): void
  /** The model that a person chose for all messages. */
  pinned(): ModelKey | undefined
  question(purpose: SelectionRequest['purpose'], needs: Needs, about: Partial<SelectionRequest>): Promise<SelectionRequest>
}

/** What to answer. */
export interface TurnInput {
  readonly sessionId: string
  readonly parts: readonly Part[]
  readonly options: SendOptions
}
