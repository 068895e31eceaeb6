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
import { toErrorFact } from '../../core/errors.ts'
import type { Usage } from '../backend.ts'
import type { AssembledPrompt } from '../context.ts'
import { needsOfTurn, PLAIN_NEEDS, settingsFor } from '../decisions/situation.ts'
import type { TurnIds } from '../events.ts'
import { chatErrors, traitsOf } from '../failure.ts'
import { withWhatToFree } from '../memory/what-to-free.ts'
import { type Message, textOf } from '../message.ts'
import type { ModelInfo, ModelKey } from '../model.ts'
import type { Decision, Needs, SelectionRequest, StruggleKind } from '../policy.ts'
import type { Reply, TurnReport } from '../reply.ts'
import type { Hold } from '../residency/residents.ts'
import { Answer } from './answer.ts'
import type { AnswerStream } from './answer-stream.ts'
import { Attempts } from './attempts.ts'
import { awaitModels, type Choice, chooseModel, minimalChoice, type NoChoice } from './choice.ts'
import { composePrompt } from './compose.ts'
import { memoryCure, notSmaller, shorterContext } from './degradation.ts'
import { type GenerationOutcome, runGeneration, type Trouble } from './generation.ts'
import { Interruption } from './interruption.ts'
import { makeResident } from './make-resident.ts'
import { type EndedAttempt, stateOutcome } from './outcome.ts'
import { RecentHistory } from './recent-history.ts'
import { looksEnded } from './seam.ts'
import { commitMessage, storeAnswer } from './storing.ts'
import type { TurnInput, TurnParts } from './turn-parts.ts'
import { withoutImages } from './without-images.ts'

/** Troubles after which the model is no longer in memory. */
const GONE: ReadonlySet<StruggleKind> = new Set(['model-unloaded', 'backend-lost', 'crashed'])

/** The message of a turn as it is stored, and what was said before it. */
interface Received {
  readonly message: Message
  readonly history: RecentHistory
}

/** Where a turn is. */
export type TurnPhase = 'receiving' | 'selecting' | 'loading' | 'composing' | 'generating' | 'storing' | 'ended'

/** One turn; run once. */
export class Turn {
  readonly id: string = randomUUID()
  readonly sessionId: string
  phase: TurnPhase = 'receiving'
  model: ModelKey | undefined
  readonly #parts: TurnParts
  readonly #input: TurnInput
  readonly #interruption: Interruption = new Interruption()
  readonly #attempts: Attempts = new Attempts()
  readonly #answer: Answer
  #needs: Needs = PLAIN_NEEDS
  /** When the message is on the disk. */
  #durable: Promise<void> = Promise.resolve()
  /** The last attempt that wrote any of the answer. */
  #writer: EndedAttempt | undefined

