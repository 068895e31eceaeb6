/** Facts across sessions: learns what a person says about themselves, recalls it in other conversations, forgets it when told to. */
import path from 'node:path'
import { type CommandContribution, definePlugin, type Message, type PluginFactory, textOf, toErrorFact } from 'mai'
import { z } from 'zod'
import { MemoryFolder } from './memory-folder.ts'
import { learn, ranked, replaces } from './memory-learn.ts'

declare module 'mai' {
  interface MaiEvents {
    'memory.learned': { readonly id: string; readonly sessionId: string }
  }
}

const options = z.strictObject({
  /** Where memories are kept; default: a folder beside the store. */
  folder: z.string().min(1).optional(),
  /** The most that memories may take of a prompt. */
  maxTokens: z.number().int().positive().default(300),
})

const HEADER = 'What the user has said in earlier conversations, in their own words:'

export const memory: PluginFactory<typeof options> = definePlugin({
  name: 'memory',
  apiVersion: 1,
  needs: ['store', 'context'],
  provides: ['command'],
  options,
  setup(ctx, { folder, maxTokens }) {
    const store = ctx.use('store')
    const memories = new MemoryFolder(folder ?? path.join(path.dirname(store.location), 'memories'))

    const learnFrom = async (sessionId: string, turnId: string): Promise<void> => {
      const newest = await store.messages(sessionId, { limit: 20 })
      const asked = newest.find((message) => message.turnId === turnId && message.role === 'user')
      for (const [position, text] of asked ? learn(typed(asked)).entries() : []) {
        const older = (await memories.all()).filter((known) => replaces(text, known.text))
        if (older.some((known) => known.text === text)) continue
        const { id } = await memories.keep({ text, sessionId, time: (asked?.time ?? 0) + position })
        for (const known of older) await memories.forget(known)
        if (!ctx.signal.aborted) ctx.emit('memory.learned', { id, sessionId })
      }
    }
    // After the answer, so that nobody waits for it; but a program that ends right then waits until it is kept.
    let learning: Promise<void> = Promise.resolve()
    ctx.on('message.completed', ({ sessionId, turnId }) => {
      learning = learning
        .then(() => learnFrom(sessionId, turnId))
        .catch((error: unknown) => {
          if (!ctx.signal.aborted) ctx.emit('plugin.failed', { plugin: ctx.name, during: 'learning', error: toErrorFact(error) })
        })
    })
    ctx.onDispose(() => learning, 'learning')

    ctx.hook('prompt.compose', async (input, next) => {
      const cost = (text: string): number => ctx.use('context').estimateTokens(input.model, text)
      // What was said in this very conversation is in the prompt already.
      const others = (await memories.all()).filter(({ sessionId }) => sessionId !== input.sessionId)
      let room = Math.min(maxTokens, Math.floor(input.budgetTokens / 2)) - cost(HEADER)
      const recalled = ranked(others, typed(input.message)).filter(({ text }) => {
        const tokens = cost(`- ${text}\n`)
        if (tokens > room) return false
        room -= tokens
        return true
      })
      if (recalled.length === 0) return next(input)
      // The oldest first, as they were said: the prompt then changes little from one message to the next.
      const lines = recalled.sort((a, b) => a.time - b.time).map(({ text }) => `- ${text}`)
      const section = { id: 'memory', layer: 'recall', text: [HEADER, ...lines].join('\n'), priority: 50, maxTokens } as const
      return next({ ...input, sections: [...input.sections, section] })
    })

    ctx.contribute('command', memoryCommand(memories))
  },
})

/** Only what a person typed: piped text and files speak for others. */
function typed({ parts }: Message): string {
  return textOf(parts.filter((part) => part.type === 'text' && part.origin !== 'material'))
}

/** `mai memory list` and `mai memory forget <id>…` (or `all`). */
function memoryCommand(memories: MemoryFolder): CommandContribution {
  return {
    name: 'memory',
    summary: 'What is remembered across conversations: list [--json], forget <id>… | all',
    async run([verb = 'list', ...args], { stdout, stderr }) {
      const all = await memories.all()
      if (verb === 'list') {
        const lines = all.map(({ id, time, text }) => `${id}  ${new Date(time).toISOString().slice(0, 10)}  ${text}\n`)
        stdout.write(args.includes('--json') ? `${JSON.stringify(all)}\n` : lines.join(''))
        return 0
      }
      const unknown = args.filter((arg) => arg !== 'all' && !all.some(({ id }) => id === arg))
      if (verb !== 'forget' || args.length === 0 || unknown.length > 0) {
        stderr.write(
          unknown.length > 0 && verb === 'forget'
            ? `mai: no such memory: ${unknown.join(', ')}\n`
            : 'Usage: mai memory list | forget <id>… | forget all\n',
        )
        return 2
      }
      for (const each of all) if (args.includes('all') || args.includes(each.id)) await memories.forget(each)
      return 0
    },
  }
}
