/**
 * The models behind one door: which there are, which is best, which is loaded.
 *
 * @module
 */
import { toErrorFact } from '../core/errors.ts'
import type { PluginContext } from '../core/plugin.ts'
import { Background } from './background.ts'
import { systemClock } from './clock.ts'
import { Journal } from './decisions/journal.ts'
import { candidates, memoryOf, PLAIN_NEEDS, settingsFor } from './decisions/situation.ts'
import { traitsOf } from './failure.ts'
import { onAbort } from './joined-signal.ts'
import type { HoldSettings } from './memory/header-estimate.ts'
import { ObservedMemory } from './memory/observed-memory.ts'
import { largestUsers } from './memory/what-to-free.ts'
import type { LoadedInstance, LoadSettings, MemoryEstimate, ModelInfo, ModelKey, ModelSettings } from './model.ts'
import type { Decision, Needs, OpenCircuit, SelectionRequest } from './policy.ts'
import type { Reply } from './reply.ts'
import { Catalogue } from './residency/catalogue.ts'
import { Preloader } from './residency/preload.ts'
import { Residency, type Wanted } from './residency/residency.ts'
import { Speeds } from './residency/speeds.ts'
import type { MaiSettings, TurnSettings } from './settings.ts'
import type { BackendStatus, CurrentModelStatus, ModelRow } from './status.ts'
import type { Store } from './store.ts'
import { Turn } from './turn/turn.ts'
import type { TurnInput, TurnParts } from './turn/turn-parts.ts'

/** Chooses, loads, switches and answers. Made by `createMai`. */
export class ModelManager {
  readonly #ctx: PluginContext
  readonly #settings: MaiSettings
  readonly #store: Store
  readonly #catalogue: Catalogue
  readonly #residency: Residency
  readonly #journal: Journal
  readonly #background: Background
  readonly #preloader: Preloader
  readonly #turnParts: TurnParts
  readonly #observed: ObservedMemory
  readonly #now: () => number
  /** Those that are not ended. */
  readonly #turns: Set<Turn> = new Set()
  #current: ModelKey | undefined
  #lastDecision: Decision | undefined
  #pin: ModelKey | undefined

