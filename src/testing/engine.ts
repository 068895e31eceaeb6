/**
 * What the stand-in LM Studio server needs of an engine. The scripted engine and llama.cpp both speak it.
 *
 * @module
 */

/** One message as an engine's template sees it. */
export interface EngineMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly text: string
}

/** How an engine ended. */
export interface EngineResult {
  readonly stopReason: 'eosFound' | 'stopStringFound' | 'maxPredictedTokensReached' | 'contextLengthReached' | 'userStopped' | 'failed'
  readonly promptTokens: number
  readonly predictedTokens: number
}

/** What to generate. */
export interface EngineRequest {
  /** The whole raw prompt. */
  readonly prompt: string
  readonly maxTokens: number | undefined
  readonly temperature: number | undefined
  readonly stop: readonly string[]
  readonly signal: AbortSignal
}

/** A model in memory. */
export interface LoadedEngine {
  /** Tokens; may differ from what was asked. */
  readonly contextLength: number
  tokenize(text: string): number[]
  applyTemplate(messages: readonly EngineMessage[]): string
  /** Calls `onFragment` for each piece of text, in order, on whole characters. */
  generate(request: EngineRequest, onFragment: (text: string, tokens: number) => void): Promise<EngineResult>
  /** Waits for a running generation to end first. */
  dispose(): Promise<void>
}

/** A model on disk (or in a script). */
export interface EngineModel {
  readonly key: string
  readonly displayName: string
  readonly path: string
  readonly sizeBytes: number
  readonly architecture: string
  /** Such as `7B`. */
  readonly paramsString: string
  readonly quantisation: { readonly name: string; readonly bits: number }
  readonly maxContextLength: number
  readonly vision: boolean
  readonly trainedForToolUse: boolean
  load(contextLength: number, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<LoadedEngine>
}
