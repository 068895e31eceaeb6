/**
 * Runs a policy through a trace, on a clock of its own. Pure: the same trace and policy, the same outcome.
 *
 * @module
 */
import type { ModelKey } from '../model.ts'
import type {
  Candidate,
  Decision,
  PolicyRecords,
  RecordedEvent,
  RecordType,
  SelectionRequest,
  StruggleKind,
  SwitchingPolicy,
} from '../policy.ts'
import type { PressureLevel, ResourceSample } from '../resources.ts'
import { type Trace, type TraceMessage, type TraceModel, traceNeed } from './trace.ts'
import { Weather } from './weather.ts'
import { SWAPPING, worthOf, writingSeconds } from './worth.ts'

/** Most attempts at one answer, as in life. */
const ATTEMPTS = 6
/** A failed load, and the time until trouble is noticed, in ms. */
const FAILED_LOAD_MS = 2000
const NOTICED_MS = 5000
/** A switch right after its model's failure was forced by it, for so long, in ms. */
const BLAMED_MS = 60_000
/** Shortest time between two switches that nothing forces, in ms. */
const DWELL_MS = 30_000
/** A trace's beginning, epoch ms. */
const EPOCH = Date.UTC(2026, 0, 5)
/** Shares of memory in use that enter a level of pressure, and what must be better to leave it. */
const PRESSURED = 0.8
const CRITICAL = 0.9
const RECOVERY = 0.05

/** A move from one model to another. Times are ms since the beginning. */
export interface SimulatedSwitch {
  readonly at: number
  readonly from: ModelKey
  readonly to: ModelKey
  readonly reason: string
  /** Whether the former model could not have gone on. */
  readonly forced: boolean
}

/** How a policy did. */
export interface Outcome {
  readonly policy: string
  readonly switches: readonly SimulatedSwitch[]
  /** Switches that nothing forced and that came within the dwell time of another such. */
  readonly hasty: number
  /** When which model was loaded. */
  readonly spans: readonly { readonly from: number; readonly to: number; readonly model: ModelKey }[]
  readonly answers: number
  /** Messages that got no answer, and when. */
  readonly failures: readonly number[]
  /** Loads of more than was free. */
  readonly overloads: number
  /** Time in which models and other programs together had more than there is, in ms. */
  readonly exceededMs: number
  /** Sum of what the answers were worth, each from 0 to 1. */
  readonly worth: number
  readonly endMs: number
}

/** Puts all messages of a trace to a policy. */
export function simulate(trace: Trace, policy: SwitchingPolicy): Outcome {
  const world = new World(trace, policy)
  for (const event of trace.events) if (event.type === 'message') world.answer(event)
  return world.outcome()
}

class World {
  readonly #trace: Trace
  readonly #policy: SwitchingPolicy
  readonly #weather: Weather
  readonly #byKey: ReadonlyMap<ModelKey, TraceModel>
  #state: unknown
  #seq = 0
  #now = 0
  #nextMemory = 0
  #free: number
  #level: PressureLevel = 'normal'
  #loaded: { readonly model: TraceModel; readonly window: number; readonly since: number } | undefined
  #current: ModelKey | undefined
  readonly #failedAt: Map<ModelKey, number> = new Map()
  readonly #switches: SimulatedSwitch[] = []
  readonly #spans: { from: number; to: number; model: ModelKey }[] = []
  readonly #failures: number[] = []
  #answers = 0
  #overloads = 0
  #exceededMs = 0
  #worth = 0

  constructor(trace: Trace, policy: SwitchingPolicy) {
    this.#trace = trace
    this.#policy = policy
    this.#weather = new Weather(trace)
    this.#byKey = new Map(trace.models.map((model) => [model.model, model]))
    this.#free = this.#weather.freeAt(0)
    this.#state = policy.initial()
  }

