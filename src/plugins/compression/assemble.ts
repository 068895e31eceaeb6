/**
 * Assembles a prompt for one window. While everything fits, everything is there, unchanged. Otherwise, in this order:
 * pinned text, ledger, the recent part word for word, what belongs to the message from earlier, the message.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { AssembledPrompt, AssembleRequest } from '../../chat/context.ts'
import { backendError } from '../../chat/failure.ts'
import { type Instruction, standingInstructions } from '../../chat/instructions.ts'
import type { Message } from '../../chat/message.ts'
import type { RecallStore } from '../../chat/recall.ts'
import type { MaiError } from '../../core/errors.ts'
import { EXCERPT_MESSAGES, type Excerpts } from './excerpts.ts'
import { type Frame, frameOf } from './frame.ts'
import { type KeptTails, type KnownLengths, readTail, type Tail } from './history.ts'
import { type Conversed, HEADERS_TOKENS, layered, split } from './layers.ts'
import { candidatesFor } from './recall.ts'
import type { Remembered } from './remembered.ts'
import { selectTurns } from './select.ts'
import { type Amount, type RawSize, sumOf, type TokenEstimator } from './tokens.ts'
import { capped } from './units.ts'

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
}

/** Above this share of the usable window the engine's own counter is asked. */
const EXACT_ABOVE = 0.75
/** The conversation's own share of a prompt, however long the message is, while there is room. */
const LEAST_HISTORY = 0.2
/** How much is taken off the budget when the estimate is over the window; and when to give up, after so many counts. */
const SHRINK = 0.8
const LEAST_SHARE = 0.05
const MOST_COUNTS = 12
/** What to aim at once the engine counts: almost all of the window at most; so much of the aim is enough. */
const GOAL = 0.97
const ENOUGH = 0.92
const MOST_GROWTH = 1.4
const ALMOST = 0.95
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
    const { tokens, lengths } = this.#assembly
    // A rough bound on the safe side first: most prompts fit by far and need no tokenizer.
    for (const last of tokens.loaded ? [true] : [false, true]) {
      if (last) await tokens.load()
      const frame = this.#frame([])
      const fixed = frame ? this.#fixed(frame) : Number.POSITIVE_INFINITY
      const budget = this.#usable * this.#assembly.options.condenseAt - fixed
      if (!frame || budget < 0) continue
      const { sessionId, model, history } = this.#request
      if (last && tokens.scaled(model, { plain: await lengths.atLeast(sessionId, history), foreign: 0 }) > budget) return undefined
      const tail = await readTail(history, budget, (message) => this.#cost([message]))
      if (last && !tail.whole) this.#noteLength(tail)
      if (tail.whole)
        return this.#checked(this.#finish(frame, { recent: [{ messages: tail.messages }], quoted: undefined, excerpts: '' }, undefined))
    }
    return undefined
  }

  async condensed(): Promise<SizedPrompt> {
    const { store, options, remembered, excerpts, tokens } = this.#assembly
    const { sessionId, message, history, model } = this.#request
    const told = store ? await store.instructions(sessionId, { before: message.seq, limit: MOST_INSTRUCTIONS }) : []
    const whole = this.#frame(standingInstructions(told))
    if (!whole) throw this.#overflow(undefined)
    // Facts and memories go before the message does.
    const frame = this.#fixed(whole) > this.#usable ? { ...whole, ledger: '', recall: '' } : whole
    const fixed = this.#fixed(frame)
    if (fixed > this.#usable) throw this.#overflow(fixed)

    const least = Math.min(this.#usable * LEAST_HISTORY, this.#usable * options.condenseAt - fixed)
    const target = Math.max(0, this.#usable * options.condenseTo - fixed, least)
    const shortened = { page: async (limit: number, before?: number) => (await history.page(limit, before)).map(capped) }
    const tail = await readTail(shortened, target, (each) => this.#cost([each]), EXCERPT_MESSAGES)
    const found = await candidatesFor(this.#request, tail.messages, target, store, remembered, (messages) => this.#cost(messages))
    const room = Math.min(target / 2, this.#usable * options.condenseTo * options.extractShare)
    const lines = frame.ledger === '' ? excerpts.of(sessionId, tail, room / tokens.scaled(model, ONE)) : ''
    const quoting = tokens.scaled(model, sumOf([{ plain: HEADERS_TOKENS, foreign: 0 }, tokens.amount(lines)]))
    const total = found.total ?? tail.messages.length + tail.older.length + 1
    const attempt = (share: number): SizedPrompt => {
      const kept = selectTurns(found.analysis, target * share - quoting, found.question)
      return this.#finish(frame, { ...split(found, kept, (each) => remembered.amount(each)), excerpts: lines }, total)
    }
    let best: SizedPrompt | undefined
    let share = 1
    for (let counts = 0; counts < MOST_COUNTS && share > LEAST_SHARE; counts++) {
      const sized = attempt(share)
      const exact = sized.prompt.tokens > this.#usable * EXACT_ABOVE || best ? await this.#count(sized) : undefined
      if (exact === undefined) {
        if (sized.prompt.tokens <= this.#usable) return best ?? sized
        share *= SHRINK
        continue
      }
      const fits = exact <= this.#usable
      if (fits) best = { ...sized, prompt: { ...sized.prompt, tokens: exact, exact: true } }
      // Once counted, what is too long or much too short for its aim is measured out anew.
      const aim = Math.min(this.#usable * GOAL, Math.max(this.#usable * options.condenseTo, fixed + target))
      if (fits && (exact > aim * ENOUGH || counts > 0)) break
      const wanted = share * (aim / exact)
      share = fits ? Math.min(wanted, share * MOST_GROWTH) : Math.min(wanted, share * ALMOST)
    }
    if (best) return best
    const bare = this.#finish({ ...frame, ledger: '', recall: '' }, { recent: [], quoted: undefined, excerpts: '' }, total)
    const checked = bare.prompt.tokens <= this.#usable ? await this.#checked(bare) : undefined
    if (checked) return checked
    throw this.#overflow(bare.prompt.tokens)
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
    return texts.reduce((sum, text) => sum + tokens.message(model, EMPTY, tokens.amount(text)), this.#cost([message]))
  }

  #cost(messages: readonly Message[]): number {
    const { tokens, remembered } = this.#assembly
    return messages.reduce((sum, message) => sum + tokens.message(this.#request.model, EMPTY, remembered.amount(message)), 0)
  }

  #noteLength({ messages }: Tail): void {
    const { remembered, lengths } = this.#assembly
    const newest = messages.at(-1)
    const { plain, foreign } = sumOf(messages.map((message) => remembered.amount(message)))
    if (newest) lengths.note(this.#request.sessionId, newest.seq, plain + foreign)
  }

  /** @param total messages of the session, where some are left out */
  #finish(frame: Frame, chosen: Conversed, total: number | undefined): SizedPrompt {
    const { tokens, remembered } = this.#assembly
    const { message, model, partial } = this.#request
    const past = chosen.recent.flatMap(({ messages }) => messages)
    const beside = [frame.pinned, frame.ledger, frame.recall, partial, chosen.excerpts].filter((text) => text !== '')
    const amounts = [...past, message].map((each) => remembered.amount(each))
    const size = sumOf([...amounts, ...beside.map((text) => tokens.amount(text)), ...(chosen.quoted ? [chosen.quoted.amount] : [])])
    const count = past.length + 1 + beside.length
    const verbatimMessages = past.length + 1 + (chosen.quoted?.messages ?? 0)
    const prompt: AssembledPrompt = {
      messages: layered(frame, chosen, message),
      tokens: Math.ceil(tokens.scaled(model, size)) + count * tokens.message(model, EMPTY, NOTHING),
      exact: false,
      usableTokens: this.#usable,
      condensed: total !== undefined,
      verbatimMessages,
      totalMessages: Math.max(verbatimMessages, total ?? 0),
    }
    return { prompt, size: { ...size, messages: count } }
  }

  /** The same with the engine's own count, where it comes near the limit; undefined when it is over it. */
  async #checked(sized: SizedPrompt): Promise<SizedPrompt | undefined> {
    if (sized.prompt.tokens <= this.#usable * EXACT_ABOVE) return sized
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

const EMPTY: PromptMessage = { role: 'user', parts: [] }
const NOTHING: Amount = { plain: 0, foreign: 0 }
const ONE: Amount = { plain: 1, foreign: 0 }
