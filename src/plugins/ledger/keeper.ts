/**
 * Keeps the ledgers of long conversations, in idle moments: a batch of old messages, a question, a verdict, one write.
 *
 * Whatever goes wrong leaves everything as it was: the ledger is a help, and the messages themselves are all there.
 *
 * @module
 */
import type { BackgroundAnswer } from '../../chat/background.ts'
import type { ComposeInput, PromptSection } from '../../chat/context.ts'
import type { LedgerChange, LedgerFact, NewLedgerFact } from '../../chat/ledger.ts'
import type { ModelKey } from '../../chat/model.ts'
import { isMaiError, toErrorFact } from '../../core/errors.ts'
import type { PluginContext } from '../../core/plugin.ts'
import { type AcceptedFact, accept } from './accept.ts'
import { ANSWER_SCHEMA, type Batch, batchOf, questionOf } from './batch.ts'
import { Breaker } from './breaker.ts'
import { sectionOf } from './section.ts'
import { likeness, termsOf } from './terms.ts'

/** Options of the ledger, with their defaults filled in. */
export interface LedgerSettings {
  /** Share of the usable window from which facts are noted. */
  readonly prepareAt: number
  /** How long nothing must have been said, in ms. */
  readonly idleAfterMs: number
  /** Longest question, in ms. */
  readonly limitMs: number
  /** Longest work in one idle moment, in ms. */
  readonly sittingMs: number
  /** What reading the conversation again may take afterwards, in ms: a question takes its place in the engine's cache. */
  readonly rereadMs: number
  /** Most tokens of a prompt for facts. */
  readonly maxTokens: number
}

/** The newest messages are looked at later: they stand in the prompt anyway, and may still be taken back. */
const KEEP_RECENT = 8
/** Fewer old messages than this are not worth a question. */
const FEWEST = 4
const MOST = 24
/** Longest batch in tokens, and as a share of the window. */
const BATCH_TOKENS = 800
const BATCH_SHARE = 0.3
const ANSWER_TOKENS = 500
/** Newest facts of a session that prompts are made of, and that new ones are compared with. */
const FACTS = 400
/** From this likeness on, one fact says what another says. */
const SAME = 0.8
/** Sources that a fact keeps of those it replaces. */
const SOURCES = 4
/** Failures after which a batch is passed over, for as long as this process lives. */
const GIVE_UP = 3

/** A prompt of so many tokens tells how fast a model reads. */
const TELLING = 200
/** An engine that reads slower than this, in tokens/ms, notices too late that it has to give way: it reads some hundred at once. */
const SLOWEST = 0.5

/** What the newest prompt of a session was like. */
interface Seen {
  readonly tokens: number
  condensed: boolean
}

/** What comes after a step: another one, nothing more for now, or this one again at the next quiet moment. */
type Next = 'more' | 'done' | 'later'

/** Sessions that are remembered at most: what is forgotten is learned again. */
const REMEMBERED = 500

interface Composed {
  readonly stamp: string
  readonly section: PromptSection | undefined
}

export class Keeper {
  readonly #ctx: PluginContext
  readonly #settings: LedgerSettings
  readonly #breaker: Breaker
  readonly #now: () => number
  readonly #seen: Map<string, Seen> = new Map()
  readonly #composed: Map<string, Composed> = new Map()
  readonly #asked: Map<string, ComposeInput> = new Map()
  /** Sessions that are worth a look. */
  readonly #due: Set<string> = new Set()
  /** How fast a model reads, in tokens/ms. */
  readonly #speed: Map<ModelKey, number> = new Map()
  /** Batches that failed again and again: by session, where they begin, how often, and where they end. */
  readonly #failed: Map<string, { readonly after: number; times: number; passed: number }> = new Map()
  #timer: NodeJS.Timeout | undefined
  #sitting: AbortController | undefined

  constructor(ctx: PluginContext, settings: LedgerSettings, now: () => number) {
    this.#ctx = ctx
    this.#settings = settings
    this.#now = now
    this.#breaker = new Breaker(now)
  }

