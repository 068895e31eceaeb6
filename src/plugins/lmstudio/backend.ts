/**
 * The backend: each of its calls on a living session, in bounded time, with errors that have a code.
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
import type { LoadedInstance, LoadSettings, MemoryEstimate, ModelInfo } from '../../chat/model.ts'
import { isLoopback } from './address.ts'
import { type Connection, isGone } from './connection.ts'
import { bounded } from './deadline.ts'
import { canEstimate, toMemoryEstimate } from './estimate.ts'
import { generate } from './generate.ts'
import { type Machine, modelFile, thisMachine } from './home.ts'
import { load, loadConfig, unlessGone } from './load.ts'
import { toModels } from './models.ts'
import type { LmStudioSettings } from './options.ts'
import { imagesOf, toChat } from './prompt.ts'

/** Talks to LM Studio. Connects on first use. */
export class LmStudioBackend implements Backend {
  readonly name = 'lmstudio'
  readonly remote: boolean
  readonly allowRemote: boolean
  readonly abilities: BackendAbilities = { continuation: 'raw', loads: true }
  readonly #connection: Connection
  readonly #settings: LmStudioSettings
  readonly #machine: Machine

  constructor(connection: Connection, settings: LmStudioSettings, machine: Machine = thisMachine()) {
    this.#connection = connection
    this.#machine = machine
    this.#settings = settings
    this.remote = settings.baseUrl !== undefined && !isLoopback(settings.baseUrl)
    this.allowRemote = settings.allowRemote
  }

  list(signal: AbortSignal): Promise<readonly ModelInfo[]> {
    const { callMs } = this.#settings
    return this.#connection.run('call', signal, async ({ client }, stop) => {
      const [downloaded, handles] = await Promise.all([
        bounded(client.system.listDownloadedModels('llm'), 'list its models', callMs, stop),
        bounded(client.llm.listLoaded(), 'list what is loaded', callMs, stop),
      ])
      const infos = await Promise.all(handles.map((handle) => unlessGone(bounded(handle.getModelInfo(), 'describe a model', callMs, stop))))
      return toModels(
        downloaded,
        infos.filter((info) => info !== undefined),
        this.remote,
        // A file of another machine is not the one of the same path here.
        this.remote ? new Map() : await this.#files(downloaded.map((info) => info.path)),
      )
    })
  }

  async #files(listed: readonly string[]): Promise<Map<string, string>> {
    const found = await Promise.all(listed.map(async (each) => [each, await modelFile(this.#machine, each)] as const))
    return new Map(found.flatMap(([each, file]) => (file === undefined ? [] : [[each, file] as const])))
  }

  load(model: ModelInfo, settings: LoadSettings, onProgress: LoadProgress, signal: AbortSignal): Promise<LoadedInstance> {
    return this.#connection.run('load', signal, (session, stop) => load(session, { model, settings, onProgress }, this.#settings, stop))
  }

  /** Resolves too when it is gone already. */
  async unload({ instanceId }: LoadedInstance, signal: AbortSignal): Promise<void> {
    try {
      await this.#connection.run('call', signal, async (session, stop) => {
        session.forget(instanceId)
        await bounded(session.client.llm.unload(instanceId), 'unload a model', this.#settings.callMs, stop)
      })
    } catch (error) {
      if (!isGone(error)) throw error
    }
  }

  async generate(request: GenerateRequest, sink: PieceSink): Promise<GenerationResult> {
    const { signal } = request
    try {
      return await this.#connection.run('generate', signal, (session, stop) => generate(session, request, sink, this.#settings, stop))
    } catch (error) {
      // Aborted before the answer had begun.
      if (signal.aborted) return { finish: 'cancelled', usage: { promptTokens: 0, completionTokens: 0 } }
      throw error
    }
  }

  /** Exact for text; what an image takes only the engine knows. */
  async countTokens(instance: LoadedInstance, messages: readonly PromptMessage[], signal: AbortSignal): Promise<number | undefined> {
    if (imagesOf(messages).length > 0) return undefined
    const { callMs } = this.#settings
    return this.#connection.run('generate', signal, async (session, stop) => {
      const model = await session.handle(instance.instanceId, callMs, stop)
      try {
        const prompt = await bounded(model.applyPromptTemplate(toChat(messages)), 'apply the template', callMs, stop)
        return await bounded(model.countTokens(prompt), 'count tokens', callMs, stop)
      } catch (error) {
        session.forget(instance.instanceId)
        throw error
      }
    })
  }

  /** Where the SDK can ask for it. */
  async estimateMemory(model: ModelInfo, settings: LoadSettings, signal: AbortSignal): Promise<MemoryEstimate | undefined> {
    const config = loadConfig(settings, model.maxContextLength)
    return this.#connection.run('call', signal, async ({ client: { llm } }, stop) => {
      if (!canEstimate(llm)) return undefined
      return toMemoryEstimate(await bounded(llm.estimateResourcesUsage(model.id, config), 'estimate memory', this.#settings.callMs, stop))
    })
  }
}
