/**
 * What the person gets back for a message.
 *
 * @module
 */
import type { FinishReason, ToolDefinition, Usage } from './backend.ts'
import type { Part, ToolCallPart } from './message.ts'
import type { ModelKey, SamplingSettings } from './model.ts'
import type { StruggleKind } from './policy.ts'

/** A message to answer: typed text, or parts. */
export type MessageInput = string | readonly Part[]

/** Options of one message. */
export interface SendOptions {
  /** Default: this Mai's present session. */
  readonly sessionId?: string
  /** Ends the answer; what exists of it is kept. */
  readonly signal?: AbortSignal
  /** Use this model for this message, whatever the policy says. Key or unambiguous name. */
  readonly model?: string
  /** A system prompt for this message, pinned. */
  readonly system?: string
  readonly sampling?: SamplingSettings
  readonly tools?: readonly ToolDefinition[]
  /** JSON Schema that the answer must satisfy. */
  readonly responseSchema?: Readonly<Record<string, unknown>>
}

/** One try at an answer, or at loading a model for it. */
export interface Attempt {
  readonly model: ModelKey
  readonly outcome: 'completed' | 'failed' | 'cancelled'
  /** Error code or finish reason of a failed one. */
  readonly code?: string
  readonly ms: number
}

/** A move to another model within one turn. */
export interface SwitchNote {
  readonly from: ModelKey
  readonly to: ModelKey
  readonly kind: StruggleKind
  /** Characters of the answer that stood when it happened. */
  readonly atChar: number
}

/** What is known of a turn, also while it runs and after it failed. */
export interface TurnReport {
  readonly sessionId: string
  readonly turnId: string
  readonly attempts: readonly Attempt[]
  readonly switches: readonly SwitchNote[]
  /** Released so far. */
  readonly text: string
}

/** A complete answer, or one that the person stopped (`cancelled`). */
export interface Reply extends TurnReport {
  readonly reasoning: string | undefined
  /** What the model asks to be done, with `finishReason` `tool-calls`. */
  readonly toolCalls: readonly ToolCallPart[]
  /** The model that wrote the end of it; its backend; whether that is another machine. */
  readonly model: ModelKey
  readonly backend: string
  readonly remote: boolean
  readonly finishReason: FinishReason
  /** Of the attempt that wrote the end. */
  readonly usage: Usage
  readonly timing: {
    /** From the message to the end. */
    readonly totalMs: number
    /** From the message to the first released character; undefined when there was none. */
    readonly firstTextMs: number | undefined
    /** Generation speed of the last attempt. */
    readonly tokensPerSecond: number | undefined
  }
}

/** A piece of an answer as the person gets it: append-only, never taken back. */
export type ReplyPiece = { readonly type: 'text'; readonly text: string } | { readonly type: 'reasoning'; readonly text: string }

/** An answer that streams. Iterate it once; or only await `reply`. */
export interface ReplyStream extends AsyncIterable<ReplyPiece> {
  readonly sessionId: string
  readonly turnId: string
  /** The whole answer. Rejects with a `MaiError` when no model could give one. */
  readonly reply: Promise<Reply>
  /** Stops the answer; `reply` then resolves with `cancelled`. */
  cancel(): void
  report(): TurnReport
}
