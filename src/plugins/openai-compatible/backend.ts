/**
 * The backend: one row a model, whichever endpoints serve it, and one request an answer.
 *
 * @module
 */
import type {
  Backend,
  BackendAbilities,
  GenerateRequest,
  GenerationResult,
  LoadProgress,
  PieceSink,
  PromptMessage,
} from '../../chat/backend.ts'
import { backendError } from '../../chat/failure.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from '../../chat/model.ts'
import { isMaiError } from '../../core/errors.ts'
import type { Ended } from './answer.ts'
import { writeRest } from './continue.ts'
import { Endpoint } from './endpoint.ts'
import { toWire } from './messages.ts'
import type { OfferedModel } from './models.ts'
import type { OpenAiCompatibleSettings } from './options.ts'
import { pickRoute } from './pool.ts'

/** Quality of a model whose size nobody tells, about billions of parameters: who configures an endpoint wants it used. */
const UNKNOWN_QUALITY = 8

/** What the backend takes from outside, for tests. */
export interface Outside {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly now: () => number
  /** 0 to 1. */
  readonly random: () => number
}

const OUTSIDE: Outside = { env: process.env, now: Date.now, random: Math.random }

/** Talks to servers that speak OpenAI's protocol. */
export class OpenAiBackend implements Backend {
  readonly name: string
  readonly remote: boolean
  readonly allowRemote: boolean
  readonly abilities: BackendAbilities
  readonly #endpoints: readonly Endpoint[]
  readonly #random: () => number
  /** Models that an endpoint without need of permission has served: they never move to one with it. */
  readonly #staying: Set<string> = new Set()

  constructor(settings: OpenAiCompatibleSettings, outside: Outside = OUTSIDE) {
    this.name = settings.name
    this.#random = outside.random
    this.#endpoints = settings.endpoints.map((endpoint) => new Endpoint(endpoint, settings, outside.env, outside.now))
    const remote = this.#endpoints.filter((endpoint) => endpoint.remote)
    this.remote = remote.length > 0
    this.allowRemote = remote.every((endpoint) => endpoint.automatic)
    // What no server takes up is asked for in words here; the turn need not care which way it was.
    this.abilities = { continuation: 'prefill', loads: false }
  }

  /** One that is gone is passed over where another is there. @throws MaiError where all are gone */
  async list(signal: AbortSignal): Promise<readonly ModelInfo[]> {
    const asked = await Promise.allSettled(this.#endpoints.map((endpoint) => endpoint.refresh(signal)))
    signal.throwIfAborted()
    const failed = asked.filter((result) => result.status === 'rejected')
    if (failed.length === asked.length) throw failed[0]?.reason
    const ids = new Set(this.#endpoints.flatMap((endpoint) => [...endpoint.models.keys()]))
    return [...ids].filter((id) => this.#routes(id).length > 0).map((id) => this.#row(id))
  }

  /** Only names an instance: the server loads what it must. */
  async load(model: ModelInfo, _settings: LoadSettings, onProgress: LoadProgress): Promise<LoadedInstance> {
    onProgress(1)
    return this.#instance(model.id)
  }

  async unload(): Promise<void> {}

  async generate(request: GenerateRequest, sink: PieceSink): Promise<GenerationResult> {
    const { instance, signal } = request
    const id = instance.instanceId
    const endpoint = this.#pick(id)
    try {
      const ended = await answer(endpoint, request, sink)
      endpoint.succeeded()
      return result(ended, request)
    } catch (error) {
      if (!signal.aborted) {
        endpoint.failed(id, error)
        throw error
      }
      // A silence that somebody else measured is this endpoint's; a person's stop is not.
      if (isMaiError(signal.reason) && signal.reason.code === 'MAI_BACKEND_TIMEOUT') endpoint.failed(id, signal.reason)
      return { finish: 'cancelled', usage: { promptTokens: 0, completionTokens: 0 } }
    }
  }

  anotherRoute({ id }: ModelInfo): boolean {
    const routes = this.#routes(id)
    return routes.length > 1 && routes.some((endpoint) => !endpoint.resting)
  }

  /** By the server's own tokenizer, where it can be asked. */
  async countTokens(instance: LoadedInstance, messages: readonly PromptMessage[], signal: AbortSignal): Promise<number | undefined> {
    const endpoint = this.#pick(instance.instanceId)
    if (endpoint.dialect !== 'vllm' && endpoint.dialect !== 'llama.cpp') return undefined
    const { countTokens } = await import('./tokens.ts')
    return countTokens(endpoint, instance.instanceId, toWire(messages), signal)
  }

  async close(): Promise<void> {
    await Promise.all(this.#endpoints.map((endpoint) => endpoint.close()))
  }

  /** Endpoints that serve a model: those that need no permission; the others only where there is no other. */
  #routes(id: string): readonly Endpoint[] {
    const serving = this.#endpoints.filter((endpoint) => endpoint.models.has(id))
    const automatic = serving.filter((endpoint) => endpoint.automatic)
    if (automatic.length > 0) this.#staying.add(id)
    return this.#staying.has(id) ? automatic : serving
  }

  #pick(id: string): Endpoint {
    const routes = this.#routes(id).map((endpoint) => ({
      endpoint,
      weight: endpoint.settings.weight,
      resting: endpoint.resting,
      restsUntil: endpoint.restsUntil,
    }))
    const picked = pickRoute(routes, this.#random())
    if (!picked) throw backendError('MAI_MODEL_NOT_FOUND', `${this.name} no longer serves "${id}".`)
    return picked.endpoint
  }

