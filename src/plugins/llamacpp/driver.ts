/**
 * llama.cpp through node-llama-cpp: one model with one context, in this process. Shared by the plugin's child processes
 * and the test kit's server. A crash of the engine is a crash of the process it runs in.
 *
 * @module
 */
import type { Llama, LlamaContext, LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp'
import { backendError } from '../../chat/failure.ts'
import { readGgufHeader } from '../../chat/gguf/header.ts'
import type { LoadSettings, SamplingSettings } from '../../chat/model.ts'
import { describeModel, engineProblem } from './describe.ts'
import { deadlyFile, loadError, notInstalled } from './engine-errors.ts'
import { measureThreads, type ThreadSpeed, threadCandidates } from './measure-threads.ts'
import { StopStrings } from './stop-strings.ts'
import { chatTemplate, type TemplateMessage } from './template.ts'
import { TokenWriter } from './token-writer.ts'

/** What to load. */
export interface DriverLoad extends Omit<LoadSettings, 'keepAliveMs'> {
  readonly file: string
  /** Threads to compute with; default: physical cores less one. */
  readonly threads?: number
  readonly onProgress?: (fraction: number) => void
  readonly signal: AbortSignal
}

/** What to generate. */
export interface DriverRequest {
  /** The raw prompt, control tokens and all. */
  readonly prompt: string
  /** The end of the prompt that is answer already: repeating it is penalised like the rest of the answer. */
  readonly continueFrom?: string
  readonly sampling: SamplingSettings
  readonly responseSchema?: Readonly<Record<string, unknown>>
  readonly signal: AbortSignal
}

/** Where pieces go. */
export interface DriverSink {
  /** Whole characters. */
  text(text: string, tokens: number): void
  prefill?(fraction: number): void
}

/** How it ended. */
export interface DriverResult {
  readonly finish: 'stop' | 'stop-string' | 'length' | 'context-full' | 'cancelled'
  readonly promptTokens: number
  readonly completionTokens: number
}

/** Tokens of a prompt read between two looks at the signal. */
const PREFILL_STEP = 512
/** Window where nothing was asked for, in tokens. */
const DEFAULT_CONTEXT = 4096
/** How a model samples when nothing is asked for. */
interface SamplingDefaults {
  readonly temperature: number
  /** 1 is none. */
  readonly repeatPenalty: number
}

/** llama.cpp's own. */
const USUAL: SamplingDefaults = { temperature: 0.8, repeatPenalty: 1 }
/**
 * Small models lose the thread at that temperature (SmolLM2's card recommends 0.2) and, that sure of themselves, say the
 * same for ever; 1.1 over the last 64 tokens is the usual penalty of Ollama and LM Studio.
 */
const SMALL: SamplingDefaults = { temperature: 0.2, repeatPenalty: 1.1 }
/** Parameters below which a model is small. */
const SMALL_BELOW = 1e9
/** Tokens of the answer that a repeat penalty looks back on. */
const PENALTY_WINDOW = 64
/** llama.cpp pads windows to this. */
const SMALLEST_CONTEXT = 256
/** More than any model has, whatever its header says: sizing a window up costs the library 130 ns a token. */
const LARGEST_CONTEXT = 16 * 1024 * 1024

let engine: Promise<Llama> | undefined

/** Takes no memory of a GPU yet. @throws MaiError `MAI_BACKEND_UNREACHABLE` when node-llama-cpp is not installed */
export function readEngineLibrary(): Promise<typeof import('node-llama-cpp')> {
  return import('node-llama-cpp').catch((error: unknown) => {
    throw notInstalled(error)
  })
}

/** One engine a process. @throws MaiError `MAI_BACKEND_UNREACHABLE` when node-llama-cpp is not installed */
async function llama(): Promise<Llama> {
  engine ??= (async () => {
    const { getLlama, LlamaLogLevel } = await readEngineLibrary()
    return getLlama({ gpu: 'auto', build: 'never', skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error })
  })()
  engine.catch(() => {
    engine = undefined
  })
  return engine
}

/** A model in memory. One generation at a time; others wait. */
export class LoadedLlama {
  /** Window it has, in tokens. */
  readonly contextLength: number
  /** Whether it has so few parameters that long answers lose the thread. */
  readonly small: boolean
  readonly #model: LlamaModel
  readonly #context: LlamaContext
  readonly #sequence: LlamaContextSequence
  readonly #template: (messages: readonly TemplateMessage[]) => string
  readonly #defaults: SamplingDefaults
  #tail: Promise<unknown> = Promise.resolve()
  #disposing: Promise<void> | undefined

  private constructor(
    model: LlamaModel,
    context: LlamaContext,
    template: (messages: readonly TemplateMessage[]) => string,
    defaults: SamplingDefaults,
  ) {
    this.#model = model
    this.#context = context
    this.#sequence = context.getSequence()
    this.#template = template
    this.#defaults = defaults
    this.contextLength = context.contextSize
    this.small = defaults === SMALL
  }

  /**
   * Reads and checks the header, loads the weights, makes the context.
   * @throws MaiError `MAI_LOAD_FAILED`, `MAI_LOAD_REFUSED`, `MAI_BACKEND_UNREACHABLE`, `MAI_MODEL_FILE`; the signal's reason. Nothing stays loaded then.
   */
  static async load(request: DriverLoad): Promise<LoadedLlama> {
    const { file, signal, onProgress, gpuLayers } = request
    // The library tries itself out in a process of its own: meanwhile there is time for the header.
    const starting = llama()
    starting.catch(() => {})
    const header = await readGgufHeader(file)
    const problem = engineProblem(header)
    if (problem !== undefined) throw deadlyFile(file, problem)
    const source = header.metadata.get('tokenizer.chat_template')
    const template = await chatTemplate(typeof source === 'string' ? source : undefined)
    const runtime = await starting
    signal.throwIfAborted()
    let model: LlamaModel | undefined
    try {
      model = await runtime.loadModel({
        modelPath: file,
        loadSignal: signal,
        ...(gpuLayers === undefined ? {} : { gpuLayers: gpuLayers === 'off' ? 0 : gpuLayers }),
        ...(onProgress ? { onLoadProgress: onProgress } : {}),
      })
      const context = await model.createContext(contextOptions(request, model, runtime))
      signal.throwIfAborted()
      const tokens = { bos: model.tokens.bosString ?? '', eos: model.tokens.eosString ?? '' }
      const { parameters } = describeModel(header)
      return new LoadedLlama(model, context, (messages) => template(messages, tokens), parameters < SMALL_BELOW ? SMALL : USUAL)
    } catch (error) {
      await model?.dispose()
      signal.throwIfAborted()
      throw loadError(file, error)
    }
  }

  /** The raw prompt of a conversation. @throws MaiError `MAI_REQUEST_INVALID` */
  prompt(messages: readonly TemplateMessage[]): string {
    return this.#template(messages)
  }

  /** Token ids of a raw prompt, with the token that prompts begin with. */
  tokenize(prompt: string): number[] {
    return this.#tokens(prompt)
  }

  #tokens(prompt: string): Token[] {
    const tokens = this.#model.tokenize(prompt, true)
    const { bos, shouldPrependBosToken } = this.#model.tokens
    return shouldPrependBosToken && bos !== null && tokens[0] !== bos ? [bos, ...tokens] : tokens
  }

  /** @throws MaiError `MAI_REQUEST_INVALID` for a schema that cannot be used; `MAI_MODEL_UNLOADED` after {@link dispose} */
  generate(request: DriverRequest, sink: DriverSink): Promise<DriverResult> {
    if (this.#disposing) return Promise.reject(backendError('MAI_MODEL_UNLOADED', 'The model is being unloaded.'))
    const running = this.#tail.then(() => this.#generate(request, sink))
    this.#tail = running.catch(() => {})
    return running
  }

  /** How fast it is with more or fewer threads, on a context beside its own. @returns nothing when aborted, or where a GPU computes */
  measureThreads(signal: AbortSignal): Promise<ThreadSpeed[]> {
    const measuring = this.#tail.then(async () => {
      const { gpu, cpuMathCores } = await llama()
      return gpu === false && !this.#disposing ? measureThreads(this.#model, threadCandidates(cpuMathCores), signal) : []
    })
    this.#tail = measuring.catch(() => {})
    return measuring
  }

  /** Frees everything, after what is running. Disposing under a generation would end the process. */
  dispose(): Promise<void> {
    this.#disposing ??= (async () => {
      await this.#tail
      await this.#context.dispose()
      await this.#model.dispose()
    })()
    return this.#disposing
  }

  async #generate({ prompt, continueFrom = '', sampling, responseSchema, signal }: DriverRequest, sink: DriverSink): Promise<DriverResult> {
    const tokens = this.#tokens(prompt)
    const promptTokens = tokens.length
    let completionTokens = 0
    const end = (finish: DriverResult['finish']): DriverResult => ({ finish, promptTokens, completionTokens })
    const { maxTokens = Number.POSITIVE_INFINITY, stop = [] } = sampling
    if (promptTokens >= this.contextLength) return end('context-full')
    const grammar = responseSchema ? await this.#grammar(responseSchema) : undefined
    const last = await this.#prefill(tokens, signal, sink)
    if (last === undefined || signal.aborted) return end('cancelled')
    const stops = new StopStrings(stop)
    const writer = new TokenWriter(this.#model, tokens)
    const show = (text: string, count: number): boolean => {
      const { text: shown, stopped } = stops.push(text)
      if (shown !== '' || count > 0) sink.text(shown, count)
      return stopped
    }
    const said: Token[] = continueFrom === '' ? [] : this.#model.tokenize(continueFrom, false).slice(-PENALTY_WINDOW)
    // A schema asks for repetition: quotes, keys, brackets.
    const options = grammar
      ? { ...samplerOptions(sampling, this.#defaults), grammarEvaluationState: grammar }
      : { ...samplerOptions(sampling, this.#defaults), ...penalty(sampling.repeatPenalty ?? this.#defaults.repeatPenalty, said) }
    for await (const token of this.#sequence.evaluate(last, options)) {
      if (signal.aborted) return end('cancelled')
      if (this.#model.isEogToken(token)) break
      completionTokens++
      if (said.push(token) > PENALTY_WINDOW) said.shift()
      const { text, count } = writer.push(token)
      if (show(text, count)) return end('stop-string')
      if (completionTokens >= maxTokens) return this.#flush(writer, stops, sink, end('length'))
      if (promptTokens + completionTokens >= this.contextLength) return this.#flush(writer, stops, sink, end('context-full'))
    }
    return this.#flush(writer, stops, sink, end('stop'))
  }

  #flush(writer: TokenWriter, stops: StopStrings, sink: DriverSink, result: DriverResult): DriverResult {
    const { text, count } = writer.end()
    const { text: shown, stopped } = stops.push(text)
    const rest = stopped ? shown : shown + stops.end()
    if (rest !== '' || count > 0) sink.text(rest, count)
    return result
  }

  /** Keeps of the last prompt what this one begins with, reads the rest but the last step. @returns what is left to read; undefined when aborted */
  async #prefill(tokens: readonly Token[], signal: AbortSignal, sink: DriverSink): Promise<Token[] | undefined> {
    const sequence = this.#sequence
    // The last token is always read again: its result is what the answer begins with.
    await sequence.adaptStateToTokens(tokens.slice(0, -1), false)
    let at = sequence.nextTokenIndex
    for (; tokens.length - at > PREFILL_STEP; at += PREFILL_STEP) {
      if (signal.aborted) return undefined
      await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(at, at + PREFILL_STEP))
      sink.prefill?.((at + PREFILL_STEP) / tokens.length)
    }
    return tokens.slice(at)
  }

  async #grammar(
    schema: Readonly<Record<string, unknown>>,
  ): Promise<InstanceType<typeof import('node-llama-cpp').LlamaGrammarEvaluationState>> {
    const { LlamaGrammarEvaluationState } = await import('node-llama-cpp')
    try {
      // The schema comes from outside; the library's type describes what it can use, and it checks.
      const grammar = await (await llama()).createGrammarForJsonSchema(schema as Parameters<Llama['createGrammarForJsonSchema']>[0])
      return new LlamaGrammarEvaluationState({ model: this.#model, grammar })
    } catch (error) {
      throw backendError('MAI_REQUEST_INVALID', 'The JSON Schema cannot be used to guide the model.', { cause: error })
    }
  }
}

function contextOptions(request: DriverLoad, model: LlamaModel, runtime: Llama): Parameters<LlamaModel['createContext']>[0] {
  const { contextLength = DEFAULT_CONTEXT, kvType, flashAttention, threads, signal } = request
  const kv = kvType && ({ f16: 'F16', q8_0: 'Q8_0', q4_0: 'Q4_0' } as const)[kvType]
  return {
    contextSize: Math.max(SMALLEST_CONTEXT, Math.min(contextLength, model.trainContextSize, LARGEST_CONTEXT)),
    // One thread fewer than there are cores: on two of them, two threads were a thousand times slower than one.
    threads: threads ?? Math.max(1, runtime.cpuMathCores - 1),
    createSignal: signal,
    failedCreationRemedy: false,
    ...(flashAttention === undefined ? {} : { flashAttention }),
    ...(kv ? { experimentalKvCacheKeyType: kv, experimentalKvCacheValueType: kv } : {}),
  }
}

/** llama.cpp's own where nothing is asked for and `defaults` say nothing. */
function samplerOptions(
  { temperature: asked, topP, seed }: SamplingSettings,
  defaults: SamplingDefaults,
): {
  temperature: number
  topP?: number
  topK?: number
  minP?: number
  seed?: number
} {
  const temperature = asked ?? defaults.temperature
  if (temperature === 0) return { temperature }
  return { temperature, topK: 40, topP: topP ?? 0.95, minP: 0.05, ...(seed === undefined ? {} : { seed }) }
}

/** @param said the latest tokens of the answer, kept up to date by the caller */
function penalty(
  strength: number,
  said: Token[],
): { repeatPenalty?: { punishTokens: () => Token[]; penalty: number; maxPunishTokens: number } } {
  if (strength === 1) return {}
  return { repeatPenalty: { punishTokens: () => said, penalty: strength, maxPunishTokens: PENALTY_WINDOW } }
}
