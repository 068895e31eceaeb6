/**
 * Assembles a prompt for one window. While everything fits, everything is there, unchanged. Otherwise, in this order:
 * pinned text, ledger, the recent part word for word, what belongs to the message from earlier, the message.
 *
 * @module
 */
import type { AssembledPrompt, AssembleRequest } from '../../chat/context.ts'
import { backendError } from '../../chat/failure.ts'
import { type Instruction, standingInstructions } from '../../chat/instructions.ts'
import type { Message } from '../../chat/message.ts'
import type { RecallStore } from '../../chat/recall.ts'
import type { MaiError } from '../../core/errors.ts'
import { plain, sumOf } from './amount.ts'
import { EXCERPT_MESSAGES, type Excerpts } from './excerpts.ts'
import { type Frame, frameOf } from './frame.ts'
import { type KeptTails, type KnownLengths, readTail, type Tail } from './history.ts'
import { type Conversed, HEADERS_TOKENS, layered, split } from './layers.ts'
import { candidatesFor } from './recall.ts'
import type { Remembered } from './remembered.ts'
import { selectTurns } from './select.ts'
import type { RawSize, TokenEstimator } from './tokens.ts'
import { capped, unitsOf } from './units.ts'

/** Shares of the usable window. */
export interface CompressionOptions {
  /** From here on what a condensed prompt will need is prepared in the background. */
  readonly prepareAt: number
  /** Above this a prompt is condensed. */
  readonly condenseAt: number
  /** What a condensed prompt aims at. */
  readonly condenseTo: number
  /** Share of a condensed prompt for excerpts, while there is no ledger. */
  readonly extractShare: number
}

/** What assembling works with. */
export interface Assembly {
  readonly options: CompressionOptions
  readonly tokens: TokenEstimator
  readonly remembered: Remembered
  readonly lengths: KnownLengths
  readonly tails: KeptTails
  readonly excerpts: Excerpts
  /** Without one nothing is recalled and no instruction is known. */
  readonly store: RecallStore | undefined
}

/** A prompt with its size before any model is looked at. */
export interface SizedPrompt {
  readonly prompt: AssembledPrompt
  readonly size: RawSize
  /** Tokens that it has at most, as far as is known. */
  readonly atMost: number
}

/** Above this share of the usable window the engine's own counter is asked. */
const EXACT_ABOVE = 0.75
/** Above so many times the usable window no tokenizer makes a prompt fit, and no engine is asked. */
const HOPELESS = 12
/** The conversation's own share of a prompt, however long the message is, while there is room. */
const LEAST_HISTORY = 0.2
/** When to give up. */
const LEAST_SHARE = 0.05
const MOST_TRIES = 12
/** What to aim at: almost all of the window at most; so much of the aim is enough. */
const GOAL = 0.97
const ENOUGH = 0.95
const MOST_GROWTH = 1.4
const ALMOST = 0.95
/** Messages by which a model's tokenizer is first known. */
const SAMPLE = 16
const BARE: Frame = { pinned: '', ledger: '', recall: '' }
/** Messages with standing instructions that are looked at. */
const MOST_INSTRUCTIONS = 64

/** @throws MaiError `MAI_CONTEXT_OVERFLOW` when what may not be dropped does not fit */
export async function assemble(request: AssembleRequest, assembly: Assembly): Promise<SizedPrompt> {
  const history = await assembly.tails.reader(request.sessionId, request.history)
  const work = new Work({ ...request, history }, assembly)
  await assembly.tokens.remember(request.model)
  return (await work.whole()) ?? work.condensed()
}

/** Makes the prompt that would be due if the window were full, so that what it needs is at hand when it is. Asks no engine. */
export async function prepare(request: AssembleRequest, assembly: Assembly): Promise<void> {
  await assembly.tokens.load()
  const history = await assembly.tails.reader(request.sessionId, request.history)
  await new Work({ ...request, history, exactCount: async () => undefined }, assembly).condensed()
}

/** One prompt in the making. */
class Work {
  readonly #request: AssembleRequest
  readonly #assembly: Assembly
  readonly #usable: number

  constructor(request: AssembleRequest, assembly: Assembly) {
    this.#request = request
    this.#assembly = assembly
    this.#usable = request.window.contextLength - request.window.reserveTokens
  }

