/**
 * What may stand in `mai.config.ts`.
 *
 * @module
 */
import { z } from 'zod'
import type { ModelSettings } from '../chat/model.ts'
import type { TurnSettings } from '../chat/settings.ts'
import { isPlugin, type Plugin } from '../core/plugin.ts'

/** A configuration. All of it is optional. */
export interface MaiConfig {
  /** Added to the default set; one with the name or the slot of a default plugin replaces it. */
  readonly plugins?: readonly Plugin[] | undefined
  /** False starts from nothing. */
  readonly defaults?: boolean | undefined
  /** Default plugins to leave out. */
  readonly disable?: readonly string[] | undefined
  /** By model key, by id, or `'*'` for all. */
  readonly models?: Readonly<Record<string, ModelSettings>> | undefined
  readonly turn?: Partial<TurnSettings> | undefined
  readonly unloadOnExit?: boolean | undefined
}

/**
 * Gives a configuration its type.
 *
 * @example
 * export default defineConfig({ models: { '*': { temperature: 0.7 } } })
 */
export function defineConfig(config: MaiConfig): MaiConfig {
  return config
}

const share = z.number().min(0).max(1)
const count = z.number().int().positive()
const modelSettings = z.strictObject({
  contextLength: count.optional(),
  gpuLayers: z.union([z.number().int().nonnegative(), z.enum(['max', 'off'])]).optional(),
  kvType: z.enum(['f16', 'q8_0', 'q4_0']).optional(),
  flashAttention: z.boolean().optional(),
  keepAliveMs: count.optional(),
  temperature: z.number().min(0).max(5).optional(),
  topP: share.optional(),
  repeatPenalty: z.number().min(0.5).max(3).optional(),
  maxTokens: count.optional(),
  stop: z.array(z.string()).optional(),
  seed: z.number().int().optional(),
  quality: z.number().positive().optional(),
})
const turn = z.strictObject({
  firstTokenMs: count.optional(),
  gapMs: count.optional(),
  loadIdleMs: count.optional(),
  deadlineMs: count.optional(),
  maxAttempts: count.optional(),
  maxMessageBytes: count.optional(),
})
const config = z.strictObject({
  plugins: z.array(z.custom<Plugin>(isPlugin, 'not a plugin: make it with definePlugin, and call it')).optional(),
  defaults: z.boolean().optional(),
  disable: z.array(z.string()).optional(),
  models: z.record(z.string(), modelSettings).optional(),
  turn: turn.optional(),
  unloadOnExit: z.boolean().optional(),
})

/** The issues of a value, each as `path: message`; none when it is a configuration. */
export function issuesOf(value: unknown): string[] {
  const result = config.safeParse(value)
  if (result.success) return []
  return result.error.issues.map(({ path, message }) => (path.length > 0 ? `${path.map(String).join('.')}: ${message}` : message))
}
