/**
 * The plugin `openai-compatible`: models behind any endpoint that speaks OpenAI's protocol.
 *
 * @module
 */
import '../../chat/events.ts'
import { definePlugin, type Plugin } from '../../core/plugin.ts'
import { OpenAiBackend } from './backend.ts'
import { DEFAULT_NAME, type OpenAiCompatibleOptions, openAiCompatibleSchema } from './options.ts'

export type { Dialect, EndpointModelOptions, EndpointOptions, OpenAiCompatibleOptions } from './options.ts'

/**
 * Contributes a backend. Nothing is contacted before it is asked. Several instances need a `name` each.
 *
 * @example
 * openaiCompatible({ endpoints: [{ baseUrl: 'http://127.0.0.1:8080/v1' }] })
 * openaiCompatible({ name: 'cluster', endpoints: [{ baseUrl: 'https://llm.example.org/v1', apiKeyEnv: 'CLUSTER_KEY', allowRemote: true }] })
 */
export function openaiCompatible(options: OpenAiCompatibleOptions): Plugin {
  // A plugin's name is known before its options are checked: one that is none is told by the schema.
  const name = typeof options?.name === 'string' ? options.name : DEFAULT_NAME
  return definePlugin({
    name,
    apiVersion: 1,
    provides: ['backend'],
    options: openAiCompatibleSchema,
    setup(ctx, settings) {
      const backend = new OpenAiBackend(settings)
      ctx.onDispose(() => backend.close(), 'connections')
      ctx.contribute('backend', backend)
    },
  })(options)
}
