/**
 * The default switching policy: the most efficient model that fits and serves.
 *
 * @module
 */

import { z } from 'zod'
import type { SwitchingPolicy } from '../../chat/policy.ts'
import { definePlugin, type PluginFactory } from '../../core/plugin.ts'
import { openCircuits } from './circuit.ts'
import { type SwitchingOptions, select } from './select.ts'
import { INITIAL, reduce, type SwitchingState } from './state.ts'
import { onStruggle, type StruggleOptions } from './struggle.ts'

/** Options of `switching()`. */
export interface SwitchingInput {
  readonly dwellMs?: number | undefined
  readonly upgradeAfterMs?: number | undefined
  readonly headroom?: number | undefined
  readonly cooldownMs?: number | undefined
  readonly waitWeight?: number | undefined
  readonly switchWeight?: number | undefined
  /** Ask another model what a provider's content filter refused. Default false. */
  readonly failOverContentFilter?: boolean | undefined
}

const options: z.ZodType<SwitchingOptions & StruggleOptions, SwitchingInput> = z.strictObject({
  dwellMs: z.number().nonnegative().default(30_000),
  upgradeAfterMs: z.number().nonnegative().default(300_000),
  headroom: z.number().min(0).max(1).default(0.2),
  cooldownMs: z.number().nonnegative().default(30_000),
  waitWeight: z.number().nonnegative().default(1.2),
  switchWeight: z.number().nonnegative().default(0.3),
  failOverContentFilter: z.boolean().default(false),
})

/** The policy itself, for simulations and tests. */
export function switchingPolicy(settings: SwitchingOptions & Partial<StruggleOptions>): SwitchingPolicy<SwitchingState> {
  return {
    name: 'switching',
    version: 3,
    initial: () => INITIAL,
    reduce,
    select: (state, request) => select(state, request, settings),
    onStruggle: (_, request) => onStruggle(request, { failOverContentFilter: false, ...settings }),
    openCircuits: (state) => openCircuits(state.circuits),
  }
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
