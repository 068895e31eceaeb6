/**
 * The backend `lmstudio`: models of an LM Studio on this machine (or, when told so, another) through its official SDK.
 *
 * @module
 */
import type { LLM, LLMLoadModelConfig } from '@lmstudio/sdk'
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
import { definePlugin, type PluginContext, type PluginFactory } from '../../core/plugin.ts'
import { Connection } from './connection.ts'
import { bounded } from './deadline.ts'
import { generate, toChat } from './generate.ts'
import { isLoopback } from './locate.ts'
import { toModels } from './models.ts'
import { type LmStudioSettings, lmStudioSchema } from './options.ts'

/** Bound on a whole load, in ms; a load without progress is given up long before by the caller. */
const LOAD_LIMIT_MS = 1_800_000

/** Talks to LM Studio. Connects on first use. */
class LmStudioBackend implements Backend {
  readonly name = 'lmstudio'
  readonly remote: boolean
  readonly allowRemote: boolean
  readonly abilities: BackendAbilities = { continuation: 'raw', loads: true }
  readonly #connection: Connection
  readonly #settings: LmStudioSettings
  readonly #handles: Map<string, LLM> = new Map()

  constructor(ctx: PluginContext, settings: LmStudioSettings) {
    this.#settings = settings
    this.remote = settings.baseUrl !== undefined && !isLoopback(settings.baseUrl)
    this.allowRemote = settings.allowRemote
    this.#connection = new Connection(ctx, settings)
  }

  list(signal: AbortSignal): Promise<readonly ModelInfo[]> {
    return this.#watching(async () => {
      const { callMs } = this.#settings
      const client = await this.#connection.client(signal)
      const listed = bounded(client.system.listDownloadedModels('llm'), 'list its models', callMs, signal)
      const handles = await bounded(client.llm.listLoaded(), 'list what is loaded', callMs, signal)
      const infos = await Promise.all(
        handles.map((handle) => bounded(handle.getModelInfo(), 'describe a model', callMs, signal).catch(() => undefined)),
      )
      // A model unloaded between the two questions has no info any more.
      return toModels(
        await listed,
        infos.filter((info) => info !== undefined),
        this.remote,
      )
    })
  }

  load(model: ModelInfo, settings: LoadSettings, onProgress: LoadProgress, signal: AbortSignal): Promise<LoadedInstance> {
    return this.#watching(async () => {
      const { callMs } = this.#settings
      const client = await this.#connection.client(signal)
      // The SDK never lets go of its signal, and throws when it aborts after the client is gone: it gets one for this load only.
      const stop = new AbortController()
      const forward = (): void => stop.abort(signal.reason)
      signal.addEventListener('abort', forward, { once: true })
      const options = { config: loadConfig(settings), verbose: false, signal: stop.signal, onProgress }
      const ttl = settings.keepAliveMs === undefined ? {} : { ttl: Math.max(1, Math.round(settings.keepAliveMs / 1000)) }
      const loading = client.llm.load(model.id, { ...options, ...ttl })
      const handle = await bounded(loading, 'load the model', LOAD_LIMIT_MS, signal, 'load').finally(() => {
        signal.removeEventListener('abort', forward)
      })
      this.#handles.set(handle.identifier, handle)
      // What was asked for is not always what was loaded.
      const contextLength = await bounded(handle.getContextLength(), 'say its context length', callMs, signal, 'load')
      return { instanceId: handle.identifier, model: model.key, contextLength }
    })
  }

  unload(instance: LoadedInstance, signal: AbortSignal): Promise<void> {
    return this.#watching(async () => {
      const client = await this.#connection.client(signal)
      this.#handles.delete(instance.instanceId)
      await bounded(client.llm.unload(instance.instanceId), 'unload a model', this.#settings.callMs, signal)
    })
  }

  generate(request: GenerateRequest, sink: PieceSink): Promise<GenerationResult> {
    return this.#watching(async () => {
      const model = await this.#handle(request.instance, request.signal)
      try {
        return await generate(model, request, sink, this.#settings.callMs)
      } catch (error) {
        // A handle names one load of a model; after a failure it is looked up again.
        this.#handles.delete(request.instance.instanceId)
        throw error
      }
    })
  }

  countTokens(instance: LoadedInstance, messages: readonly PromptMessage[], signal: AbortSignal): Promise<number> {
    return this.#watching(async () => {
      const { callMs } = this.#settings
      const model = await this.#handle(instance, signal)
      const prompt = await bounded(model.applyPromptTemplate(toChat(messages)), 'apply the template', callMs, signal)
      return bounded(model.countTokens(prompt), 'count tokens', callMs, signal)
    })
  }

  /** A handle by its instance, never by query: a query may load something. */
  async #handle({ instanceId }: LoadedInstance, signal: AbortSignal): Promise<LLM> {
    const client = await this.#connection.client(signal)
    const known = this.#handles.get(instanceId)
    if (known) return known
    const loaded = await bounded(client.llm.listLoaded(), 'list what is loaded', this.#settings.callMs, signal, 'generate')
    for (const handle of loaded) this.#handles.set(handle.identifier, handle)
    const found = this.#handles.get(instanceId)
    if (!found) throw backendError('MAI_MODEL_UNLOADED', `"${instanceId}" is no longer loaded in LM Studio.`)
    return found
  }

  async #watching<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      this.#connection.doubt(error)
      throw error
    }
  }
}

function loadConfig({ contextLength, gpuLayers, flashAttention, kvType }: LoadSettings): LLMLoadModelConfig {
  return {
    ...(contextLength === undefined ? {} : { contextLength }),
    ...(gpuLayers === 'max' || gpuLayers === 'off' ? { gpu: { ratio: gpuLayers } } : {}),
    ...(flashAttention === undefined ? {} : { flashAttention }),
    ...(kvType === undefined ? {} : { llamaKCacheQuantizationType: kvType, llamaVCacheQuantizationType: kvType }),
  }
}

/** Contributes the backend. Nothing is contacted before it is asked. */
export const lmstudio: PluginFactory<typeof lmStudioSchema> = definePlugin({
  name: 'lmstudio',
  apiVersion: 1,
  provides: ['backend'],
  options: lmStudioSchema,
  setup(ctx, settings) {
    ctx.contribute('backend', new LmStudioBackend(ctx, settings))
  },
})
