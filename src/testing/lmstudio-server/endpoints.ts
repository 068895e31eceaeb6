/**
 * Which namespace answers which endpoint.
 *
 * @module
 */
import os from 'node:os'
import { z } from 'zod'
import { WireError, wireErrors } from './errors.ts'
import { BYTES_PER_CONTEXT_TOKEN, estimateBytes, type Instance, instanceInfo, modelInfo } from './instances.ts'
import { DEFAULT_CONTEXT_LENGTH, getOrLoad, loadModel } from './load.ts'
import { aborted } from './pause.ts'
import { completeRawText, predict } from './predict.ts'
import type { ChannelHandler, RpcHandler, Studio } from './studio.ts'
import { askedContextLength, collapse, history, kvConfigStack, specifier, toEngineMessages } from './wire.ts'

/** Version that the stand-in reports. */
const REPORTED_VERSION = '0.4.0'

const bySpecifier = z.object({ specifier })

function instanceOf(studio: Studio, parameter: unknown): Instance {
  return studio.instances.resolve(bySpecifier.parse(parameter).specifier)
}

const getModelInfo: RpcHandler = (studio, parameter) => {
  const { specifier: wanted, throwIfNotFound } = z.object({ specifier, throwIfNotFound: z.boolean() }).parse(parameter)
  try {
    return instanceInfo(studio.instances.resolve(wanted))
  } catch (error) {
    if (throwIfNotFound || !(error instanceof WireError)) throw error
    return undefined
  }
}

const tokens = (studio: Studio, parameter: unknown): number[] =>
  instanceOf(studio, parameter).engine.tokenize(z.object({ inputString: z.string() }).parse(parameter).inputString)

const estimateModelUsage: RpcHandler = ({ instances, memoryBytes }, parameter) => {
  const { modelKey, loadConfigStack } = z.object({ modelKey: z.string(), loadConfigStack: kvConfigStack }).parse(parameter)
  const model = instances.model(modelKey)
  const contextLength = Math.min(askedContextLength(collapse(loadConfigStack)) ?? DEFAULT_CONTEXT_LENGTH, model.maxContextLength)
  const totalBytes = estimateBytes(model, contextLength)
  return {
    memory: {
      confidence: 'high',
      modelVramBytes: 0,
      contextVramBytes: 0,
      totalVramBytes: 0,
      modelBytes: model.sizeBytes,
      contextBytes: contextLength * BYTES_PER_CONTEXT_TOKEN,
      totalBytes,
    },
    passesGuardrails: totalBytes <= (memoryBytes() ?? Number.POSITIVE_INFINITY),
  }
}

const llmCalls: Readonly<Record<string, RpcHandler>> = {
  unloadModel: ({ instances }, parameter) => instances.unload(z.object({ identifier: z.string() }).parse(parameter).identifier),
  listLoaded: ({ instances }) => instances.loaded.map(instanceInfo),
  getModelInfo,
  getLoadConfig: (studio, parameter) => instanceOf(studio, parameter).config,
  getInstanceProcessingState: (studio, parameter) => {
    const { predicting, queued } = instanceOf(studio, parameter)
    return { status: predicting > 0 ? 'generating' : 'idle', queued }
  },
  estimateModelUsage,
  tokenize: (studio, parameter) => ({ tokens: tokens(studio, parameter) }),
  countTokens: (studio, parameter) => ({ tokenCount: tokens(studio, parameter).length }),
  applyPromptTemplate: (studio, parameter) => ({
    formatted: instanceOf(studio, parameter).engine.applyTemplate(toEngineMessages(z.object({ history }).parse(parameter).history)),
  }),
  preloadDraftModel: () => undefined,
}

/** The stand-in has no embedding models: the namespace is there, and empty. */
const noEmbedding: RpcHandler = ({ instances }) => {
  throw wireErrors.noModelMatching(
    { domain: 'embedding' },
    instances.loaded.map(({ identifier }) => identifier),
  )
}

const noEmbeddingLoad: ChannelHandler = async ({ instances }, { parameter }) => {
  const { modelKey, identifier } = z.object({ modelKey: z.string().optional(), identifier: z.string().optional() }).parse(parameter)
  throw wireErrors.domainMismatch(instances.model(modelKey ?? identifier ?? '').path)
}

const surveyHardware: RpcHandler = () => ({
  status: 'ok',
  engines: [
    {
      name: 'llama.cpp-stand-in',
      version: '1.0.0',
      engine: 'llama.cpp',
      platform: process.platform,
      compatibility: { status: 'compatible' },
      supportedModelFormatNames: ['GGUF'],
      hardwareSurvey: {
        gpuSurveyResult: { result: { code: 'noDevicesFound', message: '' }, gpuInfo: [] },
        cpuSurveyResult: {
          result: { code: 'success', message: '' },
          cpuInfo: { architecture: os.arch() === 'arm64' ? 'ARM64' : 'x86_64', supportedInstructionSetExtensions: [] },
        },
      },
      memoryInfo: { ramCapacity: os.totalmem(), vramCapacity: 0, totalMemory: os.totalmem() },
    },
  ],
})

let uploads = 0

const uploadFileBase64: RpcHandler = (_, parameter) => {
  const { name, contentBase64 } = z.object({ name: z.string(), contentBase64: z.string() }).parse(parameter)
  const isImage = /\.(png|jpe?g|webp|gif|bmp)$/i.test(name)
  return {
    identifier: `file-${++uploads}`,
    fileType: isImage ? 'image' : 'text/plain',
    sizeBytes: Buffer.byteLength(contentBase64, 'base64'),
  }
}

/** Stays open until the client goes. */
const stayOpen: ChannelHandler = (_, { signal }) => aborted(signal)

/** Namespace → endpoint → what answers a call. */
export const calls: Readonly<Record<string, Readonly<Record<string, RpcHandler>>>> = {
  llm: llmCalls,
  embedding: {
    listLoaded: () => [],
    getModelInfo: (studio, parameter) =>
      z.object({ throwIfNotFound: z.boolean() }).parse(parameter).throwIfNotFound ? noEmbedding(studio, parameter) : undefined,
    unloadModel: noEmbedding,
    getLoadConfig: noEmbedding,
    embedString: noEmbedding,
    tokenize: noEmbedding,
    countTokens: noEmbedding,
  },
  system: {
    listDownloadedModels: ({ instances }) => [...instances.models.values()].map(modelInfo),
    version: () => ({ version: REPORTED_VERSION, build: 1 }),
    info: () => ({ pid: process.pid, isDaemon: false, version: REPORTED_VERSION }),
    notify: () => undefined,
    setExperimentFlag: () => undefined,
    getExperimentFlags: () => [],
  },
  diagnostics: {},
  files: { uploadFileBase64 },
  repository: { searchModels: () => ({ results: [] }) },
  plugins: { reindexPlugins: () => undefined },
  runtime: { surveyHardware },
}

/** Namespace → endpoint → what serves a channel. */
export const channels: Readonly<Record<string, Readonly<Record<string, ChannelHandler>>>> = {
  llm: { loadModel, getOrLoad, predict, completeRawText },
  embedding: { loadModel: noEmbeddingLoad, getOrLoad: noEmbeddingLoad },
  system: { alive: stayOpen },
  diagnostics: { streamLogs: stayOpen },
}
