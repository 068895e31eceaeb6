/** Counts the words of every answer: an event of its own, an option, a listener. */
import { definePlugin, type PluginFactory } from 'mai'
import { z } from 'zod'

declare module 'mai' {
  interface MaiEvents {
    'words.counted': { readonly turnId: string; readonly words: number }
  }
}

const options = z.strictObject({ minimum: z.number().int().nonnegative().default(1) })

export const wordCount: PluginFactory<typeof options> = definePlugin({
  name: 'word-count',
  apiVersion: 1,
  options,
  setup(ctx, { minimum }) {
    ctx.on('message.completed', ({ turnId, text }) => {
      const words = text.split(/\s+/).filter((word) => word !== '').length
      if (words >= minimum) ctx.emit('words.counted', { turnId, words })
    })
  },
})