  constructor(
    ctx: PluginContext,
    settings: MaiSettings,
    limits: TurnSettings,
    run: string,
    now: () => number,
    random: () => number = Math.random,
  ) {
    this.#ctx = ctx
    this.#settings = settings
    this.#now = now
    this.#store = ctx.use('store')
    this.#catalogue = new Catalogue(ctx)
    const holdOf = (model: ModelInfo): ModelSettings => settingsFor(model, settings.models ?? {})
    this.#observed = new ObservedMemory({ ctx, store: this.#store, find: (key) => this.#catalogue.find(key), holdOf })
    const { loadIdleMs } = limits
    const needBytes = (model: ModelInfo, contextLength: number): number =>
      memoryOf(model, contextLength, this.#observed.estimates, holdOf(model)).totalBytes
    this.#residency = new Residency({
      catalogue: this.#catalogue,
      store: this.#store,
      emit: (type, payload) => ctx.emit(type, payload),
      resources: (maxAgeMs) => ctx.use('resources').latest(maxAgeMs),
      needBytes,
      loadIdleMs,
      clock: systemClock(now),
    })
    this.#journal = new Journal(ctx, ctx.use('policy'), this.#store, run, now)
    this.#background = new Background(ctx, this.#catalogue, () => this.#current)
    if (!ctx.tryUse('background')) ctx.provide('background', this.#background)
    this.#preloader = new Preloader({
      room: () => this.#residency.room(),
      needBytes,
      load: (model, load, signal, onProgress) => this.#load(model, load, { background: true, signal, onProgress }),
      release: (instance, reason) => this.#residency.release(instance, reason),
      current: () => this.#current,
      onSample: (call) => ctx.on('resources.sampled', call),
      onReady: ({ model }, ms) => ctx.emit('model.preloaded', { model, ms }),
      onFailed: (model, error) => void this.#loadFailed(model, error),
    })
    this.#turnParts = {
      ctx,
      store: this.#store,
      catalogue: this.#catalogue,
      residency: this.#residency,
      preloader: this.#preloader,
      speeds: new Speeds(this.#store, (type, payload) => ctx.emit(type, payload)),
      journal: this.#journal,
      limits,
      models: settings.models ?? {},
      now,
      random,
      current: () => this.#current,
      setCurrent: (model, decision) => {
        this.#current = model
        this.#lastDecision = decision
      },
      pinned: () => this.#pin,
      question: (purpose, needs, about) => this.#question(purpose, needs, about),
    }
    // One listener for all turns, not one for each.
    onAbort([ctx.signal], (reason) => {
      for (const turn of this.#turns) turn.cancel(reason)
    })
    ctx.on('resources.pressured', (edge) => {
      void this.#journal.record('resources.pressured', edge)
      void this.#residency.trim(this.#current, 'pressure').catch(() => {})
    })
    ctx.on('resources.recovered', (edge) => void this.#journal.record('resources.recovered', edge))
  }

  /** Asks all backends; a file that two of them see is one row. @throws MaiError `MAI_NOTHING_SERVES` */
  async list(): Promise<readonly ModelInfo[]> {
    await this.#catalogue.refresh()
    await this.#catalogue.ensure()
    return this.#catalogue.models
  }

  /** Asks the backends unless they were asked. @throws MaiError `MAI_NOTHING_SERVES` when there is no model at all */
  ready(): Promise<void> {
    return this.#catalogue.ensure()
  }

  /** Backends as last seen. */
  backends(): readonly BackendStatus[] {
    return this.#catalogue.backends()
  }

  /** The models with fit and state. @throws MaiError `MAI_NOTHING_SERVES` */
  async rows(): Promise<readonly ModelRow[]> {
    const models = await this.list()
    const request = await this.#question('query', PLAIN_NEEDS, {})
    const decision = await this.#journal.preview(request)
    return models.map((model) => {
      const memory = request.candidates.find((c) => c.model === model.key)?.memory
      const excluded = decision.candidates.find((c) => c.model === model.key)?.excluded
      const loaded = model.instances.length > 0
      return {
        model,
        fits: loaded || excluded !== 'memory',
        needBytes: memory?.totalBytes ?? 0,
        state: loaded ? 'loaded' : 'available',
        excluded,
      }
    })
  }

  /** The model a person means. @throws MaiError `MAI_UNKNOWN_MODEL` with the nearest names */
  async resolve(text: string): Promise<ModelInfo> {
    await this.#catalogue.ensure()
    return this.#catalogue.resolve(text)
  }

  /** Memory that loading a model would take: as observed here, the backend's own estimate, else from header, table or size. @throws MaiError `MAI_UNKNOWN_MODEL` */
  async estimateMemory(
    key: string,
    options: HoldSettings & { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly model: ModelKey; readonly contextLength: number; readonly memory: MemoryEstimate }> {
    const model = await this.resolve(key)
    const candidate = (await this.#question('query', PLAIN_NEEDS, {})).candidates.find((c) => c.model === model.key)
    const contextLength = options.contextLength ?? candidate?.plannedContextLength ?? model.maxContextLength
    const { signal = this.#ctx.signal, ...hold } = options
    const settings = { ...settingsFor(model, this.#settings.models ?? {}), ...hold, contextLength }
    const own = await this.#catalogue.backendOf(model).estimateMemory?.(model, settings, signal)
    return { model: model.key, contextLength, memory: own ?? memoryOf(model, contextLength, observedFor(hold, this.#observed), settings) }
  }

  /** What the policy would choose now; nothing is loaded. */
  async selectBestModel(options: { readonly sessionId?: string } = {}): Promise<Decision> {
    await this.#catalogue.ensure()
    return this.#journal.preview(await this.#question('query', PLAIN_NEEDS, { sessionId: options.sessionId }))
  }

  /** Answers one message in a turn of its own. */
  generateResponse(input: TurnInput): { readonly turn: Turn; readonly reply: Promise<Reply> } {
    const ended = this.#background.turnBegan()
    const turn = new Turn(this.#turnParts, input)
    this.#turns.add(turn)
    if (this.#ctx.signal.aborted) turn.cancel(this.#ctx.signal.reason)
    const reply = turn.run().finally(() => {
      this.#turns.delete(turn)
      ended()
    })
    // What changed elsewhere meanwhile is learned off the turn's path.
    void reply.catch(() => {}).then(() => void this.#catalogue.refresh().catch(() => {}))
    return { turn, reply }
  }

  /** Loads, verifies, hands over, unloads the former, and pins. @throws MaiError */
  async switchModel(key: string): Promise<LoadedInstance> {
    const instance = await this.loadModel(key)
    const from = this.#current
    await this.pin(key)
    this.#current = instance.model
    if (from !== undefined && from !== instance.model) {
      const switched = { from, to: instance.model, reason: 'asked', rescue: false }
      await this.#journal.record('model.switched', switched)
      this.#ctx.emit('model.switched', { ...switched, sessionId: undefined, atChar: 0 })
    }
    await this.#residency.tidy(instance.model, 'switched')
    return instance
  }

  /** Pins a model for all Mai processes, or unpins; loads nothing. @throws MaiError `MAI_UNKNOWN_MODEL` */
  async pin(key: string | undefined): Promise<ModelKey | undefined> {
    const model = key === undefined ? undefined : (await this.resolve(key)).key
    await this.#store.setSetting('pin', model)
    await this.#notePin(model)
    return model
  }

  /** Loads within the memory left over, giving way to answers; it stays loaded until it is unloaded by name. */
  async preloadModel(key: string): Promise<LoadedInstance> {
    const began = this.#now()
    const { model, settings } = await this.#planned(key, undefined)
    const instance = await this.#load(model, settings, { background: true })
    this.#residency.keep(instance)
    this.#ctx.emit('model.preloaded', { model: instance.model, ms: this.#now() - began })
    return instance
  }

  /** Loads a model, or joins it when it is loaded. @throws MaiError of `failure.ts` */
  async loadModel(
    key: string,
    options: { readonly contextLength?: number; readonly onProgress?: (fraction: number) => void; readonly signal?: AbortSignal } = {},
  ): Promise<LoadedInstance> {
    const { model, settings } = await this.#planned(key, options.contextLength)
    return this.#load(model, settings, { ...options, contextTokens: options.contextLength })
  }

  /** Unloads what is loaded of it, also what Mai did not load, because the person asked. @returns how many instances */
  async unloadModel(key: string): Promise<number> {
    await this.#catalogue.refresh()
    const { instances } = await this.resolve(key)
    for (const instance of instances) {
      await this.#residency.unload(instance, 'asked')
      await this.#journal.record('model.unloaded', { model: instance.model })
    }
    return instances.length
  }

  async getCurrentModelStatus(): Promise<CurrentModelStatus> {
    const pinned = await this.#store.getSetting('pin')
    await this.#catalogue.refresh()
    const decision = this.#lastDecision ?? (this.#catalogue.models.length > 0 ? await this.selectBestModel() : undefined)
    const model = this.#current ?? decision?.model
    const instance = model === undefined ? undefined : this.#catalogue.find(model)?.instances[0]
    const resources = this.#ctx.use('resources').latest()
    const memoryUsers = resources.level === 'normal' ? [] : await largestUsers(this.#ctx)
    return { model, instance, decision, pinned, resources, ...(memoryUsers.length > 0 ? { memoryUsers } : {}) }
  }

  /** Models that rest after failures. */
  circuits(): Promise<readonly OpenCircuit[]> {
    return this.#journal.circuits()
  }

  /** The model in use; no I/O. */
  get current(): ModelKey | undefined {
    return this.#current
  }

  /** Ends what hangs on models. */
  async close(): Promise<void> {
    this.#background.turnBegan()
    await this.#preloader.close()
    await this.#journal.settled()
    await this.#residency.close(this.#settings.unloadOnExit ?? false)
  }

  async #planned(key: string, contextLength: number | undefined): Promise<{ readonly model: ModelInfo; readonly settings: ModelSettings }> {
    const model = await this.resolve(key)
    const { candidates: rows } = await this.#question('preload', PLAIN_NEEDS, {})
    const planned = contextLength ?? rows.find((row) => row.model === model.key)?.plannedContextLength
    const settings = settingsFor(model, this.#settings.models ?? {})
    return { model, settings: planned === undefined ? settings : { ...settings, contextLength: planned } }
  }

  async #load(
    model: ModelInfo,
    settings: LoadSettings,
    options: { readonly contextTokens?: number | undefined; readonly signal?: AbortSignal } & Pick<Wanted, 'background' | 'onProgress'>,
  ): Promise<LoadedInstance> {
    const { contextTokens = PLAIN_NEEDS.contextTokens, signal = this.#ctx.signal, background, onProgress } = options
    const hold = await this.#residency.acquire({
      model,
      settings,
      contextTokens,
      signal,
      ...(background === undefined ? {} : { background }),
      ...(onProgress ? { onProgress } : {}),
    })
    hold.release()
    if (hold.loadMs > 0) {
      const loaded = { model: model.key, contextLength: hold.instance.contextLength, ms: hold.loadMs }
      await this.#journal.record('model.loaded', loaded)
      this.#ctx.emit('model.loaded', loaded)
    }
    return hold.instance
  }

  /** Nobody waited for it: recorded, so that the policy lets it rest. */
  async #loadFailed(model: ModelKey, error: unknown): Promise<void> {
    const fact = toErrorFact(error)
    await this.#journal.record('model.load.failed', { model, code: fact.code, memory: traitsOf(error).memory })
    this.#ctx.emit('model.load.failed', { model, error: fact })
  }

  async #question(purpose: SelectionRequest['purpose'], needs: Needs, about: Partial<SelectionRequest>): Promise<SelectionRequest> {
    await this.#readPin()
    const models = this.#catalogue.models
    await this.#observed.remember(models)
    return {
      time: this.#now(),
      purpose,
      sessionId: undefined,
      turnId: undefined,
      current: this.#current,
      requested: undefined,
      needs,
      resources: this.#ctx.use('resources').latest(),
      candidates: candidates({
        models,
        settings: this.#settings.models ?? {},
        needs,
        allowed: (model) => this.#catalogue.allows(model),
        loads: (model) => this.#catalogue.backendOf(model).abilities.loads,
        unloadable: this.#residency.unloadable(),
        estimates: this.#observed.estimates,
      }),
      failed: [],
      ...about,
    }
  }

  /** Another process may have pinned a model: every turn looks. */
  async #readPin(): Promise<void> {
    try {
      await this.#notePin(await this.#store.getSetting('pin'))
    } catch (error) {
      this.#ctx.emit('plugin.failed', { plugin: 'store', during: 'reading the pin', error: toErrorFact(error) })
    }
  }

  async #notePin(model: ModelKey | undefined): Promise<void> {
    if (model === this.#pin) return
    this.#pin = model
    await this.#journal.record('pin.changed', { model: model ?? null })
    this.#ctx.emit('pin.changed', { model: model ?? null })
  }
}

/** What was observed says nothing of other ways to hold a model. */
function observedFor({ contextLength: _, ...ways }: HoldSettings, { estimates }: ObservedMemory): ReadonlyMap<ModelKey, MemoryEstimate> {
  return Object.keys(ways).length === 0 ? estimates : new Map()
}
