/**
 * The default context assembler: everything while it fits, condensed when it does not. Calls no model.
 *
 * @module
 */

import { z } from 'zod'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { assemble, type CompressionOptions } from './assemble.ts'
import { TokenEstimator } from './tokens.ts'

const share = z.number().min(0.05).max(0.95)
/** Options of `compression()`: shares of the usable window. */
export interface CompressionInput {
  readonly condenseAt?: number | undefined
  readonly condenseTo?: number | undefined
  readonly extractShare?: number | undefined
}

const options: z.ZodType<CompressionOptions, CompressionInput> = z.strictObject({
  condenseAt: share.default(0.7),
  condenseTo: share.default(0.5),
  extractShare: share.default(0.25),
})

/** Answers the slot `context`. */
export const compression: PluginFactory<typeof options> = definePlugin({
  name: 'compression',
  apiVersion: 1,
  provides: ['context'],
  options,
  setup(ctx, settings) {
    const tokens = new TokenEstimator()
    ctx.provide('context', {
      assemble: (request) => assemble(request, tokens, settings),
      estimateTokens: (model, text) => tokens.estimate(model, text),
      observe: (model, prompt, reported) => {
        if (!prompt.exact) tokens.learn(model, prompt.tokens, reported)
      },
    })
  },
})
