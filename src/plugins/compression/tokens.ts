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
/** Weight of the newest report, where it is lower; a higher one counts in full, as overflows cost more than room. */
const LEARNING_RATE = 0.3
/** Tokens that a template puts around one message: at most about so many, and at least. */
const MESSAGE_OVERHEAD = 6
const LEAST_OVERHEAD = 3
/** UTF-8 bytes a token, where no tokenizer is loaded yet: on the safe side for all scripts. */
const BYTES_PER_TOKEN = 2.5
/** Shorter prompts say more about a template than about a tokenizer. o200k tokens. */
const LEAST_TO_LEARN = 200
/** No tokenizer in use is further from o200k. */
const LEAST_RATIO = 0.5
const MOST_RATIO = 6
/** Smaller changes are not worth a write. */
const WORTH_KEEPING = 0.01

/** A text's size before any model is looked at. */
export interface RawSize {
  /** o200k tokens, or what stands for them while no tokenizer is loaded. */
  readonly raw: number
  readonly messages: number
}

/** Where learned ratios are kept. */
export interface RatioMemory {
  read(model: ModelKey): Promise<number | undefined>
  /** Must not reject. */
  write(model: ModelKey, tokensPerO200k: number): void
}

/** Counts, and learns how far off it is. */
export class TokenEstimator {
  readonly #memory: RatioMemory | undefined
  readonly #ratios: Map<ModelKey, number> = new Map()
  readonly #kept: Map<ModelKey, number> = new Map()
  readonly #asked: Map<ModelKey, Promise<void>> = new Map()
  #count: Count | undefined
  #loading: Promise<void> | undefined

  constructor(memory?: RatioMemory) {
    this.#memory = memory
  }

  /** Whether counts are o200k's. */
  get loaded(): boolean {
    return this.#count !== undefined
  }

  /** Loads the tokenizer: about 130 ms and 70 MB, so only when a prompt may not fit. */
  load(): Promise<void> {
    this.#loading ??= import('gpt-tokenizer/encoding/o200k_base').then(({ countTokens }) => {
      // Without `disallowedSpecial`, text such as <|endoftext|> in a message would throw.
      this.#count = boundedCount((text) => countTokens(text, { disallowedSpecial: new Set() }))
    })
    return this.#loading
  }

  /** Reads what an earlier process has learned about a model, once. */
  remember(model: ModelKey): Promise<void> {
    const memory = this.#memory
    if (!memory) return Promise.resolve()
    const asked = this.#asked.get(model)
    if (asked) return asked
    const asking = memory.read(model).then((ratio) => {
      if (ratio === undefined || this.#ratios.has(model)) return
      this.#ratios.set(model, clamp(ratio))
      this.#kept.set(model, clamp(ratio))
    })
    this.#asked.set(model, asking)
    return asking
  }

  /** o200k tokens of a text, or an upper bound of them. */
  raw(text: string): number {
    return this.#count ? this.#count(text) : Buffer.byteLength(text) / BYTES_PER_TOKEN
  }

  /** Tokens of this model for so many of o200k, margin included. */
  scaled(model: ModelKey, raw: number): number {
    const ratio = this.#ratios.get(model)
    return Math.ceil(raw * (ratio ?? 1) * (ratio === undefined ? COLD_MARGIN : WARM_MARGIN))
  }

  /** Tokens of a text for this model, margin included. */
  estimate(model: ModelKey, text: string): number {
    return this.scaled(model, this.raw(text))
  }

  /** Tokens of one message with its template. @param raw of its text, where that is known */
  message(model: ModelKey, message: PromptMessage, raw: number = this.raw(promptText(message))): number {
    return MESSAGE_OVERHEAD + this.scaled(model, raw)
  }

  /** @param size of the prompt @param reported tokens of the whole prompt by the model's own tokenizer */
  learn(model: ModelKey, { raw, messages }: RawSize, reported: number): void {
    if (!this.#count || raw < LEAST_TO_LEARN || reported <= 0) return
    const seen = clamp((reported - LEAST_OVERHEAD * messages) / raw)
    const old = this.#ratios.get(model)
    const ratio = old === undefined || seen > old ? seen : old + LEARNING_RATE * (seen - old)
    this.#ratios.set(model, ratio)
    const kept = this.#kept.get(model)
    if (kept !== undefined && Math.abs(ratio - kept) < WORTH_KEEPING * kept) return
    this.#kept.set(model, ratio)
    this.#memory?.write(model, ratio)
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

function clamp(ratio: number): number {
  return Math.min(MOST_RATIO, Math.max(LEAST_RATIO, ratio))
}
