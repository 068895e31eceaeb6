/**
 * The plugin `store`: durable conversations, the policy's log and what processes share, in one SQLite file.
 *
 * @module
 */
import path from 'node:path'
import { z } from 'zod'
import '../../chat/events.ts'
import { maiHome } from '../../chat/home.ts'
import { toErrorFact } from '../../core/errors.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { createStore } from './store.ts'

/** Options of {@link store}. */
export interface StorePluginOptions {
  /** The database; default `mai.db` in the data folder (see `MAI_HOME`). */
  readonly file?: string | undefined
}

const schema: z.ZodType<StorePluginOptions, StorePluginOptions> = z.strictObject({ file: z.string().min(1).optional() })

/**
 * Keeps conversations in one SQLite file that several processes may use at once. Neither the engine is loaded nor the
 * file touched before something is read or written.
 *
 * @example
 * export default defineConfig({ plugins: [store({ file: '/data/mai.db' })] })
 */
export const store: PluginFactory<typeof schema> = definePlugin({
  name: 'store',
  apiVersion: 1,
  provides: ['store'],
  options: schema,
  setup(ctx, options) {
    const file = options.file === undefined ? path.join(maiHome().data, 'mai.db') : path.resolve(options.file)
    const opened = createStore({
      file,
      ownFolder: options.file === undefined,
      onUpkeepError: (error) => ctx.emit('plugin.failed', { plugin: ctx.name, during: 'pruning the log', error: toErrorFact(error) }),
    })
    ctx.onDispose(() => opened.close(), 'database')
    ctx.provide('store', opened)
  },
})
