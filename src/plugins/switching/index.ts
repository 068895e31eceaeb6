/**
 * The default switching policy: the most efficient model that fits and serves.
 *
 * @module
 */

import { z } from 'zod'
import type { StruggleDecision, StruggleRequest, SwitchingPolicy } from '../../chat/policy.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { type SwitchingOptions, select } from './select.ts'
import { INITIAL, reduce, type SwitchingState } from './state.ts'

/** Options of `switching()`. */
export interface SwitchingInput {
  readonly dwellMs?: number | undefined
  readonly upgradeAfterMs?: number | undefined
  readonly headroom?: number | undefined
  readonly cooldownMs?: number | undefined
}

const options: z.ZodType<SwitchingOptions, SwitchingInput> = z.strictObject({
  dwellMs: z.number().nonnegative().default(30_000),
  upgradeAfterMs: z.number().nonnegative().default(300_000),
  headroom: z.number().min(0).max(1).default(0.2),
  cooldownMs: z.number().nonnegative().default(30_000),
})

/** Attempts at one answer on one model, and wait before the second, in ms. */
const ATTEMPTS_ON_MODEL = 2
const RETRY_DELAY_MS = 300

/** The policy itself, for simulations and tests. */
export function switchingPolicy(settings: SwitchingOptions): SwitchingPolicy<SwitchingState> {
  return {
    name: 'switching',
    version: 1,
    initial: () => INITIAL,
    reduce,
    select: (state, request) => select(state, request, settings),
    onStruggle: (_, request) => onStruggle(request),
  }
}

/** Another model at once where there is one; the same one again only when that can help. */
function onStruggle({ transient, alternatives, attemptsOnModel, retryAfterMs, kind, error }: StruggleRequest): StruggleDecision {
  if (error?.code === 'MAI_CONTENT_FILTERED') return { action: 'fail', reason: 'content-filter', delayMs: 0 }
  const again = transient && attemptsOnModel < ATTEMPTS_ON_MODEL
  // A model that somebody unloaded, or a server that dropped the line, is itself fine: go on with it where nothing else is.
  if (alternatives > 0) return { action: 'switch', reason: kind, delayMs: 0 }
  if (again) return { action: 'retry', reason: kind, delayMs: retryAfterMs ?? RETRY_DELAY_MS }
  return { action: 'fail', reason: 'no-alternative', delayMs: 0 }
}

/** Answers the slot `policy`. */
export const switching: PluginFactory<typeof options> = definePlugin({
  name: 'switching',
  apiVersion: 1,
  provides: ['policy'],
  options,
  setup(ctx, settings) {
    ctx.provide('policy', switchingPolicy(settings))
  },
})