  /** One turn. A message that comes during another waits for its end. */
  answer(message: TraceMessage): void {
    this.#advance(message.at)
    const began = this.#now
    const failed: ModelKey[] = []
    let again: ModelKey | undefined
    let troubled: { readonly model: ModelKey; readonly kind: StruggleKind } | undefined
    const tries = new Map<ModelKey, number>()
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const request = this.#question(message, attempt === 1 ? 'turn' : 'rescue', failed, again)
      again = undefined
      const decision = this.#policy.select(this.#state, request)
      this.#record('model.selected', { request, decision })
      const model = decision.model === undefined ? undefined : this.#byKey.get(decision.model)
      if (!model || failed.includes(model.model)) break
      const wasForced = this.#mustLeave(request, failed)
      const refused = this.#load(model, decision)
      if (refused) {
        failed.push(model.model)
        troubled ??= { model: model.model, kind: 'load-failed' }
        this.#failedAt.set(model.model, this.#now)
        continue
      }
      this.#announce(model.model, decision, troubled, wasForced)
      troubled = undefined
      tries.set(model.model, (tries.get(model.model) ?? 0) + 1)
      const trouble = this.#generate(model, message)
      if (!trouble) {
        this.#answers++
        this.#worth += worthOf(model, message.needs.task ?? 'chat', (this.#now - began) / 1000)
        return
      }
      this.#failedAt.set(model.model, this.#now)
      this.#record('generation.failed', { model: model.model, kind: trouble, code: trouble })
      const alternatives = request.candidates.filter((c) => c.model !== model.model && !failed.includes(c.model)).length
      const asked = {
        time: EPOCH + this.#now,
        turnId: `t${message.at}`,
        model: model.model,
        kind: trouble,
        error: undefined,
        transient: trouble === 'stall' || trouble === 'failed' || trouble === 'backend-lost' || trouble === 'crashed',
        retryAfterMs: undefined,
        attempts: attempt,
        attemptsOnModel: tries.get(model.model) ?? 1,
        releasedChars: 0,
        alternatives,
        random: 0.5,
      }
      const answer = this.#policy.onStruggle(this.#state, asked)
      this.#record('struggle.decided', { request: asked, decision: answer })
      if (answer.action === 'fail') break
      if (answer.action === 'switch') {
        failed.push(model.model)
        troubled = { model: model.model, kind: trouble }
      } else again = model.model
      this.#advance(this.#now + answer.delayMs)
    }
    this.#failures.push(began)
  }

  outcome(): Outcome {
    const last = this.#trace.events.at(-1)
    this.#advance(Math.max(this.#now, last?.at ?? 0))
    this.#unload()
    const unforced = this.#switches.filter(({ forced }) => !forced).map(({ at }) => at)
    return {
      policy: this.#policy.name,
      switches: this.#switches,
      hasty: unforced.filter((at, index) => index > 0 && at - (unforced[index - 1] ?? 0) < DWELL_MS).length,
      spans: this.#spans,
      answers: this.#answers,
      failures: this.#failures,
      overloads: this.#overloads,
      exceededMs: this.#exceededMs,
      worth: this.#worth,
      endMs: this.#now,
    }
  }

  get #heldBytes(): number {
    return this.#loaded ? traceNeed(this.#loaded.model, this.#loaded.window) : 0
  }

  /** Lets time pass, with what happens to memory meanwhile. */
  #advance(to: number): void {
    for (;;) {
      const next = this.#weather.memory[this.#nextMemory]
      const until = Math.max(this.#now, Math.min(to, next?.at ?? Number.POSITIVE_INFINITY))
      if (this.#free < this.#heldBytes) this.#exceededMs += until - this.#now
      this.#now = until
      if (!next || next.at > to) return
      this.#nextMemory++
      this.#free = next.freeBytes
      this.#noteLevel()
    }
  }

  #noteLevel(): void {
    const { totalBytes } = this.#trace.machine
    const used = 1 - Math.max(0, this.#free - this.#heldBytes) / totalBytes
    const before = this.#level
    const stillCritical = before === 'critical' && used > CRITICAL - RECOVERY
    const stillPressured = before !== 'normal' && used > PRESSURED - RECOVERY
    this.#level = used >= CRITICAL || stillCritical ? 'critical' : used >= PRESSURED || stillPressured ? 'pressured' : 'normal'
    if (this.#level === before) return
    const sample = { availableBytes: Math.max(0, this.#free - this.#heldBytes), totalBytes }
    if (this.#level === 'normal') this.#record('resources.recovered', sample)
    else this.#record('resources.pressured', { level: this.#level, ...sample })
  }

  #question(message: TraceMessage, purpose: 'turn' | 'rescue', failed: readonly ModelKey[], again: ModelKey | undefined): SelectionRequest {
    const listed = this.#trace.models.filter((model) => !this.#weather.isAway(model, this.#now))
    return {
      time: EPOCH + this.#now,
      purpose,
      sessionId: message.session,
      turnId: `t${message.at}`,
      current: this.#current,
      requested: again,
      needs: message.needs,
      resources: this.#sample(),
      candidates: listed.map((model) => this.#candidate(model, message.needs.contextTokens)),
      failed: [...failed],
    }
  }

  #sample(): ResourceSample {
    const { totalBytes } = this.#trace.machine
    const spare = this.#free - this.#heldBytes
    return {
      time: EPOCH + this.#now,
      memory: { totalBytes, availableBytes: Math.max(0, spare), swapUsedBytes: Math.max(0, -spare) },
      cpu: { cores: 8, load: 0 },
      gpus: [],
      memoryStall: undefined,
      battery: undefined,
      level: this.#level,
    }
  }

  #candidate(model: TraceModel, contextTokens: number): Candidate {
    const held = this.#loaded?.model === model ? this.#loaded : undefined
    const loaded = held && held.window >= contextTokens ? held : undefined
    const window = loaded?.window ?? model.contextLength
    const kvBytes = (model.kvBytes * window) / model.contextLength
    return {
      model: model.model,
      remote: false,
      allowed: true,
      sizeBytes: model.weightsBytes,
      parameters: model.parameters,
      quantisationBits: model.bits,
      quality: undefined,
      maxContextLength: 131_072,
      abilities: { vision: model.vision ?? false, tools: model.tools ?? false, reasoning: model.reasoning ?? false },
      loadedContextLength: loaded?.window,
      plannedContextLength: window,
      memory: {
        weightsBytes: model.weightsBytes,
        kvBytes,
        computeBytes: model.computeBytes,
        totalBytes: model.weightsBytes + kvBytes + model.computeBytes,
        source: 'header',
        confidence: 0.95,
      },
      reclaimableBytes: this.#heldBytes,
      ownBytes: held ? this.#heldBytes : 0,
    }
  }

  /** Whether the model in use could not have gone on, whatever the policy thinks of it. */
  #mustLeave({ candidates, needs }: SelectionRequest, failed: readonly ModelKey[]): boolean {
    const current = candidates.find(({ model }) => model === this.#current)
    if (!current || this.#level !== 'normal' || failed.length > 0) return true
    if (this.#now - (this.#failedAt.get(current.model) ?? Number.NEGATIVE_INFINITY) < BLAMED_MS) return true
    return (
      current.loadedContextLength === undefined ||
      current.loadedContextLength < needs.contextTokens ||
      (needs.vision && !current.abilities.vision) ||
      (needs.tools && !current.abilities.tools)
    )
  }

  /** @returns whether it was refused */
  #load(model: TraceModel, { contextLength }: Decision): boolean {
    if (this.#loaded?.model === model && this.#loaded.window >= contextLength) return false
    this.#unload()
    const window = Math.min(model.contextLength, contextLength)
    const tooMuch = traceNeed(model, window) > this.#free
    if (tooMuch) this.#overloads++
    if (tooMuch || this.#weather.faultOf(model, this.#now) === 'load-failed') {
      this.#advance(this.#now + FAILED_LOAD_MS)
      this.#record('model.load.failed', { model: model.model, code: tooMuch ? 'MAI_LOAD_REFUSED' : 'MAI_LOAD_FAILED', memory: tooMuch })
      return true
    }
    this.#advance(this.#now + model.loadMs)
    this.#loaded = { model, window, since: this.#now }
    this.#noteLevel()
    this.#record('model.loaded', { model: model.model, contextLength: window, ms: model.loadMs })
    return false
  }

  #unload(): void {
    if (!this.#loaded) return
    this.#spans.push({ from: this.#loaded.since, to: this.#now, model: this.#loaded.model.model })
    this.#loaded = undefined
    this.#noteLevel()
  }

  #announce(
    to: ModelKey,
    { reason }: Decision,
    troubled: { readonly model: ModelKey; readonly kind: StruggleKind } | undefined,
    forced: boolean,
  ): void {
    const from = troubled?.model ?? this.#current
    this.#current = to
    if (from === undefined || from === to) return
    const why = troubled?.kind ?? reason
    this.#switches.push({ at: this.#now, from, to, reason: why, forced: forced || troubled !== undefined })
    this.#record('model.switched', { from, to, reason: why, rescue: troubled !== undefined })
  }

  /** @returns what went wrong, if something did */
  #generate(model: TraceModel, { needs, answerTokens }: TraceMessage): StruggleKind | undefined {
    const fault = this.#weather.faultOf(model, this.#now)
    if (fault) {
      this.#advance(this.#now + NOTICED_MS)
      if (fault === 'crashed') this.#unload()
      return fault
    }
    const slower = this.#free < this.#heldBytes ? SWAPPING : 1
    const promptTokens = needs.promptTokens ?? needs.contextTokens
    const ms = Math.round(writingSeconds(model, promptTokens, answerTokens) * slower * 1000)
    const gone = this.#weather.nextOutage(model, this.#now)
    if (gone < this.#now + ms) {
      this.#advance(gone)
      this.#unload()
      return 'backend-lost'
    }
    this.#advance(this.#now + ms)
    const firstTokenMs = Math.round((promptTokens / model.prefillPerSecond) * slower * 1000)
    this.#record('generation.finished', { model: model.model, ms, firstTokenMs, completionTokens: answerTokens })
    return undefined
  }

  #record<T extends RecordType>(type: T, payload: PolicyRecords[T]): void {
    // Type and payload belong together by the signature; the union cannot express it.
    const event = { seq: ++this.#seq, run: 'simulation', time: EPOCH + this.#now, type, payload } as RecordedEvent
    this.#state = this.#policy.reduce(this.#state, event)
  }
}
