/**
 * The default context assembler: everything while it fits, condensed when it does not. Calls no model.
 *
 * @module
 */

import { z } from 'zod'
import '../../chat/events.ts'
import type { AssembledPrompt, ContextAssembler } from '../../chat/context.ts'
import { toErrorFact } from '../../core/errors.ts'
import { definePlugin, type PluginContext, type PluginFactory } from '../../core/plugin.ts'
import { KINDS } from './amount.ts'
import { type Assembly, assemble, type CompressionOptions, prepare } from './assemble.ts'
import { Excerpts } from './excerpts.ts'
import { KeptTails, KnownLengths } from './history.ts'
import { Remembered } from './remembered.ts'
import { type FitMemory, type RawSize, TokenEstimator } from './tokens.ts'

const share = z.number().min(0.05).max(0.95)
/** Options of `compression()`: shares of the usable window. */
export interface CompressionInput {
  /** From here on, what a condensed prompt needs is prepared between turns; default 0.7. */
  readonly prepareAt?: number | undefined
  /** A prompt that would be longer is condensed; below, everything is there, unchanged; default 0.9. */
  readonly condenseAt?: number | undefined
  /** What a condensed prompt aims at; default 0.5. */
  readonly condenseTo?: number | undefined
  /** Share of a condensed prompt for excerpts of the old part, while no model has written a ledger; default 0.15. */
  readonly extractShare?: number | undefined
}

const options: z.ZodType<CompressionOptions, CompressionInput> = z.strictObject({
  prepareAt: share.default(0.7),
  condenseAt: share.default(0.9),
  condenseTo: share.default(0.5),
  extractShare: z.number().min(0).max(0.5).default(0.15),
})

/** Names of the learned figures, in the order of {@link Fitted}: this model's tokens by kind, and of a message's template. */
const FIGURES = [...KINDS.map(({ name }) => `tokensPer${name}`), 'tokensPerMessage']
const SPREADS = FIGURES.map((name) => `${name}Spread`)
const SCATTER = 'tokensScatter'

/** What is prepared begins so long after a prompt was made, in ms: not while the engine is being asked. */
const PREPARE_AFTER_MS = 500
/** A session with so many messages may not fit a window: while its user begins to type, the tokenizer is loaded. */
const LONG_SESSION = 200

/** Answers the slot `context`. */
export const compression: PluginFactory<typeof options> = definePlugin({
  name: 'compression',
  apiVersion: 1,
  needs: ['store?'],
  provides: ['context'],
  options,
  setup(ctx, settings) {
    ctx.provide('context', assembler(ctx, settings))
  },
})

function assembler(ctx: PluginContext, settings: CompressionOptions): ContextAssembler {
  const tokens = new TokenEstimator(fitMemory(ctx))
  const shared = {
    options: settings,
    tokens,
    remembered: new Remembered(tokens),
    lengths: new KnownLengths(),
    tails: new KeptTails(),
    excerpts: new Excerpts(tokens),
  }
  const sizes = new WeakMap<AssembledPrompt, RawSize>()
  const waiting = new Set<NodeJS.Timeout>()
  ctx.onDispose(() => waiting.forEach(clearTimeout), 'preparations')
  /** While the model reads or the user types: nobody waits for it, and a failure shows where the prompt is really made. */
  const soon = (work: () => Promise<void>): void => {
    const timer = setTimeout(() => {
      waiting.delete(timer)
      work().catch(() => {})
    }, PREPARE_AFTER_MS).unref()
    waiting.add(timer)
  }
  ctx.on('session.started', ({ sessionId, resumed }) => {
    if (!resumed) return
    soon(async () => {
      if (((await ctx.tryUse('store')?.countMessages(sessionId)) ?? 0) >= LONG_SESSION) await tokens.load()
    })
  })
  return {
    async assemble(request) {
      const assembly: Assembly = { ...shared, store: ctx.tryUse('store') }
      const { prompt, size } = await assemble(request, assembly)
      sizes.set(prompt, size)
      if (!prompt.condensed && prompt.tokens > settings.prepareAt * prompt.usableTokens) soon(() => prepare(request, assembly))
      return prompt
    },
    estimateTokens: (model, text) => tokens.estimate(model, text),
    observe(model, prompt, reported) {
      const size = sizes.get(prompt)
      if (size && !prompt.exact) tokens.learn(model, size, reported)
    },
  }
}

/** What was learned stays with the store's figures of a model. Nothing depends on it. */
function fitMemory(ctx: PluginContext): FitMemory {
  const failed = (error: unknown): void => {
    if (!ctx.signal.aborted)
      ctx.emit('plugin.failed', { plugin: ctx.name, during: 'keeping what was learned of a tokenizer', error: toErrorFact(error) })
  }
  return {
    async read(model) {
      try {
        const figures = (await ctx.tryUse('store')?.figures(model)) ?? {}
        const read = (names: readonly string[]): number[] =>
          names.flatMap((name) => figures[name] ?? []).filter((figure) => Number.isFinite(figure) && figure >= 0)
        const [weights, spreads] = [read(FIGURES), read(SPREADS)]
        const [scatter] = read([SCATTER])
        if (scatter === undefined || weights.length + spreads.length < FIGURES.length + SPREADS.length) return undefined
        return { weights, spreads, scatter }
      } catch (error) {
        failed(error)
        return undefined
      }
    },
    write(model, { weights, spreads, scatter }) {
      const values = [...weights, ...spreads, scatter]
      const figures = Object.fromEntries([...FIGURES, ...SPREADS, SCATTER].map((name, at) => [name, values[at] ?? 0]))
      ctx.tryUse('store')?.learn(model, figures).catch(failed)
    },
  }
}
