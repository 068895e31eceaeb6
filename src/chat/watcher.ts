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
  /** Text the answer already has, when a model continues another's. */
  readonly already: string
  /** Epoch ms. */
  readonly time: number
}

/** Watches one attempt at an answer. `now` is epoch ms. */
export interface AnswerWatch {
  push(text: string, now: number): Verdict
  tick(now: number): Verdict
  end(finish: FinishReason, now: number): Verdict
}

/** A detector. One that throws is dropped for the rest of the answer. */
export interface Watcher {
  readonly name: string
  start(answer: AnswerStart): AnswerWatch
}
