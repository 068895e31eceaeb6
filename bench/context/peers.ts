/**
 * Simple ways to shorten a conversation, to stand beside ours.
 *
 * @module
 */
import { countTerms } from '../../src/plugins/compression/analysis.ts'
import { seeded } from './generate.ts'
import type { Costed, Selector } from './retention.ts'

/** Keeps turns in the order given, as long as they fit. @param skip go on after one that does not fit */
function keep({ conversation, turnTokens, headerTokens }: Costed, order: Iterable<number>, budget: number, skip: boolean): Set<number> {
  const kept = new Set<number>()
  const sessions = new Set<number>()
  let left = budget
  for (const turn of order) {
    const session = conversation.turns[turn]?.session ?? 0
    const cost = (turnTokens[turn] ?? 0) + (sessions.has(session) ? 0 : (headerTokens[session] ?? 0))
    if (kept.has(turn)) continue
    if (cost > left) {
      if (skip) continue
      break
    }
    left -= cost
    kept.add(turn)
    sessions.add(session)
  }
  return kept
}

const ascending = ({ turnTokens }: Costed): number[] => [...turnTokens.keys()]
const descending = (costed: Costed): number[] => ascending(costed).reverse()

const keepLast: Selector = (costed, budget) => keep(costed, descending(costed), budget, false)

/** The beginning stays (as a system prompt and the first request would), then the newest. */
const cutMiddle: Selector = (costed, budget) => keep(costed, [0, 1, ...descending(costed)], budget, false)

const firstAndLast: Selector = (costed, budget) => {
  const first = keep(costed, ascending(costed), budget / 2, false)
  return keep(costed, [...first, ...descending(costed)], budget, false)
}

const random: Selector = (costed, budget) => {
  const next = seeded(costed.turnTokens.length)
  const order = ascending(costed).map((turn) => ({ turn, at: next() }))
  return keep(
    costed,
    order.sort((a, b) => a.at - b.at).map(({ turn }) => turn),
    budget,
    true,
  )
}

const ranks: WeakMap<Costed, readonly number[]> = new WeakMap()

/** Turns by PageRank over shared terms. */
const textRank: Selector = (costed, budget) => {
  const order = ranks.get(costed) ?? rank(costed)
  ranks.set(costed, order)
  return keep(costed, order, budget, true)
}

function rank({ conversation }: Costed): number[] {
  const documents = conversation.turns.map(({ text }) => countTerms(text))
  const edges = documents.map(() => new Map<number, number>())
  const postings = new Map<string, number[]>()
  for (const [turn, { terms }] of documents.entries()) {
    for (const term of terms) {
      for (const other of postings.get(term) ?? []) edges[turn]?.set(other, (edges[turn]?.get(other) ?? 0) + 1)
      postings.set(term, [...(postings.get(term) ?? []), turn])
    }
  }
  const links: { readonly from: number; readonly to: number; readonly weight: number }[] = []
  for (const [turn, others] of edges.entries()) {
    for (const [other, shared] of others) {
      const weight = shared / (1 + Math.log(1 + (documents[turn]?.length ?? 0)) + Math.log(1 + (documents[other]?.length ?? 0)))
      links.push({ from: turn, to: other, weight }, { from: other, to: turn, weight })
    }
  }
  const out = new Float64Array(documents.length)
  for (const { from, weight } of links) out[from] = (out[from] ?? 0) + weight
  let scores = new Float64Array(documents.length).fill(1)
  for (let round = 0; round < 20; round++) {
    const next = new Float64Array(documents.length).fill(0.15)
    for (const { from, to, weight } of links) next[to] = (next[to] ?? 0) + (0.85 * (scores[from] ?? 0) * weight) / (out[from] || 1)
    scores = next
  }
  return [...scores.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0))
}

/** By the name in the table. */
export const PEERS: Readonly<Record<string, Selector>> = {
  'keep last': keepLast,
  'cut middle': cutMiddle,
  'first + last': firstAndLast,
  random,
  TextRank: textRank,
}
