/** A character that speaks in every answer: one pinned section of the prompt, whatever the model and its window. */
import { definePlugin, type PluginFactory } from 'mai'
import { z } from 'zod'

const options = z.strictObject({
  name: z.string().min(1).max(60),
  /** What the model is told about itself. */
  character: z.string().min(1).max(4000),
  /** The most it may take of a prompt. */
  maxTokens: z.number().int().positive().default(400),
})

export const persona: PluginFactory<typeof options> = definePlugin({
  name: 'persona',
  apiVersion: 1,
  options,
  setup(ctx, { name, character, maxTokens }) {
    const text = `Your name is ${name}. ${character}`
    // First of all handlers, so that the character stands before what others add.
    ctx.hook(
      'prompt.compose',
      (input, next) => next({ ...input, sections: [...input.sections, { id: 'persona', layer: 'pinned', text, priority: 90, maxTokens }] }),
      { order: -10 },
    )
  },
})
