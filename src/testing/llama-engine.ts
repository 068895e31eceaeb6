/**
 * llama.cpp as an engine of the stand-in server: real tokens, real memory, a real KV cache.
 *
 * @module
 */
import path from 'node:path'
import { type DriverResult, describeModel, LoadedLlama, readGgufHeader } from '../plugins/llamacpp/index.ts'
import type { EngineModel, EngineRequest, EngineResult, LoadedEngine } from './engine.ts'

/** What {@link llamaEngine} takes. */
export interface LlamaEngineOptions {
  readonly file: string
  /** Default: the name of the file without its ending. */
  readonly key?: string
}

const STOP_REASON: Readonly<Record<DriverResult['finish'], EngineResult['stopReason']>> = {
  stop: 'eosFound',
  'stop-string': 'stopStringFound',
  length: 'maxPredictedTokensReached',
  'context-full': 'contextLengthReached',
  cancelled: 'userStopped',
}

/**
 * A GGUF file that the stand-in server can load. Needs node-llama-cpp.
 *
 * @example
 * const server = await startLmStudioServer({ models: [await llamaEngine({ file: '/models/a.gguf' })] })
 * @throws MaiError `MAI_MODEL_FILE`
 */
export async function llamaEngine({ file, key = path.basename(file, '.gguf') }: LlamaEngineOptions): Promise<EngineModel> {
  const header = await readGgufHeader(file)
  const { architecture, name, parameters, quantisation, maxContextLength, tools } = describeModel(header)
  return {
    key,
    displayName: name ?? key,
    path: file,
    sizeBytes: header.fileBytes,
    architecture,
    paramsString: parameters >= 1e9 ? `${(parameters / 1e9).toFixed(1)}B` : `${Math.round(parameters / 1e6)}M`,
    quantisation: { name: quantisation.name, bits: quantisation.bits ?? 0 },
    maxContextLength,
    vision: false,
    trainedForToolUse: tools,
    async load(contextLength, onProgress, signal) {
      return serving(await LoadedLlama.load({ file, contextLength, onProgress, signal }))
    },
  }
}

function serving(loaded: LoadedLlama): LoadedEngine {
  return {
    contextLength: loaded.contextLength,
    tokenize: (text) => loaded.tokenize(text),
    applyTemplate: (messages) => loaded.prompt(messages.map(({ role, text }) => ({ role, content: text }))),
    generate: async ({ prompt, maxTokens, temperature, stop, signal }: EngineRequest, onFragment) => {
      const sampling = {
        stop,
        ...(maxTokens === undefined ? {} : { maxTokens }),
        ...(temperature === undefined ? {} : { temperature }),
      }
      const { finish, promptTokens, completionTokens } = await loaded.generate({ prompt, sampling, signal }, { text: onFragment })
      return { stopReason: STOP_REASON[finish], promptTokens, predictedTokens: completionTokens }
    },
    dispose: () => loaded.dispose(),
  }
}