  constructor(parts: TurnParts, input: TurnInput) {
    this.#parts = parts
    this.#input = input
    this.sessionId = input.sessionId
    this.#answer = new Answer(
      parts.ctx,
      () => this.#ids,
      parts.now,
      () => this.cancel(),
    )
  }

  get stream(): AnswerStream {
    return this.#answer.stream
  }

  cancel(reason: unknown = chatErrors.cancelled()): void {
    this.#interruption.abort(reason)
  }

  report(): TurnReport {
    const { list, switches } = this.#attempts
    return { ...this.#ids, attempts: [...list], switches: [...switches], text: this.#answer.text }
  }

  async run(): Promise<Reply> {
    const { limits, now } = this.#parts
    const began = now()
    const interruption = this.#interruption
    interruption.begin(limits.deadlineMs, this.#input.options.signal)
    try {
      const received = await this.#receive()
      for (;;) {
        const reply = await this.#attempt(received, began)
        if (reply) return reply
        if (interruption.late) throw chatErrors.turnTimeout(limits.deadlineMs)
        if (interruption.aborted) return await this.#complete(undefined, began)
        if (this.#attempts.count >= limits.maxAttempts) throw this.#allFailed()
      }
    } catch (thrown) {
      let error = await withWhatToFree(this.#parts.ctx, thrown)
      const cancelled = interruption.aborted && !interruption.late && this.#attempts.count + this.#answer.text.length > 0
      if (cancelled && this.phase !== 'storing') {
        try {
          return await this.#complete(undefined, began)
        } catch (storing) {
          error = storing
        }
      }
      await this.#fail(interruption.late ? chatErrors.turnTimeout(limits.deadlineMs) : error)
      throw interruption.late ? chatErrors.turnTimeout(limits.deadlineMs) : error
    } finally {
      this.phase = 'ended'
      interruption.end()
      this.#answer.dispose()
    }
  }

  get #ids(): TurnIds {
    return { sessionId: this.sessionId, turnId: this.id }
  }

  /** Committed before anything else; on the disk before any of the answer is shown. */
  async #receive(): Promise<Received> {
    const { store, ctx, now } = this.#parts
    const { parts } = this.#input
    const message = { id: randomUUID(), ...this.#ids, role: 'user' as const, parts, time: now(), complete: true }
    const { message: stored, earlier, durable } = await commitMessage(store, message)
    this.#durable = durable
    durable.then(
      () => this.#answer.open(),
      // Whatever goes on ends; storing, which waits for this too, says why.
      (error: unknown) => this.#interruption.abort(error),
    )
    const history = await this.#interruption.unless(this.#lookBack(stored, earlier))
    ctx.emit('message.received', { ...this.#ids, text: textOf(parts) })
    return { message: stored, history }
  }

  /** At what was said before, and what is needed for all of it. */
  async #lookBack(message: Message, earlier: number | undefined): Promise<RecentHistory> {
    const { store } = this.#parts
    const history = await RecentHistory.before(message, earlier, store)
    this.#needs = await needsOfTurn(store, message, earlier, history.newest, this.#input.options)
    return history
  }

  /** One round. @returns the reply when the turn is over, undefined for another round */
  async #attempt(received: Received, began: number): Promise<Reply | undefined> {
    const { catalogue, now } = this.#parts
    const choice = await this.#select()
    const { model, decision } = choice
    const started = now()
    const hold = await this.#makeResident(choice)
    if (!hold) return undefined
    try {
      const prompt = await this.#compose(received, model, hold)
      if (!prompt) return undefined
      this.#announce(model, decision, prompt)
      const outcome = await this.#generate(model, hold, prompt, decision.reason)
      const ms = now() - started
      if (outcome.finish === 'cancelled') {
        this.#attempts.ended({ model: model.key, outcome: 'cancelled', ms })
        return await this.#complete({ model, outcome }, began)
      }
      if (!outcome.trouble) {
        this.#attempts.ended({ model: model.key, outcome: 'completed', ms })
        return await this.#complete({ model, outcome }, began)
      }
      this.#attempts.ended({ model: model.key, outcome: 'failed', code: outcome.trouble.error?.code ?? outcome.trouble.kind, ms })
      if (GONE.has(outcome.trouble.kind)) {
        this.#parts.residency.lost(hold.instance, outcome.trouble.kind)
        catalogue.invalidate()
      }
      const whole = await this.#struggled(choice, hold, outcome.trouble)
      return whole ? await this.#complete({ model, outcome: { ...outcome, finish: 'stop' } }, began) : undefined
    } finally {
      hold.release()
    }
  }

  async #select(): Promise<Choice> {
    this.phase = 'selecting'
    const rescue = this.#attempts.count > 0
    const choice = await this.#interruption.unless(this.#choose(rescue))
    if ('model' in choice) return choice
    if (this.#attempts.outOfMemory && !this.#attempts.minimal) {
      this.#attempts.minimal = true
      this.#parts.preloader.stop()
      const last = await minimalChoice(this.#parts, choice.request)
      if (last) return last
    }
    if (rescue) throw this.#allFailed(choice.request)
    throw chatErrors.nothingServes(choice.rules, 'Free memory, or add a model that meets what this conversation needs; see mai models.')
  }

  async #choose(rescue: boolean): Promise<Choice | NoChoice> {
    const { catalogue } = this.#parts
    await awaitModels(catalogue, rescue, this.#interruption)
    const wanted = this.#input.options.model
    const asked = wanted === undefined ? undefined : catalogue.resolve(wanted).key
    const { again, failed } = this.#attempts
    this.#attempts.again = undefined
    const requested = again ?? (asked !== undefined && failed.has(asked) ? undefined : asked)
    return chooseModel(this.#parts, { ids: this.#ids, rescue, requested, failed, needs: this.#needs })
  }

  #makeResident(choice: Choice): Promise<Hold | undefined> {
    this.phase = 'loading'
    this.model = choice.model.key
    return makeResident(this.#parts, this.id, choice, this.#needs.contextTokens, this.#attempts, this.#interruption)
  }

  /** @returns undefined when the conversation cannot be fitted to this model, which then counts as failed */
  async #compose({ message, history }: Received, model: ModelInfo, { instance }: Hold): Promise<AssembledPrompt | undefined> {
    this.phase = 'composing'
    const { ctx, catalogue } = this.#parts
    const backend = catalogue.backendOf(model)
    try {
      const { options } = this.#input
      return await this.#interruption.unless(
        composePrompt({ ctx, history, backend, ids: this.#ids, model, instance, message, options, partial: this.#answer.text }),
      )
    } catch (error) {
      if (traitsOf(error).kind !== 'context-full') throw error
      this.#attempts.cause = error
      this.#attempts.ended({ model: model.key, outcome: 'failed', code: toErrorFact(error).code, ms: 0 })
      this.#attempts.giveUp(model.key, 'context-full')
      this.#needs = { ...this.#needs, contextTokens: instance.contextLength + 1 }
      return undefined
    }
  }

  /** States a change of model as a fact, once the new one is ready. */
  #announce(model: ModelInfo, decision: Decision, prompt: AssembledPrompt): void {
    const { ctx, journal, residency } = this.#parts
    const atChar = this.#answer.text.length
    const struggle = this.#attempts.rescued(model.key, atChar)
    const from = struggle?.from ?? this.#parts.current()
    this.#parts.setCurrent(model.key, decision)
    if (from === undefined || from === model.key) return
    const switched = { turnId: this.id, from, to: model.key, reason: struggle?.kind ?? decision.reason, rescue: struggle !== undefined }
    void journal.record('model.switched', switched)
    ctx.emit('model.switched', { ...switched, ...this.#ids, atChar })
    if (prompt.totalMessages > 1) {
      ctx.emit('context.transferred', { ...this.#ids, from, to: model.key, tokens: prompt.tokens, usableTokens: prompt.usableTokens })
    }
    void residency.trim(model.key, 'switched').catch(() => {})
  }

  async #generate(model: ModelInfo, { instance, loadMs }: Hold, prompt: AssembledPrompt, reason: string): Promise<GenerationOutcome> {
    this.phase = 'generating'
    const { ctx, catalogue, limits, now, speeds } = this.#parts
    const { options } = this.#input
    this.#attempts.generating(model.key)
    const written = this.#answer.begin(model.key, reason)
    const partial = this.#answer.text
    ctx.emit('generation.started', { ...this.#ids, model: model.key, attempt: this.#attempts.count + 1, promptTokens: prompt.tokens })
    const outcome = await runGeneration({
      backend: catalogue.backendOf(model),
      request: {
        instance,
        messages: model.abilities.vision ? prompt.messages : withoutImages(prompt.messages),
        sampling: { ...settingsFor(model, this.#parts.models), ...options.sampling },
        ...(partial ? { continueFrom: partial } : {}),
        ...(options.tools ? { tools: options.tools } : {}),
        ...(options.responseSchema ? { responseSchema: options.responseSchema } : {}),
      },
      promptTokens: prompt.tokens,
      shown: await this.#interruption.unless(speeds.of(model.key)),
      watchers: ctx.all('watcher').filter(({ kinds }) => !kinds?.every((kind) => this.#attempts.accepted.has(kind))),
      firstTokenMs: limits.firstTokenMs,
      gapMs: limits.gapMs,
      interruption: this.#interruption,
      now,
      release: (text) => this.#answer.release(text),
      reasoning: (text) => this.#answer.think(text),
      toolCall: (call) => this.#answer.call(call),
      onWatcherBroken: (plugin, error) => ctx.emit('plugin.failed', { plugin, during: 'watching an answer', error: toErrorFact(error) }),
    })
    if (written()) this.#writer = { model, outcome }
    await stateOutcome(this.#parts, this.#ids, { model, prompt, options, loaded: loadMs > 0 }, outcome)
    return outcome
  }

  /** @returns whether the answer is whole: nothing was left to say */
  async #struggled({ model, request }: Choice, { instance }: Hold, trouble: Trouble): Promise<boolean> {
    const { ctx, catalogue, journal, now } = this.#parts
    const { kind, evidence, error, transient, retryAfterMs } = trouble
    const attempts = this.#attempts
    const releasedChars = this.#answer.text.length
    attempts.cause = trouble.cause
    ctx.emit('model.struggling', { ...this.#ids, model: model.key, kind, evidence, error, atChar: releasedChars })
    const others = catalogue.models.filter((other) => other.key !== model.key && !attempts.failed.has(other.key))
    const alternatives = others.filter((other) => catalogue.couldServe(other, this.#needs))
    // White space is no answer that could be whole, whoever has nothing to add to it.
    const answered = this.#answer.text.trim() !== ''
    const agreed = answered && attempts.agrees(model.key, kind, releasedChars)
    const alone = answered && kind === 'empty' && alternatives.length === 0 && looksEnded(this.#answer.text)
    const decision = await journal.onStruggle({
      time: now(),
      turnId: this.id,
      model: model.key,
      kind,
      error,
      transient,
      retryAfterMs,
      attempts: attempts.count,
      attemptsOnModel: attempts.on(model.key),
      releasedChars,
      alternatives: alternatives.length,
      anotherRoute: catalogue.anotherRoute(model, trouble.cause),
      agreed: agreed || alone,
      random: this.#parts.random(),
    })
    if (decision.action === 'fail') throw trouble.cause instanceof Error ? trouble.cause : this.#allFailed()
    if (decision.action === 'switch') {
      // An out-of-memory looks like a crash: less before something as large.
      const larger = new Set(kind === 'crashed' ? notSmaller(request.candidates, model.key) : [])
      if (larger.size > 0 && alternatives.every(({ key }) => larger.has(key))) {
        const shorter = attempts.shortened.has(model.key) ? undefined : shorterContext(instance.contextLength, this.#needs.contextTokens)
        if (shorter !== undefined) {
          attempts.shortened.set(model.key, shorter)
          attempts.again = model.key
          return false
        }
      }
      attempts.giveUp(model.key, kind)
      if (kind === 'context-full') this.#needs = { ...this.#needs, contextTokens: this.#needs.contextTokens + 1 }
      return false
    }
    if (decision.action === 'continue' && attempts.accept(kind)) return true
    attempts.again = model.key
    if (decision.delayMs > 0) await sleep(decision.delayMs, undefined, { signal: this.#interruption.signal }).catch(() => {})
    return false
  }

  /** Stores the answer with its provenance, then states the outcome. */
  async #complete(end: EndedAttempt | undefined, began: number): Promise<Reply> {
    this.phase = 'storing'
    const { ctx, now } = this.#parts
    const finishReason = end?.outcome.finish ?? 'cancelled'
    await this.#store(finishReason !== 'cancelled')
    const { firstTextAt, text, reasoning, toolCalls } = this.#answer
    this.#answer.flush()
    // Who was asked for the rest of a whole answer and had nothing to add did not write it.
    const { model, outcome } = (finishReason === 'stop' ? this.#writer : undefined) ?? end ?? {}
    const usage: Usage = outcome?.usage ?? { promptTokens: 0, completionTokens: 0 }
    const writing = outcome ? outcome.ms - outcome.firstTokenMs : 0
    const totalMs = now() - began
    const reply: Reply = {
      ...this.report(),
      reasoning: reasoning || undefined,
      toolCalls,
      model: model?.key ?? this.model ?? '',
      backend: model?.backend ?? '',
      remote: model?.remote ?? false,
      finishReason,
      usage,
      timing: {
        totalMs,
        firstTextMs: firstTextAt === undefined ? undefined : firstTextAt - began,
        tokensPerSecond: writing > 0 ? (usage.completionTokens * 1000) / writing : undefined,
      },
    }
    const switches = this.#attempts.switches.length
    ctx.emit('message.completed', { ...this.#ids, text, model: reply.model, finish: finishReason, usage, switches, ms: totalMs })
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
    this.#answer.flush()
    ctx.emit('message.failed', { ...this.#ids, error: toErrorFact(error), releasedChars: this.#answer.text.length })
    this.stream.fail(error)
  }

  async #store(complete: boolean): Promise<void> {
    await this.#durable
    const parts = this.#answer.parts()
    if (parts.length === 0) return
    const time = this.#parts.now()
    const message = { id: randomUUID(), ...this.#ids, role: 'assistant' as const, parts, time, complete }
    await storeAnswer(this.#parts.store, message, this.#answer.spans)
  }

  #allFailed(request?: SelectionRequest): Error {
    const { residency, catalogue } = this.#parts
    const least =
      request && this.#attempts.outOfMemory ? request.candidates.map(({ memory }) => memory.totalBytes).sort((a, b) => a - b)[0] : undefined
    const unloadable = residency.unloadable()
    const loaded = catalogue.models.filter(({ instances }) => instances.some(({ instanceId }) => !unloadable.has(instanceId)))
    const cure =
      least === undefined
        ? undefined
        : memoryCure(
            least,
            residency.room().freeBytes,
            loaded.map(({ key }) => key),
          )
    return chatErrors.allFailed(this.#attempts.describe(), this.#attempts.cause, cure)
  }
}
