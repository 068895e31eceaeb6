/**
 * A backend without an engine: it says what a script tells it, for exact tests of policies and plugins.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Backend, BackendAbilities, FinishReason, GenerateRequest, GenerationResult, PieceSink } from '../chat/backend.ts'
import { backendError } from '../chat/failure.ts'
import { type ToolCallPart, textOf } from '../chat/message.ts'
import type { LoadedInstance, LoadSettings, ModelInfo } from '../chat/model.ts'
import { definePlugin, type Plugin } from '../core/plugin.ts'
import type { ResourceTrace } from './resource-trace.ts'

/** What happens to one answer, once. */
export type AnswerFault =
  | { readonly kind: 'drop'; readonly afterPieces: number }
  | { readonly kind: 'stall'; readonly afterPieces: number }
  | { readonly kind: 'end'; readonly afterPieces: number; readonly finish: FinishReason }
  | { readonly kind: 'empty' }

/** A model of the script. */
export interface ScriptedModel {
  readonly id: string
  /** Default 1 GB. */
  readonly sizeBytes?: number
  /** Tokens; default 8192. */
  readonly maxContextLength?: number
  /** The whole answer to the last user message. */
  readonly answer: string | ((question: string, request: GenerateRequest) => string)
  /** Taken from the front, one a load: refuse it for memory, fail it, or let it hang. */
  readonly loads?: ('refuse' | 'fail' | 'hang')[]
  /** Tool calls that end the answer. */
  readonly toolCalls?: readonly ToolCallPart[]
  /** Taken from the front, one an answer. */
  readonly faults?: AnswerFault[]
}

/** How the backend is. */
export interface ScriptedOptions {
  /** Default `raw`. */
  readonly continuation?: BackendAbilities['continuation']
  /** The machine whose memory the models take. */
  readonly machine?: Pick<ResourceTrace, 'take'>
}

/** Everything the backend was asked. */
export interface ScriptedCalls {
  readonly loads: string[]
  readonly unloads: string[]
  readonly requests: GenerateRequest[]
}

/** A plugin with the backend `scripted`, and what it was asked. */
export interface ScriptedBackend {
  readonly plugin: Plugin
  readonly calls: ScriptedCalls
}

/**
 * Makes a scripted backend. Answers are sent word by word; a continuation goes on right behind its partial text.
 *
 * @example
 * const { plugin, calls } = scriptedBackend([{ id: 'small', answer: 'Hello.' }])
 */
export function scriptedBackend(models: readonly ScriptedModel[], options: ScriptedOptions = {}): ScriptedBackend {
  const calls: ScriptedCalls = { loads: [], unloads: [], requests: [] }
  const backend = new Scripted(models, calls, options)
  const make = definePlugin({
    name: 'scripted',
    apiVersion: 1,
    provides: ['backend'],
    setup(ctx) {
      ctx.contribute('backend', backend)
    },
  })
  return { plugin: make(), calls }
}

class Scripted implements Backend {
  readonly name = 'scripted'
  readonly remote = false
  readonly allowRemote = false
  readonly abilities: BackendAbilities
  readonly #machine: Pick<ResourceTrace, 'take'> | undefined
  readonly #models: ReadonlyMap<string, ScriptedModel>
  readonly #calls: ScriptedCalls
  readonly #loaded: Map<string, LoadedInstance> = new Map()

  constructor(models: readonly ScriptedModel[], calls: ScriptedCalls, { continuation = 'raw', machine }: ScriptedOptions) {
    this.abilities = { continuation, loads: true }
    this.#machine = machine
    this.#models = new Map(models.map((model) => [model.id, model]))
    this.#calls = calls
  }

  async list(): Promise<readonly ModelInfo[]> {
    return [...this.#models.values()].map((model) => {
      const key = `scripted/${model.id}`
      return {
        key,
        backend: this.name,
        id: model.id,
        name: model.id,
        remote: false,
        sizeBytes: model.sizeBytes ?? 1e9,
        parameters: (model.sizeBytes ?? 1e9) * 1.8,
        quantisation: { name: 'Q4_0', bits: 4 },
        architecture: 'llama',
        maxContextLength: model.maxContextLength ?? 8192,
        abilities: { vision: false, tools: true, reasoning: false },
        path: undefined,
        instances: [...this.#loaded.values()].filter((instance) => instance.model === key),
      }
    })
  }

  async load(
    model: ModelInfo,
    { contextLength }: LoadSettings,
    onProgress: (fraction: number) => void,
    signal: AbortSignal,
  ): Promise<LoadedInstance> {
    this.#calls.loads.push(model.id)
    const fault = this.#models.get(model.id)?.loads?.shift()
    if (fault === 'refuse') throw backendError('MAI_LOAD_REFUSED', `${model.id} needs more memory than is free.`)
    if (fault === 'fail') throw backendError('MAI_LOAD_FAILED', `${model.id} could not be read.`)
    if (fault === 'hang') await sleep(2 ** 30, undefined, { signal })
    onProgress(1)
    const instance = { instanceId: model.id, model: model.key, contextLength: contextLength ?? model.maxContextLength }
    this.#loaded.set(instance.instanceId, instance)
    this.#machine?.take(model.sizeBytes ?? 0)
    return instance
  }

  async unload(instance: LoadedInstance): Promise<void> {
    this.#calls.unloads.push(instance.instanceId)
    if (this.#loaded.delete(instance.instanceId)) this.#machine?.take(-(this.#models.get(instance.instanceId)?.sizeBytes ?? 1e9))
  }

  async generate(request: GenerateRequest, sink: PieceSink): Promise<GenerationResult> {
    this.#calls.requests.push(request)
    const { instance, continueFrom = '', signal } = request
    const model = this.#models.get(instance.instanceId)
    if (!model || !this.#loaded.has(instance.instanceId)) throw backendError('MAI_MODEL_UNLOADED', `${instance.instanceId} is not loaded.`)
    const question = textOf(request.messages.findLast((message) => message.role === 'user')?.parts ?? [])
    const whole = typeof model.answer === 'string' ? model.answer : model.answer(question, request)
    const pieces = whole.slice(whole.startsWith(continueFrom) ? continueFrom.length : 0).match(/\s*\S+\s*$|\s*\S+|^\s+$/g) ?? []
    const fault = model.faults?.shift()
    const usage = (sent: number): GenerationResult['usage'] => ({ promptTokens: question.length, completionTokens: sent })
    if (fault?.kind === 'empty') return { finish: 'stop', usage: usage(0) }
    for (const [sent, text] of pieces.entries()) {
      if (signal.aborted) return { finish: 'cancelled', usage: usage(sent) }
      if (fault && sent === fault.afterPieces) {
        if (fault.kind === 'drop') throw backendError('MAI_BACKEND_LOST', 'The connection was closed.')
        if (fault.kind === 'end') return { finish: fault.finish, usage: usage(sent) }
        await sleep(2 ** 30, undefined, { signal }).catch(() => {})
        return { finish: 'cancelled', usage: usage(sent) }
      }
      sink({ type: 'text', text, tokens: 1 })
      await undefined
    }
    for (const call of model.toolCalls ?? []) sink(call)
    return { finish: model.toolCalls ? 'tool-calls' : 'stop', usage: usage(pieces.length) }
  }

  async countTokens(): Promise<undefined> {
    return undefined
  }
}
