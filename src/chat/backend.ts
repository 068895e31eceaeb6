/**
 * The slot `backend`: one engine and the models it serves. A backend never retries and never chooses.
 *
 * @module
 */
import type { Part, Role } from './message.ts'
import type { LoadedInstance, LoadSettings, MemoryEstimate, ModelInfo, SamplingSettings } from './model.ts'

/** One message of an assembled prompt. */
export interface PromptMessage {
  readonly role: Role
  readonly parts: readonly Part[]
}

/** A tool that a model may call. `parameters` is JSON Schema. */
export interface ToolDefinition {
  readonly name: string
  readonly description: string
  readonly parameters: Readonly<Record<string, unknown>>
}

/** Why an answer ended. */
export type FinishReason =
  /** The model ended it, or a stop string did. */
  | 'stop'
  /** The limit of tokens was reached. */
  | 'length'
  | 'tool-calls'
  /** We aborted it. */
  | 'cancelled'
  /** The window is full. */
  | 'context-full'
  | 'model-unloaded'
  | 'content-filter'
  /** The engine gave up. */
  | 'failed'

/** A piece of an answer, in order. `tokens` are the model's. */
export type GenerationPiece =
  | {
      readonly type: 'text'
      readonly text: string
      readonly tokens: number
      /** Natural log-probability of each token, where the engine tells. */
      readonly logProbabilities?: readonly number[]
    }
  | { readonly type: 'reasoning'; readonly text: string; readonly tokens: number }
  | { readonly type: 'tool-call'; readonly callId: string; readonly name: string; readonly arguments: string }
  /** Share of the prompt that has been read, 0 to 1. */
  | { readonly type: 'prefill'; readonly fraction: number }

/** Takes the pieces as they come. Synchronous, so that no queue stands between engine and watchers. */
export type PieceSink = (piece: GenerationPiece) => void

/** What to answer. */
export interface GenerateRequest {
  readonly instance: LoadedInstance
  readonly messages: readonly PromptMessage[]
  /** Text that the answer begins with already; the engine goes on right behind it and does not repeat it. */
  readonly continueFrom?: string
  readonly sampling: SamplingSettings
  readonly tools?: readonly ToolDefinition[]
  /** JSON Schema that the answer must satisfy. */
  readonly responseSchema?: Readonly<Record<string, unknown>>
  /** Aborting it ends the generation; `generate` then resolves with `cancelled`. */
  readonly signal: AbortSignal
}

/** Tokens used by one generation. */
export interface Usage {
  readonly promptTokens: number
  readonly completionTokens: number
}

/** How a generation ended. */
export interface GenerationResult {
  readonly finish: FinishReason
  readonly usage: Usage
}

/** Progress of a load, 0 to 1. */
export type LoadProgress = (fraction: number) => void

/** What a backend can do; the turn plans by it. */
export interface BackendAbilities {
  /** How a partial answer is continued: from the raw prompt, from a prefilled assistant message, or not at all. */
  readonly continuation: 'raw' | 'prefill' | 'none'
  /** Whether models are loaded and unloaded through it; otherwise `load` only names an instance. */
  readonly loads: boolean
}

/**
 * An engine. Every call settles in bounded time, and rejects with a `MaiError` of `failure.ts`.
 */
export interface Backend {
  /** Name in model keys; lower case, no slash. */
  readonly name: string
  /** Its endpoint is another machine. Never chosen by itself unless `allowRemote`. */
  readonly remote: boolean
  readonly allowRemote: boolean
  readonly abilities: BackendAbilities
  /** The models it has now, with what is loaded. Starts or finds its engine when it must. @throws MaiError `MAI_BACKEND_UNREACHABLE` */
  list(signal: AbortSignal): Promise<readonly ModelInfo[]>
  /** Resident after it resolves. Aborting leaves nothing loaded. */
  load(model: ModelInfo, settings: LoadSettings, onProgress: LoadProgress, signal: AbortSignal): Promise<LoadedInstance>
  unload(instance: LoadedInstance, signal: AbortSignal): Promise<void>
  generate(request: GenerateRequest, sink: PieceSink): Promise<GenerationResult>
  /** Tokens of the whole prompt, template included, by the model's own tokenizer; undefined where it has none to ask. */
  countTokens(instance: LoadedInstance, messages: readonly PromptMessage[], signal: AbortSignal): Promise<number | undefined>
  /** Whether a model can now be reached another way than the one that just failed. Default: it cannot. */
  anotherRoute?(model: ModelInfo): boolean
  /** The engine's own high-confidence estimate, if it has one. */
  estimateMemory?(model: ModelInfo, settings: LoadSettings, signal: AbortSignal): Promise<MemoryEstimate | undefined>
}
