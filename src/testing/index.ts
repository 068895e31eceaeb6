/**
 * The test kit for plugin authors: a stand-in LM Studio, scripted engines and backends, a scripted machine.
 *
 * @module
 */
export * from './engine.ts'
export { type RecitingModel, type RecitingModelOptions, writeRecitingModel } from './gguf-writer.ts'
export { type LlamaEngineOptions, llamaEngine } from './llama-engine.ts'
export * from './lmstudio-server/faults.ts'
export * from './lmstudio-server/server.ts'
export * from './openai-server/faults.ts'
export * from './openai-server/server.ts'
export * from './resource-trace.ts'
export { type ScriptedBackend, type ScriptedCalls, type ScriptedModel, type ScriptedOptions, scriptedBackend } from './scripted-backend.ts'
export * from './scripted-engine.ts'
