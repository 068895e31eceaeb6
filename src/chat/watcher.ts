/**
 * The slot `watcher`: judges an answer as it streams, synchronously, before the person sees it.
 *
 * @module
 */
import type { FinishReason } from './backend.ts'
import type { ModelKey } from './model.ts'
import type { StruggleKind } from './policy.ts'

/** A watcher's judgement. Offsets are UTF-16 units into the answer's raw text. */
export type Verdict =
  | { readonly state: 'clear' }
  /** Hold text back from `from` on until this is settled. */
  | { readonly state: 'suspect'; readonly from: number }
  /** The answer is lost from `cutAt` on. */
  | { readonly state: 'struggle'; readonly kind: StruggleKind; readonly evidence: string; readonly cutAt: number }

/** What a watcher knows of an answer before it begins. */
export interface AnswerStart {
  readonly model: ModelKey
  readonly promptTokens: number
  /** What this model has shown on this machine so far, in tokens/s; undefined where nothing is known. */
  readonly shown: { readonly prefillPerSecond: number | undefined; readonly writingPerSecond: number | undefined }
  /** Silence that this turn allows, in ms: to the first content, before the prompt's length counts, and between pieces. */
  readonly limits: { readonly firstTokenMs: number; readonly gapMs: number }
  /** Text the answer already has, when a model continues another's. */
  readonly already: string
  /** Epoch ms. */
  readonly time: number
}

/** What else is known of a piece. */
export interface PieceFacts {
  /** The model's tokens; 0 for progress of the prompt and for a call of a tool. */
  readonly tokens: number
  /** Natural log-probabilities of these tokens, where the backend gives them. */
  readonly logProbabilities?: readonly number[] | undefined
  readonly toolCall?: boolean | undefined
}

/** Watches one attempt at an answer. `now` is epoch ms. */
export interface AnswerWatch {
  push(text: string, now: number, facts?: PieceFacts): Verdict
  /** Content came that is no text of the answer: reasoning, a call of a tool, progress of the prompt. */
  alive?(now: number, facts: PieceFacts): Verdict
  tick(now: number): Verdict
  end(finish: FinishReason, now: number): Verdict
}

/** A detector. One that throws is dropped for the rest of the answer. */
export interface Watcher {
  readonly name: string
  /** All that it finds. It is left out where these were found to be the text itself. Default: whatever. */
  readonly kinds?: readonly StruggleKind[]
  start(answer: AnswerStart): AnswerWatch
}
