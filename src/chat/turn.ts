/**
 * The turn: from a message to exactly one outcome.
 *
 * receiving → (selecting → loading → composing → generating)* → storing → completed | failed.
 * It alone owns attempts, retry, the gate and the deadline.
 *
 * @module
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { toErrorFact } from '../core/errors.ts'
import type { PluginContext } from '../core/plugin.ts'
import { AnswerStream } from './answer-stream.ts'
import type { Usage } from './backend.ts'
import type { Catalogue } from './catalogue.ts'
import { type AssembledPrompt, defaultReserve, type PromptSection } from './context.ts'
import { chatErrors, traitsOf } from './failure.ts'
import { type GenerationOutcome, runGeneration, type Trouble } from './generation.ts'
import type { Journal } from './journal.ts'
import { withWhatToFree } from './memory/what-to-free.ts'
import { type Message, type Part, type Span, textOf } from './message.ts'
import type { ModelInfo, ModelKey, ModelSettings } from './model.ts'
import type { Decision, Needs, SelectionRequest, StruggleKind } from './policy.ts'
import type { Attempt, Reply, SendOptions, SwitchNote, TurnReport } from './reply.ts'
import type { Hold, Residency } from './residency.ts'
import type { TurnSettings } from './settings.ts'
import { settingsFor } from './situation.ts'
import type { Store } from './store.ts'

/** How long released text is gathered for `generation.chunk`, in ms. */
const CHUNK_MS = 25
/** Waits for a server that went away in the middle of a turn, in ms. */
const RESTART_WAITS_MS: readonly number[] = [250, 500, 1000, 2000]
/** Troubles after which the model is no longer in memory. */
const GONE: ReadonlySet<StruggleKind> = new Set(['model-unloaded', 'backend-lost', 'crashed'])
/** Smallest window that any conversation is given, in tokens. */
const SMALLEST_WINDOW = 1024

/** What a turn works with. */
export interface TurnParts {
  readonly ctx: PluginContext
  readonly store: Store
  readonly catalogue: Catalogue
  readonly residency: Residency
  readonly journal: Journal
  readonly limits: TurnSettings
  readonly models: Readonly<Record<string, ModelSettings>>
  readonly now: () => number
  /** 0 to 1. */
  readonly random: () => number
  /** The model in use, across turns. */
  current(): ModelKey | undefined
  setCurrent(model: ModelKey, decision: Decision): void
  question(purpose: SelectionRequest['purpose'], needs: Needs, about: Partial<SelectionRequest>): Promise<SelectionRequest>
}

/** What to answer. */
export interface TurnInput {
  readonly sessionId: string
  readonly parts: readonly Part[]
  readonly options: SendOptions
}

/** Where a turn is. */
export type TurnPhase = 'receiving' | 'selecting' | 'loading' | 'composing' | 'generating' | 'storing' | 'ended'

interface Pending {
  readonly from: ModelKey
  readonly kind: StruggleKind
}

/** One turn; run once. */
export class Turn {
  readonly id: string = randomUUID()
  readonly sessionId: string
  readonly stream: AnswerStream
  phase: TurnPhase = 'receiving'
  model: ModelKey | undefined
  readonly #parts: TurnParts
  readonly #input: TurnInput
  readonly #cancel: AbortController = new AbortController()
  readonly #attempts: Attempt[] = []
  readonly #switches: SwitchNote[] = []
  readonly #spans: Omit<Span, 'messageId'>[] = []
  readonly #failed: Set<ModelKey> = new Set()
  readonly #perModel: Map<ModelKey, number> = new Map()
  #needs: Needs
  #text = ''
  #reasoning = ''
  #firstTextAt: number | undefined
  #chunk = ''
  #chunkTimer: NodeJS.Timeout | undefined
  #struggledOn: Pending | undefined
  #again: ModelKey | undefined
  #lastCause: unknown

  constructor(parts: TurnParts, input: TurnInput) {
    this.#parts = parts
    this.#input = input
    this.sessionId = input.sessionId
    this.stream = new AnswerStream(() => this.cancel())
    const vision = input.parts.some((part) => part.type === 'image')
    this.#needs = { contextTokens: SMALLEST_WINDOW, vision, tools: (input.options.tools?.length ?? 0) > 0 }
  }

