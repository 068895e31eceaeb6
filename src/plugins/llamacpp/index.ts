/**
 * The plugin `llamacpp`: the embedded engine, for machines without any other.
 *
 * @module
 */
import path from 'node:path'
import { z } from 'zod'
import '../../chat/events.ts'
import { maiHome } from '../../chat/home.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { LlamaCppBackend } from './backend.ts'
import { type Discovery, discover } from './discover/discover.ts'
import { HeaderCache } from './discover/header-cache.ts'
import { modelPlaces } from './discover/places.ts'
import { ThreadMemory } from './thread-memory.ts'

export { type GgufHeader, readGgufHeader } from '../../chat/gguf/header.ts'
export { describeModel, type ModelFacts } from './describe.ts'
export type { DiscoveredModel, Discovery, UnusableFile } from './discover/discover.ts'
export { modelsFolder } from './discover/places.ts'
export { type DriverResult, LoadedLlama } from './driver.ts'
export { CATALOGUE, type CatalogueEntry, FIRST_MODEL, type Recommendation, recommend } from './pull/catalogue.ts'
export { removePulled } from './pull/library.ts'
export { type Pulled, type PullOptions, type PullProgress, pull } from './pull/pull.ts'

/** Options of {@link llamacpp}. */
export interface LlamaCppPluginOptions {
  /** Further folders or files of models, looked at first; `~` is the home folder. */
  readonly paths?: readonly string[] | undefined
  /** Whether to look in the folders of Mai, LM Studio, Ollama, Hugging Face and llama.cpp too. Default true. */
  readonly discover?: boolean | undefined
  /** Threads to compute with; default: physical cores less one, until the fastest number has been measured on this machine. */
  readonly threads?: number | undefined
  /** Unload after being unused for so long, in ms; default 30 minutes. A model's `keepAliveMs` goes before it. */
  readonly idleMs?: number | undefined
  /**
   * Whether to keep one process ahead of the next load while memory is not short: some 60 MB, for a switch to a model
   * that is not loaded in half the time. Default true.
   */
  readonly spareProcess?: boolean | undefined
}

interface Settings {
  readonly paths: readonly string[]
  readonly discover: boolean
  readonly threads?: number | undefined
  readonly idleMs: number
  readonly spareProcess: boolean
}

const schema: z.ZodType<Settings, LlamaCppPluginOptions> = z.strictObject({
  paths: z.array(z.string().min(1)).default([]),
  discover: z.boolean().default(true),
  threads: z.number().int().positive().max(1024).optional(),
  idleMs: z.number().int().positive().max(2_147_483_647).default(1_800_000),
  spareProcess: z.boolean().default(true),
})

/**
 * Runs llama.cpp inside Mai, each model in a process of its own. Needs the package `node-llama-cpp` beside Mai.
 * Nothing is looked for or loaded before a model is asked for.
 *
 * @example
 * export default defineConfig({ plugins: [llamacpp({ paths: ['~/models'] })] })
 */
export const llamacpp: PluginFactory<typeof schema> = definePlugin({
  name: 'llamacpp',
  apiVersion: 1,
  options: schema,
  setup(ctx, { paths, discover, threads, idleMs, spareProcess }) {
    const places = modelPlaces(paths)
    const backend = new LlamaCppBackend({
      places: discover ? places : places.slice(0, paths.length),
      cache: headerCache(),
      installed: engineInstalled,
      threads,
      memory: new ThreadMemory(path.join(maiHome().cache, 'threads.json')),
      idleMs,
      spare: spareProcess,
      onGone: ({ model }, reason) => ctx.emit('model.unloaded', { model, reason }),
    })
    ctx.on('resources.pressured', () => backend.roomy(false))
    ctx.on('resources.recovered', () => backend.roomy(true))
    ctx.onDispose(() => backend.close(), 'engines')
    ctx.contribute('backend', backend)
  },
})

/** Looks for models in the usual places of this machine, as the plugin does without options. */
export function discoverModels(): Promise<Discovery> {
  return discover(modelPlaces([]), headerCache())
}

function headerCache(): HeaderCache {
  return new HeaderCache(path.join(maiHome().cache, 'models.json'))
}

/** Whether the engine can be loaded; nothing is loaded to find out. */
export function engineInstalled(): boolean {
  try {
    import.meta.resolve('node-llama-cpp')
    return true
  } catch {
    return false
  }
}
