/**
 * Token estimates: o200k times a ratio learned for each model from what its engine reports.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { ModelKey } from '../../chat/model.ts'
import { boundedCount, type Count } from './o200k.ts'

/**
 * Safety on top of the estimate before and after the first report. After it, a tenth more than the worst recent
 * surprise: a prompt of code or links may come after many of plain talk.
 */
const COLD_MARGIN = 1.12
const WARM_MARGIN = 1.08
const SURPRISE_MARGIN = 1.1
const MOST_SURPRISE = 0.5
/** A surprise is forgotten by so much with each report. */
const FORGET = 0.97
/** Small vocabularies need more tokens for what is not ASCII, before anything is known of them. */
const COLD_FOREIGN = 1.5
/** o200k tokens of a character that is not ASCII, about. */
const FOREIGN_TOKENS = 0.75
const FOREIGN = /[^\0-\x7f]/g
/** Weight of a report that is lower than the estimate; a higher one counts in full, as overflows cost more than room. */
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

/** A text's size before any model is looked at, in o200k tokens, or in what stands for them while no tokenizer is loaded. */
export interface Amount {
  readonly plain: number
  /** Of characters that are not ASCII: where tokenizers differ most. */
  readonly foreign: number
}

/** The size of a prompt. */
export interface RawSize extends Amount {
  readonly messages: number
}

/** Tokens of a model for each of o200k's. */
export interface Ratios {
  readonly plain: number
  readonly foreign: number
}

/** Where learned ratios are kept. */
export interface RatioMemory {
  read(model: ModelKey): Promise<Ratios | undefined>
  /** Must not reject. */
  write(model: ModelKey, ratios: Ratios): void
}

/** Counts, and learns how far off it is. */
export class TokenEstimator {
  readonly #memory: RatioMemory | undefined
  readonly #ratios: Map<ModelKey, Ratios> = new Map()
  readonly #kept: Map<ModelKey, Ratios> = new Map()
  /** By how much a prompt was longer than estimated, lately, at worst. */
  readonly #surprises: Map<ModelKey, number> = new Map()
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
    const asking = memory.read(model).then((ratios) => {
      if (!ratios || this.#ratios.has(model)) return
      this.#ratios.set(model, clamped(ratios))
      this.#kept.set(model, clamped(ratios))
    })
    this.#asked.set(model, asking)
    return asking
  }

  /** o200k tokens of a text, or an upper bound of them. */
  raw(text: string): number {
    return this.#count ? this.#count(text) : Buffer.byteLength(text) / BYTES_PER_TOKEN
  }

  /** The same, with how much of it is not ASCII. */
  amount(text: string): Amount {
    const raw = this.raw(text)
    const foreign = Math.min(raw, FOREIGN_TOKENS * (text.match(FOREIGN)?.length ?? 0))
    return { plain: raw - foreign, foreign }
  }

  /** Tokens of this model for so many of o200k, margin included; not rounded. */
  scaled(model: ModelKey, { plain, foreign }: Amount): number {
    const ratios = this.#ratios.get(model)
    if (!ratios) return (plain + foreign * COLD_FOREIGN) * COLD_MARGIN
    const margin = Math.max(WARM_MARGIN, 1 + SURPRISE_MARGIN * (this.#surprises.get(model) ?? 0))
    return (plain * ratios.plain + foreign * ratios.foreign) * margin
  }

  /** Tokens of a text for this model, margin included. */
  estimate(model: ModelKey, text: string): number {
    return Math.ceil(this.scaled(model, this.amount(text)))
  }

  /** Tokens of one message with its template. @param amount of its text, where that is known */
  message(model: ModelKey, message: PromptMessage, amount: Amount = this.amount(promptText(message))): number {
    return MESSAGE_OVERHEAD + Math.ceil(this.scaled(model, amount))
  }

  /** @param size of the prompt @param reported tokens of the whole prompt by the model's own tokenizer */
  learn(model: ModelKey, { plain, foreign, messages }: RawSize, reported: number): void {
    if (!this.#count || plain + foreign < LEAST_TO_LEARN || reported <= 0) return
    const seen = Math.max(1, reported - LEAST_OVERHEAD * messages)
    const old = this.#ratios.get(model)
    const first = seen / (plain + foreign * COLD_FOREIGN)
    const ratios = old ?? { plain: first, foreign: first * COLD_FOREIGN }
    const missed = seen - (plain * ratios.plain + foreign * ratios.foreign)
    if (old) {
      const surprise = Math.min(MOST_SURPRISE, missed / Math.max(1, seen - missed))
      this.#surprises.set(model, Math.max(surprise, FORGET * (this.#surprises.get(model) ?? 0)))
    }
    // The nearest ratios by which this prompt would have been estimated right (Kaczmarz).
    const step = ((missed > 0 ? 1 : LEARNING_RATE) * missed) / (plain * plain + foreign * foreign)
    const learned = clamped({ plain: ratios.plain + step * plain, foreign: ratios.foreign + step * foreign })
    this.#ratios.set(model, learned)
    const kept = this.#kept.get(model)
    if (kept && near(learned.plain, kept.plain) && near(learned.foreign, kept.foreign)) return
    this.#kept.set(model, learned)
    this.#memory?.write(model, learned)
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

function near(a: number, b: number): boolean {
  return Math.abs(a - b) < WORTH_KEEPING * b
}

function clamped({ plain, foreign }: Ratios): Ratios {
  const within = (ratio: number): number => Math.min(MOST_RATIO, Math.max(LEAST_RATIO, ratio))
  return { plain: within(plain), foreign: within(foreign) }
}

/** Both together. */
export function sumOf(amounts: readonly Amount[]): Amount {
  let [plain, foreign] = [0, 0]
  for (const amount of amounts) {
    plain += amount.plain
    foreign += amount.foreign
  }
  return { plain, foreign }
}
