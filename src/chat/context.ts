/**
 * The slot `context` and the hook `prompt.compose`: what a model gets to see of a conversation.
 *
 * @module
 */
import type { PromptMessage } from './backend.ts'
import type { Message } from './message.ts'
import type { ModelKey } from './model.ts'

/** The layers of a prompt, in order. */
export type PromptLayer = 'pinned' | 'ledger' | 'recall'

/** Text that stands in the prompt beside the conversation: a persona, memories, instructions. */
export interface PromptSection {
  readonly id: string
  readonly layer: PromptLayer
  readonly text: string
  /** Higher is kept longer. */
  readonly priority: number
  /** The most it may take, in tokens. */
  readonly maxTokens: number
}

/** What goes through `prompt.compose`. */
export interface ComposeInput {
  readonly sessionId: string
  readonly turnId: string
  readonly model: ModelKey
  /** The message to answer. */
  readonly message: Message
  /** Tokens that all added sections together may take: a quarter of the usable window. */
  readonly budgetTokens: number
  readonly sections: readonly PromptSection[]
}

/** The raw history, read in pages from the newest backwards. */
export interface HistoryReader {
  /** Messages before `beforeSeq` (exclusive; undefined: the newest), in ascending order. */
  page(limit: number, beforeSeq?: number): Promise<readonly Message[]>
}

/** A window to fill. Tokens. */
export interface PromptWindow {
  readonly contextLength: number
  /** Kept free for the answer. */
  readonly reserveTokens: number
}

/** What to assemble. */
export interface AssembleRequest {
  readonly sessionId: string
  readonly turnId: string
  readonly model: ModelKey
  readonly window: PromptWindow
  readonly sections: readonly PromptSection[]
  /** The message to answer; already in the store. */
  readonly message: Message
  /** Messages before it. */
  readonly history: HistoryReader
  /** The part of the answer that exists already. */
  readonly partial: string
  /** The backend's own count of a whole prompt, where it has one. */
  readonly exactCount: (messages: readonly PromptMessage[]) => Promise<number | undefined>
}

/** A prompt that fits. */
export interface AssembledPrompt {
  readonly messages: readonly PromptMessage[]
  readonly tokens: number
  /** Whether `tokens` was counted by the model's tokenizer. */
  readonly exact: boolean
  /** Tokens the window has for prompts: window − reserve. */
  readonly usableTokens: number
  readonly condensed: boolean
  /** Messages that stand in it verbatim, and all messages of the session. */
  readonly verbatimMessages: number
  readonly totalMessages: number
}

/** Assembles prompts. Calls no model. */
export interface ContextAssembler {
  /** @throws MaiError `MAI_CONTEXT_OVERFLOW` when pinned text and message do not fit this window */
  assemble(request: AssembleRequest): Promise<AssembledPrompt>
  /** Tokens of a text by this model's learned ratio; synchronous and cheap. */
  estimateTokens(model: ModelKey, text: string): number
  /** Learns from what the engine reported for an assembled prompt. */
  observe(model: ModelKey, prompt: AssembledPrompt, promptTokens: number): void
}

/** Default reserve for the answer: the smaller of 1,024 tokens and a quarter of the window. */
export function defaultReserve(contextLength: number): number {
  return Math.min(1024, Math.floor(contextLength / 4))
}
