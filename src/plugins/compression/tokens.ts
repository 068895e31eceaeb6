/**
 * Token estimates: o200k times a ratio learned for each model from what its engine reports.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { ModelKey } from '../../chat/model.ts'
import { boundedCount, type Count } from './o200k.ts'

/** Safety on top of the estimate before and after the first report (no prompt overflowed in simulated switches). */
const COLD_MARGIN = 1.12
const WARM_MARGIN = 1.08
/** Weight of the newest report. */
const LEARNING_RATE = 0.3
/** Tokens that a template puts around one message. */
const MESSAGE_OVERHEAD = 6
/** UTF-8 bytes a token, where no tokenizer is loaded yet: on the safe side for all scripts. */
const BYTES_PER_TOKEN = 2.5

/** Counts, and learns how far off it is. */
export class TokenEstimator {
  readonly #ratios: Map<ModelKey, number> = new Map()
  #count: Count | undefined
  #loading: Promise<void> | undefined

  /** Loads the tokenizer: about 130 ms and 70 MB, so only when a prompt may not fit. */
  load(): Promise<void> {
    this.#loading ??= import('gpt-tokenizer/encoding/o200k_base').then(({ countTokens }) => {
      // Without `disallowedSpecial`, text such as <|endoftext|> in a message would throw.
      this.#count = boundedCount((text) => countTokens(text, { disallowedSpecial: new Set() }))
    })
    return this.#loading
  }

  /** Tokens of a text for this model, margin included. */
  estimate(model: ModelKey, text: string): number {
    const raw = this.#count ? this.#count(text) : Buffer.byteLength(text) / BYTES_PER_TOKEN
    const ratio = this.#ratios.get(model)
    return Math.ceil(raw * (ratio ?? 1) * (ratio === undefined ? COLD_MARGIN : WARM_MARGIN))
  }

  /** Tokens of one message with its template. */
  message(model: ModelKey, message: PromptMessage): number {
    return MESSAGE_OVERHEAD + this.estimate(model, promptText(message))
  }

  /** @param estimated with margin @param reported by the engine */
  learn(model: ModelKey, estimated: number, reported: number): void {
    if (!this.#count || estimated <= 0 || reported <= 0) return
    const old = this.#ratios.get(model)
    const raw = estimated / ((old ?? 1) * (old === undefined ? COLD_MARGIN : WARM_MARGIN))
    const seen = reported / raw
    this.#ratios.set(model, old === undefined ? seen : old + LEARNING_RATE * (seen - old))
  }
}

/** All that costs tokens in a message. */
export function promptText(message: PromptMessage): string {
  return message.parts
    .map((part) => {
      if (part.type === 'text' || part.type === 'tool-result') return part.text
      return part.type === 'tool-call' ? `${part.name} ${part.arguments}` : ''
    })
    .join('\n')
}
