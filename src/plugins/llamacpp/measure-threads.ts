/**
 * How fast a loaded model is with so many threads. More are not always faster: they wait for each other at every step,
 * and on a machine whose cores are shared two can be a thousand times slower than one.
 *
 * @module
 */
import type { LlamaModel, Token } from 'node-llama-cpp'

/** A figure of one candidate. */
export interface ThreadSpeed {
  readonly threads: number
  readonly tokensPerSecond: number
}

/** Longest for one candidate, in ms. */
const MOST_MS = 1500
/** Tokens that say enough. */
const ENOUGH_TOKENS = 64
/** What is as fast as the fastest, about. */
const AS_GOOD = 0.95

/** What is worth trying: one, half of the physical cores, all but one, all. */
export function threadCandidates(cores: number): number[] {
  const counts = [1, Math.floor(cores / 2), cores - 1, cores].filter((count) => count >= 1)
  return [...new Set(counts)].sort((a, b) => a - b)
}

/** The fewest threads that are about as fast as the fastest: the others are free for the rest of the machine. */
export function bestThreads(speeds: readonly ThreadSpeed[]): number | undefined {
  const most = Math.max(...speeds.map(({ tokensPerSecond }) => tokensPerSecond))
  const good = speeds.filter(({ tokensPerSecond }) => tokensPerSecond > 0 && tokensPerSecond >= most * AS_GOOD)
  return good.length > 0 ? Math.min(...good.map(({ threads }) => threads)) : undefined
}

/** Tries all candidates beside the model's own context. @returns nothing when aborted */
export async function measureThreads(model: LlamaModel, candidates: readonly number[], signal: AbortSignal): Promise<ThreadSpeed[]> {
  const speeds: ThreadSpeed[] = []
  for (const threads of candidates) {
    if (signal.aborted) return []
    const tokensPerSecond = await measureOne(model, threads, signal)
    if (signal.aborted) return []
    speeds.push({ threads, tokensPerSecond })
  }
  return speeds
}

async function measureOne(model: LlamaModel, threads: number, signal: AbortSignal): Promise<number> {
  const context = await model.createContext({ contextSize: 256, batchSize: 8, threads, failedCreationRemedy: false })
  try {
    const sequence = context.getSequence()
    // Any token will do: each costs the same.
    const token = model.tokens.bos ?? (0 as Token)
    await sequence.evaluateWithoutGeneratingNewTokens([token])
    const began = performance.now()
    let tokens = 0
    while (tokens < ENOUGH_TOKENS && performance.now() - began < MOST_MS && !signal.aborted) {
      await sequence.evaluateWithoutGeneratingNewTokens([token])
      tokens++
    }
    return (tokens * 1000) / (performance.now() - began)
  } finally {
    await context.dispose()
  }
}
