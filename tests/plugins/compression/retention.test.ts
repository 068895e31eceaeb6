import { existsSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generateConversation } from '../../../bench/context/generate.ts'
import { type Costed, type QuestionedConversation, retention, withCosts } from '../../../bench/context/retention.ts'
import { type Analysis, analyse } from '../../../src/plugins/compression/analysis.ts'
import { selectTurns } from '../../../src/plugins/compression/select.ts'

const TOOL = path.resolve('../shared/tools/retention.mjs')
const given = existsSync(TOOL)
if (!given) console.info('No data in ../shared: retention is measured on generated conversations only.')

function analysisOf({ conversation, turnTokens, headerTokens }: Costed): Analysis {
  return analyse({
    turns: conversation.turns.map((turn, index) => ({ ...turn, tokens: turnTokens[index]! })),
    sessions: conversation.sessions.map(({ header }, index) => ({ header, tokens: headerTokens[index]! })),
  })
}

/** Percent of evidence kept. */
function kept(
  conversations: readonly QuestionedConversation[],
  budget: { share: number } | { tokens: number },
  knowsQuestion: boolean,
): number {
  const analyses = new Map<Costed, Analysis>()
  const select = (costed: Costed, room: number, question: string | undefined): number[] => {
    const analysis = analyses.get(costed) ?? analysisOf(costed)
    analyses.set(costed, analysis)
    return selectTurns(analysis, room, question)
  }
  return retention(conversations.filter(({ questions }) => questions.length > 0).map(withCosts), budget, select, knowsQuestion).er
}

describe('what a later question needs', () => {
  it('is kept in personal chats over many days, at a twentieth of their length', () => {
    const chats = [1, 2].map((seed) => generateConversation(seed, 40))
    expect(kept(chats, { tokens: 1000 }, true)).toBeGreaterThan(90)
  })

  it.skipIf(!given)('is kept in meetings and in Chinese dialogues of the data given', { timeout: 60_000 }, async () => {
    const { qmsum, crosswoz } = (await import(pathToFileURL(TOOL).href)) as Record<'qmsum' | 'crosswoz', () => QuestionedConversation[]>
    const meetings = qmsum().slice(0, 12)
    const dialogues = crosswoz().slice(0, 2)
    const figures = {
      meetings: kept(meetings, { share: 0.2 }, true),
      meetingsBlind: kept(meetings, { share: 0.2 }, false),
      dialogues: kept(dialogues, { tokens: 1000 }, true),
      dialoguesBlind: kept(dialogues, { share: 0.2 }, false),
    }
    console.info('evidence kept, percent:', figures)
    expect(figures.meetings).toBeGreaterThan(55)
    expect(figures.meetingsBlind).toBeGreaterThan(20)
    expect(figures.dialogues).toBeGreaterThan(95)
    expect(figures.dialoguesBlind).toBeGreaterThan(25)
  })
})

describe('a selection', () => {
  const turn = fc.record({
    session: fc.nat({ max: 3 }),
    speaker: fc.constantFrom('A', 'B'),
    text: fc
      .array(fc.constantFrom('apple', '北京', 'the', '42', 'moon', 'running', '?'), { maxLength: 12 })
      .map((words) => words.join(' ')),
    tokens: fc.integer({ min: 1, max: 60 }),
  })

  it('stays within its budget, is in order, and is the same every time', () => {
    const questions = fc.option(fc.constantFrom('What about the apple?', '北京怎么样', 'Why?', ''), { nil: undefined })
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 60 }), fc.nat({ max: 800 }), questions, (list, budget, question) => {
        const turns = [...list].sort((a, b) => a.session - b.session)
        const sessions = [5, 0, 7, 3].map((tokens) => ({ header: '[a day]', tokens }))
        const made = selectTurns(analyse({ turns, sessions }), budget, question)
        const used = new Set(made.map((index) => turns[index]!.session))
        const cost =
          made.reduce((sum, index) => sum + turns[index]!.tokens, 0) + [...used].reduce((sum, index) => sum + sessions[index]!.tokens, 0)
        expect(cost).toBeLessThanOrEqual(budget)
        expect(made).toEqual([...new Set(made)].sort((a, b) => a - b))
        expect(selectTurns(analyse({ turns, sessions }), budget, question)).toEqual(made)
        const all = turns.reduce((sum, { tokens }) => sum + tokens, 0) + 15
        if (question !== undefined && all <= budget) expect(made).toHaveLength(turns.length)
      }),
    )
  })
})