  /** Everything, where it fits. */
  async whole(): Promise<SizedPrompt | undefined> {
    for (;;) {
      const made = await this.#wholeAsFarAsKnown()
      if (made || !(await this.#learnMore())) return made
    }
  }

  async #wholeAsFarAsKnown(): Promise<SizedPrompt | undefined> {
    const { tokens, lengths, options } = this.#assembly
    const { sessionId, model, history } = this.#request
    const frame = this.#frame([])
    const budget = frame ? this.#usable * options.condenseAt - this.#fixed(frame) : -1
    if (!frame || budget < 0) return undefined
    if (tokens.loaded && tokens.bound(model, await lengths.atLeast(sessionId, history)) > budget) return undefined
    const tail = await readTail(history, budget, (message) => this.#cost([message]))
    if (tail.whole)
      return this.#checked(this.#finish(frame, { recent: [{ messages: tail.messages }], quoted: undefined, excerpts: '' }, undefined))
    if (tokens.loaded) this.#noteLength(tail)
    return undefined
  }

  /**
   * Most prompts fit by far and need no tokenizer, so the first bound is a rough one on the safe side. A model that nothing
   * is known of is asked, where it can count, how long the newest messages are for it.
   * @returns whether more is known now
   */
  async #learnMore(): Promise<boolean> {
    const { tokens } = this.#assembly
    const { model, history, message } = this.#request
    if (!tokens.loaded) {
      await tokens.load()
      return true
    }
    if (tokens.knows(model)) return false
    const likely = tokens.likely(model, this.#assembly.remembered.amount(message), 1)
    const newest = likely < this.#usable ? unitsOf((await history.page(SAMPLE)).map(capped)).slice(-SAMPLE) : []
    if (likely < this.#usable * HOPELESS)
      await this.#count(this.#finish(BARE, { recent: newest, quoted: undefined, excerpts: '' }, undefined))
    return tokens.knows(model)
  }

  async condensed(): Promise<SizedPrompt> {
    const { store, options, remembered, excerpts, tokens } = this.#assembly
    const { sessionId, message, history, model } = this.#request
    const told = store ? await store.instructions(sessionId, { before: message.seq, limit: MOST_INSTRUCTIONS }) : []
    const whole = this.#frame(standingInstructions(told))
    if (!whole) throw this.#overflow(undefined)
    // Facts and memories go before the message does.
    const frame = this.#fixed(whole) > this.#usable ? { ...whole, ledger: '', recall: '' } : whole
    const needed = this.#bare(frame, 0)
    const must = await this.#atLeast(needed)
    if (must > this.#usable) throw this.#overflow(must)
    const fixed = this.#fixed(frame)

    // Bounds are wide where little is known: what is aimed at is likely, what is kept is bounded.
    const width = tokens.bound(model, plain(1)) / tokens.likely(model, plain(1))
    const condenseTo = Math.min(options.condenseAt, options.condenseTo * width)
    const least = Math.min(this.#usable * LEAST_HISTORY, this.#usable * options.condenseAt - fixed)
    const target = Math.max(0, this.#usable * condenseTo - fixed, least)
    const shortened = { page: async (limit: number, before?: number) => (await history.page(limit, before)).map(capped) }
    const tail = await readTail(shortened, target, (each) => this.#cost([each]), EXCERPT_MESSAGES)
    const found = await candidatesFor(this.#request, tail.messages, target, store, remembered, (messages) => this.#cost(messages))
    const room = Math.min(target / 2, this.#usable * condenseTo * options.extractShare)
    const lines = frame.ledger === '' ? excerpts.of(sessionId, tail, room / tokens.bound(model, plain(1))) : ''
    const quoting = tokens.bound(model, sumOf([plain(HEADERS_TOKENS), tokens.amount(lines)]))
    const total = found.total ?? tail.messages.length + tail.older.length + 1
    const attempt = (share: number): { readonly sized: SizedPrompt; readonly all: boolean } => {
      const kept = selectTurns(found.analysis, target * share - quoting, found.question, found.scores)
      const sized = this.#finish(frame, { ...split(found, kept, remembered), excerpts: lines }, total)
      return { sized, all: kept.length === found.units.length }
    }
    let best: SizedPrompt | undefined
    let share = 1
    for (let tries = 0; tries < MOST_TRIES && share > LEAST_SHARE; tries++) {
      const { sized, all } = attempt(share)
      const exact = sized.atMost > this.#usable * EXACT_ABOVE || best?.prompt.exact ? await this.#count(sized) : undefined
      const size = exact ?? sized.atMost
      const fits = size <= this.#usable
      if (fits) best = exact === undefined ? sized : { ...sized, prompt: { ...sized.prompt, tokens: exact, exact: true } }
      // Parts together cost more than the whole: what is too long or much too short for its aim is measured out anew.
      const aim = Math.min(this.#usable * GOAL, Math.max(this.#usable * condenseTo, fixed + target))
      if (fits && (all || size > aim * ENOUGH || tries > 0)) break
      const wanted = share * (aim / size)
      share = fits ? Math.min(wanted, share * MOST_GROWTH) : Math.min(wanted, share * ALMOST)
    }
    if (best) return best
    // Nothing more can be left out.
    const bare = await this.#checked(this.#bare({ ...frame, ledger: '', recall: '' }, total))
    if (bare) return bare
    throw this.#overflow(must)
  }

  /** Tokens of what may not be dropped: by the engine's count, where the estimate alone would refuse it. */
  async #atLeast(needed: SizedPrompt): Promise<number> {
    const tokens = Math.ceil(this.#assembly.tokens.needed(this.#request.model, needed.size))
    if (tokens <= this.#usable || needed.prompt.tokens > this.#usable * HOPELESS) return tokens
    return (await this.#count(needed)) ?? tokens
  }

  /** Without any of the conversation. */
  #bare(frame: Frame, total: number): SizedPrompt {
    return this.#finish(frame, { recent: [], quoted: undefined, excerpts: '' }, total)
  }

  #frame(instructions: readonly Instruction[]): Frame | undefined {
    const { sections, model } = this.#request
    return frameOf(sections, instructions, this.#usable, (text) => this.#assembly.tokens.estimate(model, text))
  }

  /** Tokens of what is there whatever the conversation. */
  #fixed(frame: Frame): number {
    const { tokens } = this.#assembly
    const { model, message, partial } = this.#request
    const texts = [frame.pinned, frame.ledger, frame.recall, partial].filter((text) => text !== '')
    return texts.reduce((sum, text) => sum + tokens.bound(model, tokens.amount(text), 1), this.#cost([message]))
  }

  #cost(messages: readonly Message[]): number {
    const { tokens, remembered } = this.#assembly
    return messages.reduce((sum, message) => sum + tokens.bound(this.#request.model, remembered.amount(message), 1), 0)
  }

  #noteLength({ messages }: Tail): void {
    const { remembered, lengths } = this.#assembly
    const newest = messages.at(-1)
    if (newest) lengths.note(this.#request.sessionId, newest.seq, sumOf(messages.map((message) => remembered.amount(message))))
  }

  /** @param total messages of the session, where some are left out */
  #finish(frame: Frame, chosen: Conversed, total: number | undefined): SizedPrompt {
    const { tokens, remembered } = this.#assembly
    const { message, model, partial } = this.#request
    const past = chosen.recent.flatMap(({ messages }) => messages)
    const beside = [frame.pinned, frame.ledger, frame.recall, partial, chosen.excerpts].filter((text) => text !== '')
    const amounts = [...past, message].map((each) => remembered.amount(each))
    const amount = sumOf([...amounts, ...beside.map((text) => tokens.amount(text)), ...(chosen.quoted ? [chosen.quoted.amount] : [])])
    const count = past.length + 1 + beside.length
    const verbatimMessages = past.length + 1 + (chosen.quoted?.messages ?? 0)
    const prompt: AssembledPrompt = {
      messages: layered(frame, chosen, message),
      tokens: Math.ceil(tokens.likely(model, amount, count)),
      exact: false,
      usableTokens: this.#usable,
      condensed: total !== undefined,
      verbatimMessages,
      totalMessages: Math.max(verbatimMessages, total ?? 0),
    }
    return { prompt, size: { amount, messages: count }, atMost: tokens.bound(model, amount, count) }
  }

  /** The same with the engine's own count, where it comes near the limit; undefined when it is over it. */
  async #checked(sized: SizedPrompt): Promise<SizedPrompt | undefined> {
    if (sized.atMost <= this.#usable * EXACT_ABOVE) return sized
    const exact = await this.#count(sized)
    if (exact === undefined) return sized
    return exact <= this.#usable ? { ...sized, prompt: { ...sized.prompt, tokens: exact, exact: true } } : undefined
  }

  /** The engine's own count, which is learned from; undefined where it has none. */
  async #count({ prompt, size }: SizedPrompt): Promise<number | undefined> {
    const exact = await this.#request.exactCount(prompt.messages)
    if (exact !== undefined) this.#assembly.tokens.learn(this.#request.model, size, exact)
    return exact
  }

  #overflow(tokens: number | undefined): MaiError {
    const { model } = this.#request
    const need = tokens === undefined ? 'more than a quarter of its window for pinned text' : `${tokens} tokens`
    return backendError(
      'MAI_CONTEXT_OVERFLOW',
      `The message and its instructions need ${need}; ${model} has room for ${this.#usable} tokens.`,
    )
  }
}
