/**
 * Evidence retention: how much of what a later question needs is still there after turns were left out.
 *
 * Cost of a selection, in o200k tokens: each kept turn as `speaker: text` with its line break, and the header of each
 * session that has a kept turn. ER: mean share of evidence kept, weighted by tokens where the conversation says so.
 * EA: share of questions with all their evidence kept.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { z } from 'zod'

const schema = z.array(
  z.object({
    name: z.string().default(''),
    weighted: z.boolean().default(false),
    sessions: z.array(z.object({ header: z.string().default('') })),
    turns: z.array(z.object({ session: z.number().int().default(0), speaker: z.string(), text: z.string() })),
    questions: z.array(z.object({ text: z.string(), evidence: z.array(z.number().int()) })),
  }),
)

/** A conversation with questions; turns are named by their index. */
export type QuestionedConversation = z.output<typeof schema>[number]

/** A conversation with what everything costs, in o200k tokens. */
export interface Costed {
  readonly conversation: QuestionedConversation
  readonly turnTokens: readonly number[]
  readonly headerTokens: readonly number[]
  readonly total: number
}

/** A share of the conversation's cost, or tokens. */
export type Budget = { readonly share: number } | { readonly tokens: number }

/** Figures of one budget. */
export interface Retention {
  /** Percent. */
  readonly er: number
  readonly ea: number
  readonly msPerTurn: number
  readonly questions: number
}

/** Turns to keep. */
export type Selector = (costed: Costed, budget: number, question: string | undefined) => Iterable<number>

/** @throws Error when the file is no array of conversations */
export function readConversations(file: string): QuestionedConversation[] {
  return schema.parse(JSON.parse(readFileSync(file, 'utf8')))
}

export function withCosts(conversation: QuestionedConversation): Costed {
  const turnTokens = conversation.turns.map(({ speaker, text }) => count(`${speaker}: ${text}\n`))
  const headerTokens = conversation.sessions.map(({ header }) => count(header))
  const used = new Set(conversation.turns.map(({ session }) => session))
  return { conversation, turnTokens, headerTokens, total: sum(turnTokens) + sum([...used].map((session) => headerTokens[session] ?? 0)) }
}

/** `1000,2000` are tokens, `10%,20%` shares. @throws Error for anything else */
export function parseBudgets(text: string): Budget[] {
  return text.split(',').map((word) => {
    const [, figure, percent] = /^\s*(\d+(?:\.\d+)?)\s*(%?)\s*$/.exec(word) ?? []
    if (figure === undefined || Number(figure) <= 0) throw new Error(`No budget: ${word}. Write tokens (1000,2000) or shares (10%,20%).`)
    return percent ? { share: Number(figure) / 100 } : { tokens: Number(figure) }
  })
}

export function budgetName(budget: Budget): string {
  return 'share' in budget ? `${Math.round(budget.share * 100)} %` : `${budget.tokens}`
}

/** @throws Error when a selection costs more than its budget */
export function retention(conversations: readonly Costed[], budget: Budget, select: Selector, knowsQuestion: boolean): Retention {
  let er = 0
  let ea = 0
  let questions = 0
  let ms = 0
  let runs = 0
  for (const costed of conversations) {
    const room = 'share' in budget ? budget.share * costed.total : budget.tokens
    const timed = (question: string | undefined): Set<number> => {
      const began = performance.now()
      const kept = new Set(select(costed, room, question))
      ms += performance.now() - began
      runs++
      if (costOf(costed, kept) > room) throw new Error(`Over budget in ${costed.conversation.name}`)
      return kept
    }
    const blind = knowsQuestion ? undefined : timed(undefined)
    for (const { text, evidence } of costed.conversation.questions) {
      // Nothing to keep: nothing to measure.
      if (evidence.length === 0) continue
      const kept = blind ?? timed(text)
      const weight = (turn: number): number => (costed.conversation.weighted ? (costed.turnTokens[turn] ?? 0) : 1)
      const have = evidence.filter((turn) => kept.has(turn))
      er += sum(have.map(weight)) / sum(evidence.map(weight))
      ea += have.length === evidence.length ? 1 : 0
      questions++
    }
  }
  return { er: (100 * er) / questions, ea: (100 * ea) / questions, msPerTurn: ms / runs, questions }
}

function costOf({ conversation, turnTokens, headerTokens }: Costed, kept: ReadonlySet<number>): number {
  const sessions = new Set([...kept].map((turn) => conversation.turns[turn]?.session ?? 0))
  return sum([...kept].map((turn) => turnTokens[turn] ?? 0)) + sum([...sessions].map((session) => headerTokens[session] ?? 0))
}

function count(text: string): number {
  return countTokens(text, { disallowedSpecial: new Set() })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