  #instance(id: string): LoadedInstance {
    const windows = this.#routes(id).map((endpoint) => endpoint.contextLength(id))
    return { instanceId: id, model: `${this.name}/${id}`, contextLength: Math.min(...windows) }
  }

  #row(id: string): ModelInfo {
    const routes = this.#routes(id)
    const offers = routes.flatMap((endpoint) => endpoint.models.get(id) ?? [])
    const known = <K extends keyof OfferedModel>(field: K): OfferedModel[K] | undefined =>
      offers.map((offer) => offer[field]).find((value) => value !== undefined)
    const instance = this.#instance(id)
    const parameters = known('parameters')
    return {
      key: instance.model,
      backend: this.name,
      id,
      // llama-server names a model by its file.
      name: /([^/\\]+)\.gguf$/i.exec(id)?.[1] ?? id,
      remote: routes.some((endpoint) => endpoint.remote),
      allowRemote: routes.every((endpoint) => endpoint.automatic),
      quality: parameters === undefined ? UNKNOWN_QUALITY : undefined,
      sizeBytes: known('sizeBytes'),
      parameters,
      quantisation: undefined,
      architecture: undefined,
      maxContextLength: instance.contextLength,
      abilities: {
        vision: offers.every((offer) => offer.vision),
        tools: offers.every((offer) => offer.tools),
        reasoning: offers.some((offer) => offer.reasoning),
      },
      path: undefined,
      // Whether it is in memory is the server's affair: it answers when it is asked.
      instances: [instance],
    }
  }
}

function answer(endpoint: Endpoint, request: GenerateRequest, sink: PieceSink): Promise<Ended> {
  const { instance, messages, continueFrom, sampling, tools, responseSchema, signal } = request
  if (continueFrom) return writeRest(endpoint, { ...request, continueFrom }, sink)
  const asked = { sampling, ...(tools ? { tools } : {}), ...(responseSchema ? { responseSchema } : {}) }
  return endpoint.chat({ model: instance.instanceId, messages: toWire(messages), signal, mayThink: true, ...asked }, sink)
}

function result({ finish, usage, tokens }: Ended, { sampling }: GenerateRequest): GenerationResult {
  const used = usage ?? { promptTokens: 0, completionTokens: tokens }
  // Servers say `length` for both limits; one that nobody set is the window, however large we took it to be.
  const full = finish === 'length' && sampling.maxTokens === undefined
  return { finish: full ? 'context-full' : finish, usage: used }
}
