/**
 * Assembles a prompt for one window: pinned text, extracts of the old part, the recent part verbatim, the message.
 *
 * @module
 */
import type { PromptMessage } from '../../chat/backend.ts'
import type { AssembledPrompt, AssembleRequest, PromptSection } from '../../chat/context.ts'
import { backendError } from '../../chat/failure.ts'
import type { Message, Part } from '../../chat/message.ts'
import { extracts } from './extracts.ts'
import { promptText, type TokenEstimator } from './tokens.ts'

/** Shares of the usable window. */
export interface CompressionOptions {
  /** Above this a prompt is condensed. */
  readonly condenseAt: number
  /** What a condensed prompt aims at. */
  readonly condenseTo: number
  /** Share of the condensed prompt for extracts. */
  readonly extractShare: number
}

/** Above this share of the usable window the engine's own counter is asked. */
const EXACT_ABOVE = 0.75
/** Messages read at once, going backwards. */
const PAGE = 50
/** Old messages that extracts are taken from. */
const EXTRACT_MESSAGES = 100
/** How much is taken off the budget when the exact count is over the window. */
const SHRINK = 0.85
const EXTRACTS_HEADER = 'Earlier in this conversation (excerpts, word for word):'

interface Recent {
  readonly messages: readonly Message[]
  readonly older: readonly Message[]
  readonly whole: boolean
}

/** @throws MaiError `MAI_CONTEXT_OVERFLOW` when what may not be dropped does not fit */
export async function assemble(request: AssembleRequest, tokens: TokenEstimator, options: CompressionOptions): Promise<AssembledPrompt> {
  const usableTokens = request.window.contextLength - request.window.reserveTokens
  const { model } = request
  // A rough bound on the safe side first: most prompts fit by far and need no tokenizer.
  const all = await collect(request, usableTokens * options.condenseAt, (m) => tokens.message(model, toPrompt(m)))
  if (!all.whole) await tokens.load()
  const pinnedBudget = Math.floor(usableTokens / 2)
  const pinned = pinnedText(request.sections, pinnedBudget, (text) => tokens.estimate(model, text))
  const fixed = tokens.estimate(model, pinned) + tokens.message(model, toPrompt(request.message)) + tokens.estimate(model, request.partial)
  if (fixed > usableTokens) await tokens.load()
  const must = tokens.estimate(model, pinned) + tokens.message(model, toPrompt(request.message)) + tokens.estimate(model, request.partial)
  if (must > usableTokens) {
    throw backendError(
      'MAI_CONTEXT_OVERFLOW',
      `The message and its instructions need ${must} tokens; ${model} has room for ${usableTokens}.`,
    )
  }
  for (let share = 1; share > 0.1; share *= SHRINK) {
    const prompt = await fit(request, tokens, options, pinned, must, usableTokens, share)
    if (prompt.tokens <= usableTokens * EXACT_ABOVE && share === 1) return prompt
    const exact = await request.exactCount(prompt.messages)
    if (exact === undefined) return prompt
    if (exact <= usableTokens) return { ...prompt, tokens: exact, exact: true }
  }
  throw backendError('MAI_CONTEXT_OVERFLOW', `This conversation cannot be fitted to the ${usableTokens} tokens of ${model}.`)
}

async function fit(
  request: AssembleRequest,
  tokens: TokenEstimator,
  options: CompressionOptions,
  pinned: string,
  must: number,
  usableTokens: number,
  share: number,
): Promise<AssembledPrompt> {
  const { model } = request
  const cost = (message: Message): number => tokens.message(model, toPrompt(message))
  const whole = await collect(request, Math.max(0, usableTokens * options.condenseAt * share - must), cost)
  const target = Math.max(0, usableTokens * options.condenseTo * share - must)
  const recent = whole.whole ? whole : await collect(request, target * (1 - options.extractShare), cost)
  const lines = recent.whole
    ? []
    : extracts(recent.older, Math.floor(target * options.extractShare), (line) => tokens.estimate(model, line))
  const system = [pinned, lines.length > 0 ? [EXTRACTS_HEADER, ...lines].join('\n') : ''].filter((text) => text !== '').join('\n\n')
  const messages = [
    ...(system ? [{ role: 'system' as const, parts: [{ type: 'text' as const, text: system }] }] : []),
    ...alternating([...recent.messages, request.message]),
  ]
  const estimated = messages.reduce((sum, message) => sum + tokens.message(model, message), 0) + tokens.estimate(model, request.partial)
  const verbatimMessages = recent.messages.length + 1
  return {
    messages,
    tokens: estimated,
    exact: false,
    usableTokens,
    condensed: !recent.whole,
    verbatimMessages,
    totalMessages: recent.whole ? verbatimMessages : verbatimMessages + recent.older.length,
  }
}

/** Newest messages that cost at most `budget`, read backwards only as far as needed, and some older ones. */
async function collect(request: AssembleRequest, budget: number, cost: (message: Message) => number): Promise<Recent> {
  const taken: Message[] = []
  const older: Message[] = []
  let before: number | undefined
  let spent = 0
  let full = false
  while (older.length < EXTRACT_MESSAGES) {
    const page = await request.history.page(PAGE, before)
    for (const message of [...page].reverse()) {
      if (!full && spent + cost(message) <= budget) {
        spent += cost(message)
        taken.push(message)
      } else {
        full = true
        older.push(message)
      }
    }
    const [first] = page
    if (!first || page.length < PAGE) break
    before = first.seq
  }
  // A tool's result without its call is rejected by templates: the pair goes together.
  while (full && taken.at(-1)?.role === 'tool') older.unshift(...taken.splice(-1))
  return { messages: taken.reverse(), older: older.reverse(), whole: !full }
}

/** Pinned and other sections by priority, each within its own limit, all within the budget. */
function pinnedText(sections: readonly PromptSection[], budget: number, cost: (text: string) => number): string {
  const kept: PromptSection[] = []
  let spent = 0
  for (const section of [...sections].sort((a, b) => b.priority - a.priority)) {
    const tokens = cost(section.text)
    const must = section.id === 'system'
    if (!must && (tokens > section.maxTokens || spent + tokens > budget)) continue
    spent += tokens
    kept.push(section)
  }
  return sections
    .filter((section) => kept.includes(section))
    .map((section) => section.text)
    .join('\n\n')
}

function toPrompt({ role, parts }: Message): PromptMessage {
  return { role, parts: parts.filter((part) => part.type !== 'reasoning') }
}

/** Templates want user and assistant to alternate: neighbours of one role are joined. */
function alternating(messages: readonly Message[]): PromptMessage[] {
  const joined: PromptMessage[] = []
  for (const message of messages.map(toPrompt)) {
    if (promptText(message) === '' && !message.parts.some((part) => part.type === 'image')) continue
    const last = joined.at(-1)
    if (last && last.role === message.role && message.role !== 'tool') {
      const parts: Part[] = [...last.parts, ...message.parts]
      joined[joined.length - 1] = { role: last.role, parts }
    } else joined.push(message)
  }
  // An answer whose question was dropped cannot stand first.
  const first = joined.findIndex((message) => message.role === 'user')
  return joined.slice(Math.max(0, first))
}
