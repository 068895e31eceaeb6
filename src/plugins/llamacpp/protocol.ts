/**
 * What Mai and the process of a loaded model say to each other.
 *
 * @module
 */
import type { LoadSettings, SamplingSettings } from '../../chat/model.ts'
import type { DriverResult } from './driver.ts'
import type { ThreadSpeed } from './measure-threads.ts'
import type { TemplateMessage } from './template.ts'

/** What the process is asked for; what has an id of its own gets exactly one {@link Ended}. */
export type Order =
  /** Read the engine's library: a model will come. */
  | { readonly type: 'prepare' }
  | {
      readonly type: 'load'
      readonly id: number
      readonly file: string
      readonly settings: LoadSettings
      readonly threads: number | undefined
    }
  | {
      readonly type: 'generate'
      readonly id: number
      readonly messages: readonly TemplateMessage[]
      /** The answer begins with it already. */
      readonly continueFrom: string
      readonly sampling: SamplingSettings
      readonly responseSchema: Readonly<Record<string, unknown>> | undefined
    }
  | { readonly type: 'count'; readonly id: number; readonly messages: readonly TemplateMessage[] }
  /** How fast the model is with more or fewer threads; cancelled, it tells nothing. */
  | { readonly type: 'measure'; readonly id: number }
  | { readonly type: 'cancel'; readonly id: number }

/** How an order ended. `memoryBytes`: how much the process grew by the load. */
export type Outcome =
  | { readonly type: 'loaded'; readonly contextLength: number; readonly memoryBytes: number }
  | { readonly type: 'generated'; readonly result: DriverResult }
  | { readonly type: 'counted'; readonly tokens: number }
  | { readonly type: 'measured'; readonly speeds: readonly ThreadSpeed[] }

/** An error on its way between processes: its class would not survive. */
export interface ErrorData {
  readonly code: string
  readonly problem: string
  readonly cure: string | undefined
}

/** What the process says. */
export type Report =
  | { readonly type: 'progress'; readonly id: number; readonly fraction: number }
  | { readonly type: 'prefill'; readonly id: number; readonly fraction: number }
  /** Pieces that belong together, in order: texts, and of how many tokens each was made. */
  | { readonly type: 'pieces'; readonly id: number; readonly texts: readonly string[]; readonly tokens: readonly number[] }
  | { readonly type: 'ended'; readonly id: number; readonly outcome: Outcome }
  | { readonly type: 'failed'; readonly id: number; readonly error: ErrorData }
