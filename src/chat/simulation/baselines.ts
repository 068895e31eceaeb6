/**
 * What others do: policies to measure against.
 *
 * @module
 */
import type { Candidate, SelectionRequest, StruggleDecision, StruggleRequest, SwitchingPolicy } from '../policy.ts'

const bySize = (a: Candidate, b: Candidate): number => a.memory.totalBytes - b.memory.totalBytes || (a.model < b.model ? -1 : 1)

/** What can serve the conversation at all, smallest first. */
function serving({ candidates, needs, failed }: SelectionRequest): Candidate[] {
  return candidates
    .filter(
      (c) =>
        c.allowed &&
        !failed.includes(c.model) &&
        (!needs.vision || c.abilities.vision) &&
        (!needs.tools || c.abilities.tools) &&
        c.plannedContextLength >= needs.contextTokens,
    )
    .sort(bySize)
}

function onStruggle(_: unknown, { alternatives, kind }: StruggleRequest): StruggleDecision {
  return { action: alternatives > 0 ? 'switch' : 'fail', reason: kind, delayMs: 0 }
}

function baseline(
  name: string,
  choose: (possible: readonly Candidate[], request: SelectionRequest) => Candidate | undefined,
): SwitchingPolicy<null> {
  return {
    name,
    version: 1,
    initial: () => null,
    reduce: () => null,
    select: (_, request) => {
      const possible = serving(request)
      const chosen = choose(possible, request)
      return {
        model: chosen?.model,
        contextLength: chosen?.plannedContextLength ?? 0,
        reason: name,
        fallbacks: possible.filter((c) => c !== chosen).map((c) => c.model),
        candidates: request.candidates.map((c) => ({ model: c.model, score: c === chosen ? 1 : 0 })),
      }
    },
    onStruggle,
  }
}

/** The largest whose need is at most what is free, where the system alone says what is free; the smallest where none is. */
export const largestThatFits: SwitchingPolicy = baseline('largest-that-fits', (possible, { resources }) => {
  const free = resources.memory.availableBytes
  const fits = (c: Candidate): boolean =>
    c.loadedContextLength === undefined ? c.memory.totalBytes <= free + c.reclaimableBytes : free >= 0
  return possible.findLast(fits) ?? possible[0]
})

/** The smallest, always. */
export const alwaysSmallest: SwitchingPolicy = baseline('always-smallest', (possible) => possible[0])

/** The first that is allowed: the trivial policy that speed is measured against. */
export const alwaysFirst: SwitchingPolicy = baseline('always-first', (_, { candidates }) => candidates.find((c) => c.allowed))
