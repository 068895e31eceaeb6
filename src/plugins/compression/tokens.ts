/**
 * Token estimates: o200k, and what is learned for each model from what its engine reports.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { ModelKey } from '../../chat/model.ts'
import { type Amount, amountOf, total } from './amount.ts'
import { boundedCount, type Count } from './o200k.ts'
import { type Fitted, isNear, TokenFit } from './token-fit.ts'

/** UTF-8 bytes a token, where no tokenizer is loaded yet: on the safe side for all scripts. */
const BYTES_PER_TOKEN = 2.5
/** Shorter prompts say more about a template than about a tokenizer. */
const LEAST_TO_LEARN = 200

/** The size of a prompt before any model is looked at. */
export interface RawSize {
  readonly amount: Amount
  readonly messages: number
}

/** Where what was learned is kept. */
export interface FitMemory {
  read(model: ModelKey): Promise<Fitted | undefined>
  /** Must not reject. */
  write(model: ModelKey, fitted: Fitted): void
}

/** Counts, and learns how far off it is. */
export class TokenEstimator {
  readonly #memory: FitMemory | undefined
  readonly #fits: Map<ModelKey, TokenFit> = new Map()
  readonly #kept: Map<ModelKey, Fitted> = new Map()
  readonly #asked: Map<ModelKey, Promise<void>> = new Map()
  readonly #unknown: TokenFit = new TokenFit()
  #count: Count | undefined
  #loading: Promise<void> | undefined

  constructor(memory?: FitMemory) {
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
    const asking = memory.read(model).then((fitted) => {
      if (!fitted || this.#fits.has(model)) return
      this.#fits.set(model, new TokenFit(fitted))
      this.#kept.set(model, fitted)
    })
    this.#asked.set(model, asking)
    return asking
  }

  /** Whether anything was learned of a model's tokenizer. */
  knows(model: ModelKey): boolean {
    return this.#fits.has(model)
  }

  /** o200k tokens of a text, or an upper bound of them. */
  raw(text: string): number {
    return this.#count ? this.#count(text) : Buffer.byteLength(text) / BYTES_PER_TOKEN
  }

  /** The same by kind. */
  amount(text: string): Amount {
    return amountOf(text, (ascii) => this.raw(ascii))
  }

  /** Tokens that this comes to for a model, at most, as far as is known; not rounded. @param messages whose templates are counted with it */
  bound(model: ModelKey, amount: Amount, messages = 0): number {
    return this.#fit(model).bound(amount, messages)
  }

  /** The same for what cannot be left out: see {@link TokenFit.needed}. */
  needed(model: ModelKey, { amount, messages }: RawSize): number {
    return this.#fit(model).needed(amount, messages)
  }

  /** Tokens that this probably comes to, with a margin. */
  likely(model: ModelKey, amount: Amount, messages = 0): number {
    return this.#fit(model).likely(amount, messages)
  }

  /** Tokens that a text probably has for this model. */
  estimate(model: ModelKey, text: string): number {
    return Math.ceil(this.likely(model, this.amount(text)))
  }

  /** @param size of the prompt @param reported tokens of the whole prompt by the model's own tokenizer */
  learn(model: ModelKey, { amount, messages }: RawSize, reported: number): void {
    if (!this.#count || total(amount) < LEAST_TO_LEARN || !(reported > 0) || !Number.isFinite(reported)) return
    const fit = this.#fits.get(model) ?? new TokenFit()
    this.#fits.set(model, fit)
    fit.learn(amount, messages, reported)
    const { fitted } = fit
    const kept = this.#kept.get(model)
    if (kept && isNear(fitted, kept)) return
    this.#kept.set(model, fitted)
    this.#memory?.write(model, fitted)
  }

  #fit(model: ModelKey): TokenFit {
    return this.#fits.get(model) ?? this.#unknown
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
