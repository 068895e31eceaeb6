/**
 * The plugin `ledger`: while nobody waits, a loaded model notes the facts of a long conversation's old part, so that
 * they are at hand when it no longer fits the window. Costs nothing at start, and one look into the store a turn.
 *
 * @module
 */
import { z } from 'zod'
import '../../chat/events.ts'
import type { ModelKey } from '../../chat/model.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { Keeper, type LedgerSettings } from './keeper.ts'

declare module '../../core/events.ts' {
  interface MaiEvents {
    /** Facts were noted; `refused` did not stand in the messages they cited. Messages up to `through` have been looked at. */
    'ledger.noted': {
      readonly sessionId: string
      readonly model: ModelKey
      readonly facts: number
      readonly refused: number
      readonly through: number
      readonly ms: number
    }
    /** Nothing of an answer was used. */
    'ledger.refused': { readonly sessionId: string; readonly model: ModelKey; readonly why: string }
  }
}

/** Options of {@link ledger}. Every field has a default. */
export interface LedgerOptions {
  /** Share of the usable window from which facts are noted; default 0.7. */
  readonly prepareAt?: number | undefined
  /** How long nothing must have been said, in ms; default 10,000. */
  readonly idleAfterMs?: number | undefined
  /** Longest question to the model, in ms; default 30,000. */
  readonly limitMs?: number | undefined
  /** Longest work in one idle moment, in ms; default 120,000. */
  readonly sittingMs?: number | undefined
  /**
   * How much later the next answer may begin, in ms; default 5,000. The engine forgets the conversation it had read while
   * it answers the ledger; where reading it again takes longer than this, no more is asked of that model.
   */
  readonly rereadMs?: number | undefined
  /** Most tokens of a prompt for facts; default 512. */
  readonly maxTokens?: number | undefined
}

const ms = (otherwise: number): z.ZodDefault<z.ZodNumber> => z.number().int().nonnegative().default(otherwise)

const options: z.ZodType<LedgerSettings, LedgerOptions> = z.strictObject({
  prepareAt: z.number().min(0).max(1).default(0.7),
  idleAfterMs: ms(10_000),
  limitMs: ms(30_000),
  sittingMs: ms(120_000),
  rereadMs: ms(5000),
  maxTokens: z.number().int().positive().default(512),
})

/**
 * Notes facts of long conversations in idle moments, and puts them into prompts. Take it out with `disable: ['ledger']`.
 *
 * @example
 * export default defineConfig({ plugins: [ledger({ idleAfterMs: 60_000 })] })
 */
export const ledger: PluginFactory<typeof options> = definePlugin({
  name: 'ledger',
  apiVersion: 1,
  needs: ['store', 'context'],
  options,
  setup(ctx, settings) {
    const keeper = new Keeper(ctx, settings, Date.now)
    ctx.on('message.received', () => keeper.busy())
    ctx.on('context.assembled', ({ sessionId, tokens, usableTokens }) => keeper.assembled(sessionId, tokens, usableTokens))
    ctx.on('context.compressed', ({ sessionId }) => keeper.condensed(sessionId))
    ctx.on('generation.finished', ({ model, usage, firstTokenMs }) => keeper.read(model, usage.promptTokens, firstTokenMs))
    ctx.on('message.completed', () => keeper.quiet())
    ctx.on('message.failed', () => keeper.quiet())
    ctx.hook('prompt.compose', async (input, next) => {
      const section = await keeper.section(input)
      return next(section ? { ...input, sections: [...input.sections, section] } : input)
    })
    ctx.onDispose(() => keeper.busy(), 'idle work')
  },
})
