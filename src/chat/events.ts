/**
 * The domain's events, slots and hooks. Payloads hold ids and numbers;
 * message text only in `message.*` and `generation.chunk`.
 *
 * @module
 */
import type { ErrorFact } from '../core/errors.ts'
import type { MailboxMode } from '../core/events.ts'
import type { HookDefinition } from '../core/hooks.ts'
import type { ListSlot } from '../core/slots.ts'
import type { Backend, FinishReason, Usage } from './backend.ts'
import type { BackgroundModel } from './background.ts'
import type { ComposeInput, ContextAssembler, PromptSection } from './context.ts'
import type { CommandContribution, RouteContribution } from './extensions.ts'
import type { ModelKey } from './model.ts'
import type { OfTurn, PolicyRecords, StruggleKind, SwitchingPolicy } from './policy.ts'
import type { ResourceSample, Resources } from './resources.ts'
import type { Store } from './store.ts'
import type { Watcher } from './watcher.ts'

/** Ids that most turn events carry. */
export interface TurnIds {
  readonly sessionId: string
  readonly turnId: string
}

declare module '../core/events.ts' {
  interface MaiEvents {
    'session.started': { readonly sessionId: string; readonly resumed: boolean }
    /** The user's message is in the store. */
    'message.received': TurnIds & { readonly text: string }
    'message.completed': TurnIds & {
      readonly text: string
      readonly model: ModelKey
      readonly finish: FinishReason
      readonly usage: Usage
      readonly switches: number
      readonly ms: number
    }
    'message.failed': TurnIds & { readonly error: ErrorFact; readonly releasedChars: number }
    'resources.sampled': ResourceSample
    'resources.pressured': PolicyRecords['resources.pressured']
    'resources.recovered': PolicyRecords['resources.recovered']
    'backend.connected': { readonly backend: string; readonly endpoint: string }
    'backend.lost': { readonly backend: string; readonly error: ErrorFact }
    'models.discovered': { readonly backend: string; readonly models: readonly ModelKey[] }
    'model.selected': PolicyRecords['model.selected']
    'model.loading': { readonly model: ModelKey; readonly contextLength: number; readonly fraction: number }
    'model.loaded': PolicyRecords['model.loaded']
    'model.load.failed': OfTurn & { readonly model: ModelKey; readonly error: ErrorFact }
    'model.unloaded': PolicyRecords['model.unloaded'] & { readonly reason: string }
    'model.preloaded': { readonly model: ModelKey; readonly ms: number }
    'model.struggling': TurnIds & {
      readonly model: ModelKey
      readonly kind: StruggleKind
      readonly evidence: string
      readonly atChar: number
      readonly error: ErrorFact | undefined
    }
    'model.switched': PolicyRecords['model.switched'] & {
      readonly sessionId: string | undefined
      readonly atChar: number
    }
    'pin.changed': PolicyRecords['pin.changed']
    'circuit.opened': { readonly model: ModelKey; readonly reason: string }
    'circuit.closed': { readonly model: ModelKey }
    'generation.started': TurnIds & { readonly model: ModelKey; readonly attempt: number; readonly promptTokens: number }
    /** Released text only, batched, and emitted only while somebody listens. */
    'generation.chunk': TurnIds & { readonly text: string }
    'generation.finished': TurnIds & {
      readonly model: ModelKey
      readonly finish: FinishReason
      readonly usage: Usage
      readonly ms: number
      readonly firstTokenMs: number
    }
    'generation.failed': TurnIds & { readonly model: ModelKey; readonly kind: StruggleKind; readonly error: ErrorFact }
    'context.assembled': TurnIds & {
      readonly model: ModelKey
      readonly tokens: number
      readonly usableTokens: number
      readonly exact: boolean
    }
    'context.compressed': TurnIds & { readonly model: ModelKey; readonly verbatimMessages: number; readonly totalMessages: number }
    'context.transferred': TurnIds & {
      readonly from: ModelKey
      readonly to: ModelKey
      readonly tokens: number
      readonly usableTokens: number
    }
  }
}

declare module '../core/slots.ts' {
  interface MaiSlots {
    backend: ListSlot<Backend>
    resources: Resources
    policy: SwitchingPolicy
    watcher: ListSlot<Watcher>
    context: ContextAssembler
    store: Store
    background: BackgroundModel
    command: ListSlot<CommandContribution>
    route: ListSlot<RouteContribution>
  }
}

declare module '../core/hooks.ts' {
  interface MaiHooks {
    /** Sections of the prompt, before they are fitted to the window. */
    'prompt.compose': { in: ComposeInput; out: readonly PromptSection[] }
  }
}

/** The domain's list slots. */
export const CHAT_LISTS: readonly string[] = ['backend', 'watcher', 'command', 'route']

/** The domain's hooks. */
export const CHAT_HOOKS: Readonly<Record<string, HookDefinition>> = { 'prompt.compose': { kind: 'observer' } }

/** Samples and progress: only the newest matters to a slow listener. */
export const CHAT_MAILBOXES: Readonly<Record<'resources.sampled' | 'model.loading', MailboxMode>> = {
  'resources.sampled': 'latest',
  'model.loading': 'latest',
}