  cancel(): void {
    this.#cancel.abort(chatErrors.cancelled())
  }

  report(): TurnReport {
    return { sessionId: this.sessionId, turnId: this.id, attempts: [...this.#attempts], switches: [...this.#switches], text: this.#text }
  }

  async run(): Promise<Reply> {
    const { limits, now } = this.#parts
    const began = now()
    const deadline = AbortSignal.timeout(limits.deadlineMs)
    const outer = this.#input.options.signal
    const signal = AbortSignal.any([this.#cancel.signal, deadline, this.#parts.ctx.signal, ...(outer ? [outer] : [])])
    try {
      const message = await this.#receive()
      for (;;) {
        const reply = await this.#attempt(message, signal, began)
        if (reply) return reply
        if (deadline.aborted) throw chatErrors.turnTimeout(limits.deadlineMs)
        if (signal.aborted) return await this.#complete(undefined, began)
        if (this.#attempts.length >= limits.maxAttempts) throw this.#allFailed()
      }
    } catch (thrown) {
      const error = await withWhatToFree(this.#parts.ctx, thrown)
      const cancelled = signal.aborted && !deadline.aborted && this.#attempts.length + this.#text.length > 0
      if (cancelled) return await this.#complete(undefined, began)
      await this.#fail(deadline.aborted ? chatErrors.turnTimeout(limits.deadlineMs) : error)
      throw deadline.aborted ? chatErrors.turnTimeout(limits.deadlineMs) : error
    } finally {
      this.phase = 'ended'
      clearTimeout(this.#chunkTimer)
    }
  }

  get #ids(): { sessionId: string; turnId: string } {
    return { sessionId: this.sessionId, turnId: this.id }
  }

  /** Durable before anything else. */
  async #receive(): Promise<Message> {
    const { store, ctx, now } = this.#parts
    const { parts } = this.#input
    const message = {
      id: randomUUID(),
      sessionId: this.sessionId,
      turnId: this.id,
      role: 'user' as const,
      parts,
      time: now(),
      complete: true,
    }
    const stored = await store.appendMessage(message)
    ctx.emit('message.received', { ...this.#ids, text: textOf(parts) })
    return stored
  }

  /** One round. @returns the reply when the turn is over, undefined for another round */
  async #attempt(message: Message, signal: AbortSignal, began: number): Promise<Reply | undefined> {
    const { catalogue, now } = this.#parts
    const { decision, model } = await this.#select(signal)
    const started = now()
    const settings = { ...settingsFor(model, this.#parts.models), contextLength: decision.contextLength }
    const hold = await this.#makeResident(model, decision, settings, signal)
    if (!hold) return undefined
    try {
      const prompt = await this.#compose(message, model, hold)
      if (!prompt) return undefined
      this.#announce(model, decision, prompt)
      this.phase = 'generating'
      const outcome = await this.#generate(model, hold, prompt, settings, signal, decision.reason)
      const ms = now() - started
      if (outcome.finish === 'cancelled') {
        this.#attempts.push({ model: model.key, outcome: 'cancelled', ms })
        return await this.#complete({ model, outcome }, began)
      }
      if (!outcome.trouble) {
        this.#attempts.push({ model: model.key, outcome: 'completed', ms })
        return await this.#complete({ model, outcome }, began)
      }
      this.#attempts.push({ model: model.key, outcome: 'failed', code: outcome.trouble.error?.code ?? outcome.trouble.kind, ms })
      if (GONE.has(outcome.trouble.kind)) {
        this.#parts.residency.lost(hold.instance, outcome.trouble.kind)
        catalogue.invalidate()
      }
      await this.#struggled(model, outcome.trouble, signal)
      return undefined
    } finally {
      hold.release()
    }
  }

  async #select(signal: AbortSignal): Promise<{ decision: Decision; model: ModelInfo }> {
    this.phase = 'selecting'
    const { catalogue, journal } = this.#parts
    await this.#awaitModels(signal)
    const wanted = this.#input.options.model
    const requested = wanted === undefined ? undefined : catalogue.resolve(wanted).key
    const again = this.#again
    this.#again = undefined
    const rescue = this.#attempts.length > 0
    const request = await this.#parts.question(rescue ? 'rescue' : 'turn', this.#needs, {
      sessionId: this.sessionId,
      turnId: this.id,
      requested: again ?? (requested !== undefined && this.#failed.has(requested) ? undefined : requested),
      failed: [...this.#failed],
    })
    const decision = await journal.select(request)
    const model = decision.model === undefined ? undefined : catalogue.find(decision.model)
    if (model && !this.#failed.has(model.key)) return { decision, model }
    if (rescue) throw this.#allFailed()
    const rules = decision.candidates.map(({ model: key, excluded }) => `${key}: ${excluded ?? 'not chosen'}`)
    throw chatErrors.nothingServes(rules, 'Free memory, or add a model that meets what this conversation needs; see mai models.')
  }

  /** In the middle of a turn a server that is gone may be starting again: it is given some seconds. */
  async #awaitModels(signal: AbortSignal): Promise<void> {
    for (const delay of this.#attempts.length > 0 ? RESTART_WAITS_MS : []) {
      try {
        return await this.#parts.catalogue.ensure()
      } catch {
        // The last try, below, says why.
        await sleep(delay, undefined, { signal })
      }
    }
    await this.#parts.catalogue.ensure()
  }

  async #makeResident(model: ModelInfo, decision: Decision, settings: ModelSettings, signal: AbortSignal): Promise<Hold | undefined> {
    this.phase = 'loading'
    this.model = model.key
    const { residency, journal, ctx, now } = this.#parts
    const began = now()
    const evict = decision.model !== this.#parts.current()
    try {
      const hold = await residency.acquire({ model, settings, contextTokens: this.#needs.contextTokens, signal }, evict)
      if (hold.loadMs > 0) {
        const loaded = { model: model.key, contextLength: hold.instance.contextLength, ms: hold.loadMs }
        await journal.record('model.loaded', loaded)
        ctx.emit('model.loaded', loaded)
      }
      return hold
    } catch (error) {
      if (signal.aborted) throw error
      const { memory, kind } = traitsOf(error)
      const fact = toErrorFact(error)
      // What was listed before the backend went says nothing now: ask, and wait for it, before the next candidate.
      if (kind === 'backend-lost') this.#parts.catalogue.invalidate()
      this.#lastCause = error
      this.#attempts.push({ model: model.key, outcome: 'failed', code: fact.code, ms: now() - began })
      this.#failed.add(model.key)
      this.#struggledOn ??= { from: model.key, kind: 'load-failed' }
      await journal.record('model.load.failed', { model: model.key, code: fact.code, memory })
      ctx.emit('model.load.failed', { model: model.key, error: fact })
      return undefined
    }
  }

  /** @returns undefined when the conversation cannot be fitted to this model, which then counts as failed */
  async #compose(message: Message, model: ModelInfo, { instance }: Hold): Promise<AssembledPrompt | undefined> {
    this.phase = 'composing'
    const { ctx, store, catalogue } = this.#parts
    const { contextLength } = instance
    const reserveTokens = Math.min(this.#input.options.sampling?.maxTokens ?? Infinity, defaultReserve(contextLength))
    const { system } = this.#input.options
    const budgetTokens = Math.floor((contextLength - reserveTokens) / 4)
    const own: PromptSection[] = system ? [{ id: 'system', layer: 'pinned', text: system, priority: 100, maxTokens: contextLength }] : []
    const input = { ...this.#ids, model: model.key, message, budgetTokens, sections: own }
    const sections = await ctx.runHook('prompt.compose', input, (composed) => composed.sections)
    const backend = catalogue.backendOf(model)
    try {
      const prompt = await ctx.use('context').assemble({
        ...this.#ids,
        model: model.key,
        window: { contextLength, reserveTokens },
        sections,
        message,
        history: { page: (limit, before = message.seq) => store.messages(this.sessionId, { limit, before }) },
        partial: this.#text,
        exactCount: (messages) => backend.countTokens(instance, messages, AbortSignal.timeout(5000)).catch(() => undefined),
      })
      const { tokens, usableTokens, exact, verbatimMessages, totalMessages } = prompt
      ctx.emit('context.assembled', { ...this.#ids, model: model.key, tokens, usableTokens, exact })
      if (prompt.condensed) ctx.emit('context.compressed', { ...this.#ids, model: model.key, verbatimMessages, totalMessages })
      return prompt
    } catch (error) {
      if (traitsOf(error).kind !== 'context-full') throw error
      this.#lastCause = error
      this.#attempts.push({ model: model.key, outcome: 'failed', code: toErrorFact(error).code, ms: 0 })
      this.#failed.add(model.key)
      this.#needs = { ...this.#needs, contextTokens: contextLength + 1 }
      this.#struggledOn ??= { from: model.key, kind: 'context-full' }
      return undefined
    }
  }

  /** States a change of model as a fact, once the new one is ready. */
  #announce(model: ModelInfo, decision: Decision, prompt: AssembledPrompt): void {
    const { ctx, journal, residency } = this.#parts
    const struggle = this.#struggledOn
    this.#struggledOn = undefined
    const from = struggle?.from ?? this.#parts.current()
    this.#parts.setCurrent(model.key, decision)
    if (from === undefined || from === model.key) return
    const switched = { from, to: model.key, reason: struggle?.kind ?? decision.reason, rescue: struggle !== undefined }
    if (struggle) this.#switches.push({ from, to: model.key, kind: struggle.kind, atChar: this.#text.length })
    void journal.record('model.switched', switched)
    ctx.emit('model.switched', { ...switched, ...this.#ids, atChar: this.#text.length })
    if (prompt.totalMessages > 1) {
      ctx.emit('context.transferred', { ...this.#ids, from, to: model.key, tokens: prompt.tokens, usableTokens: prompt.usableTokens })
    }
    void residency.tidy(model.key, 'switched')
  }

  async #generate(
    model: ModelInfo,
    { instance }: Hold,
    prompt: AssembledPrompt,
    settings: ModelSettings,
    signal: AbortSignal,
    reason: string,
  ): Promise<GenerationOutcome> {
    const { ctx, catalogue, journal, limits, now } = this.#parts
    const { options } = this.#input
    const start = this.#text.length
    const attempt = (this.#perModel.get(model.key) ?? 0) + 1
    this.#perModel.set(model.key, attempt)
    ctx.emit('generation.started', { ...this.#ids, model: model.key, attempt: this.#attempts.length + 1, promptTokens: prompt.tokens })
    const outcome = await runGeneration({
      backend: catalogue.backendOf(model),
      request: {
        instance,
        messages: prompt.messages,
        sampling: { ...settings, ...options.sampling },
        ...(this.#text ? { continueFrom: this.#text } : {}),
        ...(options.tools ? { tools: options.tools } : {}),
        ...(options.responseSchema ? { responseSchema: options.responseSchema } : {}),
      },
      promptTokens: prompt.tokens,
      shown: { prefillPerSecond: undefined, writingPerSecond: undefined },
      watchers: ctx.all('watcher'),
      firstTokenMs: limits.firstTokenMs,
      gapMs: limits.gapMs,
      signal,
      now,
      release: (text) => this.#release(text),
      reasoning: (text) => {
        this.#reasoning += text
        this.stream.push('reasoning', text)
      },
      onWatcherBroken: (plugin, error) => ctx.emit('plugin.failed', { plugin, during: 'watching an answer', error: toErrorFact(error) }),
    })
    if (this.#text.length > start) this.#spans.push({ start, end: this.#text.length, model: model.key, reason })
    const { ms, firstTokenMs, usage, finish, trouble } = outcome
    if (trouble) {
      const error = trouble.error ?? { code: trouble.kind, message: trouble.evidence }
      await journal.record('generation.failed', { model: model.key, kind: trouble.kind, code: error.code })
      ctx.emit('generation.failed', { ...this.#ids, model: model.key, kind: trouble.kind, error })
    } else {
      if (finish !== 'cancelled') ctx.use('context').observe(model.key, prompt, usage.promptTokens)
      void journal.record('generation.finished', { model: model.key, ms, firstTokenMs, completionTokens: usage.completionTokens })
      ctx.emit('generation.finished', { ...this.#ids, model: model.key, finish, usage, ms, firstTokenMs })
    }
    return outcome
  }

  #release(text: string): void {
    if (text === '') return
    this.#firstTextAt ??= this.#parts.now()
    this.#text += text
    this.stream.push('text', text)
    if (!this.#parts.ctx.listening('generation.chunk')) return
    this.#chunk += text
    this.#chunkTimer ??= setTimeout(() => this.#flushChunk(), CHUNK_MS)
  }

  #flushChunk(): void {
    clearTimeout(this.#chunkTimer)
    this.#chunkTimer = undefined
    const text = this.#chunk
    this.#chunk = ''
    if (text !== '') this.#parts.ctx.emit('generation.chunk', { ...this.#ids, text })
  }

  async #struggled(model: ModelInfo, trouble: Trouble, signal: AbortSignal): Promise<void> {
    const { ctx, catalogue, journal, now } = this.#parts
    const { kind, evidence, error, transient, retryAfterMs } = trouble
    this.#lastCause = trouble.cause
    ctx.emit('model.struggling', { ...this.#ids, model: model.key, kind, evidence, error, atChar: this.#text.length })
    const alternatives = catalogue.models.filter((other) => other.key !== model.key && !this.#failed.has(other.key)).length
    const decision = await journal.onStruggle({
      time: now(),
      turnId: this.id,
      model: model.key,
      kind,
      error,
      transient,
      retryAfterMs,
      attempts: this.#attempts.length,
      attemptsOnModel: this.#perModel.get(model.key) ?? 1,
      releasedChars: this.#text.length,
      alternatives,
      random: this.#parts.random(),
    })
    if (decision.action === 'fail') throw trouble.cause instanceof Error ? trouble.cause : this.#allFailed()
    if (decision.action === 'switch') {
      this.#failed.add(model.key)
      this.#struggledOn ??= { from: model.key, kind }
      if (kind === 'context-full') this.#needs = { ...this.#needs, contextTokens: this.#needs.contextTokens + 1 }
      return
    }
    this.#again = model.key
    if (decision.delayMs > 0) await sleep(decision.delayMs, undefined, { signal }).catch(() => {})
  }

  /** Stores the answer with its provenance, then states the outcome. */
  async #complete(end: { model: ModelInfo; outcome: GenerationOutcome } | undefined, began: number): Promise<Reply> {
    this.phase = 'storing'
    const { ctx, now } = this.#parts
    const finishReason = end?.outcome.finish ?? 'cancelled'
    await this.#store(finishReason !== 'cancelled')
    this.#flushChunk()
    const model = end?.model
    const usage: Usage = end?.outcome.usage ?? { promptTokens: 0, completionTokens: 0 }
    const writing = end ? end.outcome.ms - end.outcome.firstTokenMs : 0
    const totalMs = now() - began
    const reply: Reply = {
      ...this.report(),
      reasoning: this.#reasoning || undefined,
      model: model?.key ?? this.model ?? '',
      backend: model?.backend ?? '',
      remote: model?.remote ?? false,
      finishReason,
      usage,
      timing: {
        totalMs,
        firstTextMs: this.#firstTextAt === undefined ? undefined : this.#firstTextAt - began,
        tokensPerSecond: writing > 0 ? (usage.completionTokens * 1000) / writing : undefined,
      },
    }
    ctx.emit('message.completed', {
      ...this.#ids,
      text: this.#text,
      model: reply.model,
      finish: finishReason,
      usage,
      switches: this.#switches.length,
      ms: totalMs,
    })
    this.stream.end()
    return reply
  }

  /** What exists of the answer is kept, marked as incomplete. */
  async #fail(error: unknown): Promise<void> {
    this.phase = 'storing'
    const { ctx } = this.#parts
    await this.#store(false).catch((cause: unknown) =>
      ctx.emit('plugin.failed', { plugin: 'store', during: 'storing a partial answer', error: toErrorFact(cause) }),
    )
    this.#flushChunk()
    ctx.emit('message.failed', { ...this.#ids, error: toErrorFact(error), releasedChars: this.#text.length })
    this.stream.fail(error)
  }

  async #store(complete: boolean): Promise<void> {
    if (this.#text === '' && this.#reasoning === '') return
    const reasoning: Part[] = this.#reasoning ? [{ type: 'reasoning', text: this.#reasoning }] : []
    const parts: Part[] = [...reasoning, { type: 'text', text: this.#text }]
    const time = this.#parts.now()
    await this.#parts.store.appendMessage({ id: randomUUID(), ...this.#ids, role: 'assistant', parts, time, complete }, this.#spans)
  }

  #allFailed(): Error {
    return chatErrors.allFailed(
      this.#attempts.map(({ model, code }) => `${model} (${code ?? 'failed'})`),
      this.#lastCause,
    )
  }
}
