/**
 * Less at a time when memory runs out: a shorter context, then a smaller model, then the least that answers at all.
 *
 * @module
 */
import type { ModelKey } from '../model.ts'
import type { Candidate, Decision, Needs } from '../policy.ts'

/** A shorter context is not worth a load. Tokens. */
const SHORTEST_CONTEXT = 1024

/** Half the window, down to what the conversation needs; undefined when it is that short already. @param needed tokens */
export function shorterContext(contextLength: number, needed: number): number | undefined {
  const least = Math.max(SHORTEST_CONTEXT, needed)
  const half = Math.max(least, Math.floor(contextLength / 2))
  return half < contextLength ? half : undefined
}

/** Models that need at least as much as one that found no memory; what is loaded needs none. */
export function notSmaller(candidates: readonly Candidate[], failed: ModelKey): ModelKey[] {
  const weights = candidates.find(({ model }) => model === failed)?.memory.weightsBytes
  if (weights === undefined) return []
  return candidates
    .filter(
      ({ model, remote, loadedContextLength, memory }) =>
        model !== failed && !remote && loadedContextLength === undefined && memory.weightsBytes >= weights,
    )
    .map(({ model }) => model)
}

/** The last resort: the smallest model that could serve at all, with the shortest context and without the GPU. */
export function minimalDecision(candidates: readonly Candidate[], needs: Needs): Decision {
  const [smallest] = candidates
    .filter((c) => c.allowed && !c.remote && c.maxContextLength >= needs.contextTokens)
    .filter((c) => (!needs.vision || c.abilities.vision) && (!needs.tools || c.abilities.tools))
    .sort((a, b) => a.memory.weightsBytes - b.memory.weightsBytes || (a.model < b.model ? -1 : 1))
  return {
    model: smallest?.model,
    contextLength: Math.max(SHORTEST_CONTEXT, needs.contextTokens),
    reason: 'minimal',
    fallbacks: [],
    candidates: candidates.map(({ model }) => ({ model, score: 0 })),
  }
}

/** What would help when not even that fits. @param loaded models that are in memory and not Mai's to unload */
export function memoryCure(needBytes: number, freeBytes: number, loaded: readonly ModelKey[]): string {
  const missing = needBytes > freeBytes ? `about ${((needBytes - freeBytes) / 1e9).toFixed(1)} GB of memory` : 'memory'
  const unload = loaded.length > 0 ? `, unload ${loaded.join(', ')} (mai models unload)` : ''
  return `Free ${missing}: close other programs${unload}, or fetch a smaller model.`
}
