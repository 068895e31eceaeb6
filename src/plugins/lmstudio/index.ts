/**
 * The backend `lmstudio`: models of an LM Studio on this machine (or, when told so, another) through its official SDK.
 *
 * @module
 */
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { LmStudioBackend } from './backend.ts'
import { Connection } from './connection.ts'
import { lmStudioSchema } from './options.ts'

export type { LmStudioOptions } from './options.ts'

/**
 * Contributes the backend. Nothing is contacted before it is asked.
 *
 * @example
 * lmstudio()
 * lmstudio({ baseUrl: 'ws://192.168.1.20:1234', allowRemote: true, apiToken: process.env.LM_API_TOKEN })
 */
export const lmstudio: PluginFactory<typeof lmStudioSchema> = definePlugin({
  name: 'lmstudio',
  apiVersion: 1,
  provides: ['backend'],
  options: lmStudioSchema,
  setup(ctx, settings) {
    ctx.contribute('backend', new LmStudioBackend(new Connection(ctx, settings), settings))
  },
})
