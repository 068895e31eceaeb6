/** A switching policy that stays with the model it began with until that one fails. */
import { definePlugin, type PluginFactory, type SwitchingPolicy } from 'mai'
import { z } from 'zod'

type Loyalty = { readonly to: string | null }

const policy: SwitchingPolicy<Loyalty> = {
  name: 'loyal',
  version: 1,
  initial: () => ({ to: null }),
  reduce: (state, event) => (event.type === 'model.loaded' ? { to: event.payload.model } : state),
  select(state, { candidates, failed }) {
    const open = candidates.filter((candidate) => candidate.allowed && !failed.includes(candidate.model))
    const chosen = open.find((candidate) => candidate.model === state.to) ?? open[0]
    return {
      model: chosen?.model,
      contextLength: chosen?.plannedContextLength ?? 0,
      reason: chosen?.model === state.to ? 'loyal' : 'first',
      fallbacks: open.filter((candidate) => candidate !== chosen).map((candidate) => candidate.model),
      candidates: candidates.map((candidate) => ({ model: candidate.model, score: candidate === chosen ? 1 : 0 })),
    }
  },
  onStruggle: (_, { alternatives, kind }) => ({ action: alternatives > 0 ? 'switch' : 'fail', reason: kind, delayMs: 0 }),
}

const options = z.strictObject({})

export const loyalPolicy: PluginFactory<typeof options> = definePlugin({
  name: 'loyal-policy',
  apiVersion: 1,
  provides: ['policy'],
  options,
  setup(ctx) {
    ctx.provide('policy', policy)
  },
})