  /** A prompt was made. */
  assembled(sessionId: string, tokens: number, usableTokens: number): void {
    remember(this.#seen, sessionId, { tokens, condensed: false })
    if (tokens >= usableTokens * this.#settings.prepareAt) this.#due.add(sessionId)
  }

  /** …and not everything stands in it. */
  condensed(sessionId: string): void {
    const seen = this.#seen.get(sessionId)
    if (seen) seen.condensed = true
    this.#due.add(sessionId)
  }

  /** A model has read a prompt. What it had read before makes it look faster, so the slowest time is believed. */
  read(model: ModelKey, tokens: number, firstTokenMs: number): void {
    if (tokens < TELLING) return
    const speed = tokens / Math.max(1, firstTokenMs)
    this.#speed.set(model, Math.min(speed, this.#speed.get(model) ?? speed))
  }

  /** Somebody talks. */
  busy(): void {
    clearTimeout(this.#timer)
    this.#sitting?.abort()
  }

  /** Nobody talks any more. */
  quiet(): void {
    clearTimeout(this.#timer)
    // Nothing waits for it: it keeps no process alive.
    if (this.#due.size > 0) this.#timer = setTimeout(() => void this.#sit(), this.#settings.idleAfterMs).unref()
  }

  /** What stands in a prompt. Where all of a conversation fits by far nothing is read. */
  async section(input: ComposeInput): Promise<PromptSection | undefined> {
    const { sessionId, model, message, budgetTokens } = input
    const context = this.#ctx.use('context')
    const seen = this.#seen.get(sessionId)
    // The budget of all sections is a quarter of the usable window.
    const enough = budgetTokens * 4 * this.#settings.prepareAt
    if (seen && !seen.condensed && seen.tokens <= enough) return undefined
    remember(this.#asked, sessionId, input)
    const store = this.#ctx.use('store')
    const maxTokens = Math.min(this.#settings.maxTokens, Math.floor(budgetTokens / 2))
    const { through, facts } = await store.ledgerState(sessionId)
    if (facts === 0) return undefined
    const stamp = [through, facts, model, maxTokens].join(' ')
    const known = this.#composed.get(sessionId)
    if (known?.stamp === stamp) return known.section
    const all = await store.ledger(sessionId, { limit: FACTS })
    const section = sectionOf(
      all.filter(({ sources }) => !sources.includes(message.id)),
      maxTokens,
      (text) => context.estimateTokens(model, text),
    )
    remember(this.#composed, sessionId, { stamp, section })
    return section
  }

  /** Works until it is interrupted, has nothing left to do, or has done enough. */
  async #sit(): Promise<void> {
    if (this.#sitting && !this.#sitting.signal.aborted) return
    const stop = new AbortController()
    this.#sitting = stop
    const signal = AbortSignal.any([stop.signal, this.#ctx.signal])
    const until = this.#now() + this.#settings.sittingMs
    try {
      for (const sessionId of [...this.#due]) {
        for (let next: Next = 'more'; next === 'more'; ) {
          if (signal.aborted || this.#now() >= until || !this.#breaker.closed) return
          next = await this.#step(sessionId, signal)
          if (next === 'done' && !signal.aborted) this.#due.delete(sessionId)
        }
      }
    } catch (error) {
      if (signal.aborted) return
      this.#breaker.failed()
      this.#ctx.emit('plugin.failed', { plugin: this.#ctx.name, during: 'noting facts', error: toErrorFact(error) })
    } finally {
      if (this.#sitting === stop) this.#sitting = undefined
    }
  }

  /** One batch. */
  async #step(sessionId: string, signal: AbortSignal): Promise<Next> {
    const idle = this.#ctx.tryUse('background')?.ready()
    if (!idle) return 'later'
    if (this.#tooSlow(sessionId, idle.model)) return 'done'
    const store = this.#ctx.use('store')
    const { through } = await store.ledgerState(sessionId)
    const after = Math.max(through, this.#failed.get(sessionId)?.passed ?? 0)
    const [firstRecent] = await store.messages(sessionId, { limit: KEEP_RECENT })
    if (!firstRecent) return 'done'
    const messages = await store.messages(sessionId, { after, before: firstRecent.seq, limit: MOST })
    if (messages.length < FEWEST || signal.aborted) return 'done'
    const context = this.#ctx.use('context')
    const budget = Math.min(BATCH_TOKENS, idle.contextLength * BATCH_SHARE)
    const batch = batchOf(messages, budget, (line) => context.estimateTokens(idle.model, line))
    const looked = { after: through, through: batch.through }
    if (batch.entries.length === 0) return (await store.changeLedger(sessionId, { looked })) ? 'more' : 'later'
    const began = this.#now()
    const answer = await this.#ask(batch, signal).catch((error: unknown) => (isMaiError(error) ? error.code : 'failed'))
    if (!answer || signal.aborted) return 'later'
    if (typeof answer === 'string') return this.#fail(sessionId, after, batch, idle.model, answer)
    const verdict = accept(answer.text, batch)
    if (!verdict.ok) return this.#fail(sessionId, after, batch, answer.model, verdict.why)
    this.#breaker.succeeded()
    const change = merged(verdict.facts, await store.ledger(sessionId, { limit: FACTS }), answer.model, this.#now())
    const kept = await store.changeLedger(sessionId, { ...change, looked })
    const { facts, refused } = verdict
    const ms = this.#now() - began
    // Chosen now rather than when somebody waits for the next prompt.
    const asked = this.#asked.get(sessionId)
    if (kept && asked) await this.section(asked)
    if (kept) this.#ctx.emit('ledger.noted', { sessionId, model: answer.model, facts: facts.length, refused, through: batch.through, ms })
    return kept ? 'more' : 'later'
  }

  async #ask(batch: Batch, signal: AbortSignal): Promise<BackgroundAnswer | undefined> {
    const { limitMs } = this.#settings
    const sampling = { temperature: 0, maxTokens: ANSWER_TOKENS }
    const messages = questionOf(batch)
    const answer = await this.#ctx.use('background').complete({ messages, responseSchema: ANSWER_SCHEMA, sampling, limitMs, signal })
    if (answer) this.read(answer.model, answer.usage.promptTokens, answer.firstTokenMs)
    return answer
  }

  #fail(sessionId: string, after: number, batch: Batch, model: ModelKey, why: string): Next {
    this.#breaker.failed()
    const before = this.#failed.get(sessionId)
    const times = before?.after === after ? before.times + 1 : 1
    remember(this.#failed, sessionId, { after, times, passed: times >= GIVE_UP ? batch.through : (before?.passed ?? 0) })
    this.#ctx.emit('ledger.refused', { sessionId, model, why })
    return 'later'
  }

  /** Whether the next answer would begin late, because the engine has to stop first and read the conversation again. */
  #tooSlow(sessionId: string, model: ModelKey): boolean {
    const speed = this.#speed.get(model)
    if (speed === undefined) return false
    return speed < SLOWEST || (this.#seen.get(sessionId)?.tokens ?? 0) / speed > this.#settings.rereadMs
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= REMEMBERED) return
    map.delete(oldest)
  }
}

/** New facts take the place of those that say the same. */
function merged(facts: readonly AcceptedFact[], known: readonly LedgerFact[], model: ModelKey, time: number): LedgerChange {
  const old = known.map((fact) => ({ fact, terms: termsOf(fact.text) }))
  const remove: number[] = []
  const add = facts.map(({ text, sources }): NewLedgerFact => {
    const terms = termsOf(text)
    const same = old.filter((other) => likeness(terms, other.terms) >= SAME && !remove.includes(other.fact.id)).map(({ fact }) => fact)
    remove.push(...same.map(({ id }) => id))
    return { text, sources: [...new Set([...sources, ...same.flatMap((fact) => fact.sources)])].slice(0, SOURCES), model, time }
  })
  return { add, remove }
}
