/**
 * What stands in a prompt beside the conversation: sections of plugins by layer, and the user's standing instructions.
 *
 * @module
 */
import type { PromptLayer, PromptSection } from '../../chat/context.ts'
import type { Instruction } from '../../chat/instructions.ts'

/** Text by layer; empty where there is none. */
export interface Frame {
  readonly pinned: string
  readonly ledger: string
  readonly recall: string
}

/** The section that is the caller's own system prompt: no plugin's, so no limit holds for it. */
const SYSTEM = 'system'
/** What sections of plugins may take together, as a share of the usable window. */
const SECTIONS_SHARE = 1 / 4
const INSTRUCTIONS_HEADER = 'What the user asked for to hold from then on, in their own words; where two differ, the later one counts:'

/**
 * Chooses sections by priority, each within its own limit, all within a quarter of the window, and puts each layer's in
 * their own order. A section over its own limit is its plugin's mistake and stays out.
 *
 * @returns undefined when pinned sections do not fit, which excludes the model
 */
export function frameOf(
  sections: readonly PromptSection[],
  instructions: readonly Instruction[],
  usableTokens: number,
  cost: (text: string) => number,
): Frame | undefined {
  const kept = new Set<PromptSection>()
  let left = usableTokens * SECTIONS_SHARE
  const byPriority = sections
    .filter(({ id, text }) => id !== SYSTEM && text !== '')
    .sort((a, b) => rank(b) - rank(a) || b.priority - a.priority)
  for (const section of byPriority) {
    const tokens = cost(section.text)
    if (tokens > section.maxTokens) continue
    if (tokens > left) {
      if (section.layer === 'pinned') return undefined
      continue
    }
    left -= tokens
    kept.add(section)
  }
  const layer = (name: PromptLayer): string[] =>
    sections.filter((section) => section.layer === name && (section.id === SYSTEM || kept.has(section))).map(({ text }) => text)
  return {
    pinned: joined([...layer('pinned'), ...standing(instructions)]),
    ledger: joined(layer('ledger')),
    recall: joined(layer('recall')),
  }
}

/** Non-empty texts, a blank line between them. */
export function joined(texts: readonly string[]): string {
  return texts.filter((text) => text !== '').join('\n\n')
}

/** Pinned sections go first: they are never left out. */
function rank({ layer }: PromptSection): number {
  return layer === 'pinned' ? 1 : 0
}

function standing(instructions: readonly Instruction[]): string[] {
  return instructions.length === 0 ? [] : [[INSTRUCTIONS_HEADER, ...instructions.map(({ text }) => `- ${text}`)].join('\n')]
}
