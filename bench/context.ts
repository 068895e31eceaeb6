/**
 * What is left of a conversation when it is condensed, beside simple ways to shorten it.
 *
 * On the data of ../shared where that is there, else on conversations made here; or on any:
 * `npm run bench:context -- --conversations FILE.json --budgets 1000,2000,4000` (or `10%,20%,40%`).
 *
 * @module
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { type Analysis, analyse } from '../src/plugins/compression/analysis.ts'
import { selectTurns } from '../src/plugins/compression/select.ts'
import { generateConversation } from './context/generate.ts'
import { PEERS } from './context/peers.ts'
import {
  type Budget,
  budgetName,
  type Costed,
  parseBudgets,
  type QuestionedConversation,
  readConversations,
  retention,
  type Selector,
  withCosts,
} from './context/retention.ts'
import { type Report, report } from './harness.ts'

const TOOL = path.resolve('../shared/tools/retention.mjs')
const SHARES = parseBudgets('10%,20%,40%')
const TOKENS = parseBudgets('1000,2000,4000')

interface Loaders {
  qmsum(): QuestionedConversation[]
  crosswoz(): QuestionedConversation[]
}

const analyses: WeakMap<Costed, Analysis> = new WeakMap()

/** The selection of a real turn. */
const ours: Selector = (costed, budget, question) => {
  const { conversation, turnTokens, headerTokens } = costed
  const analysis =
    analyses.get(costed) ??
    analyse({
      turns: conversation.turns.map((turn, index) => ({ ...turn, tokens: turnTokens[index] ?? 0 })),
      sessions: conversation.sessions.map(({ header }, index) => ({ header, tokens: headerTokens[index] ?? 0 })),
    })
  analyses.set(costed, analysis)
  return selectTurns(analysis, budget, question)
}

function table(title: string, conversations: readonly Costed[], budgets: readonly Budget[], knowsQuestion: boolean): Report {
  const rows = Object.entries({ Mai: ours, ...PEERS }).map(([method, select]) => {
    const figures = budgets.map((budget) => retention(conversations, budget, select, knowsQuestion))
    return Object.fromEntries([
      ['method', method],
      ...figures.map(({ er }, index) => [`er${index}`, er]),
      ...figures.map(({ ea }, index) => [`ea${index}`, ea]),
      ['ms', figures.reduce((sum, { msPerTurn }) => sum + msPerTurn, 0) / figures.length],
    ])
  })
  const questions = conversations.reduce((sum, { conversation }) => sum + conversation.questions.length, 0)
  return {
    title: `${title}, the question ${knowsQuestion ? 'known' : 'not known'}`,
    columns: [
      { key: 'method', heading: 'method' },
      ...budgets.map((budget, index) => ({ key: `er${index}`, heading: `ER ${budgetName(budget)}` })),
      ...budgets.map((budget, index) => ({ key: `ea${index}`, heading: `EA ${budgetName(budget)}` })),
      { key: 'ms', heading: 'ms a turn', digits: 2 },
    ],
    rows,
    notes: [
      `${conversations.length} conversations, ${questions} questions; percent of evidence kept (ER), of questions with all of it (EA).`,
    ],
  }
}

/** Both tables of one set; conversations that are not questioned say nothing. */
function tables(
  title: string,
  conversations: readonly QuestionedConversation[],
  known: readonly Budget[],
  blind: readonly Budget[],
): Report[] {
  const costed = conversations.filter(({ questions }) => questions.length > 0).map(withCosts)
  return [table(title, costed, known, true), table(title, costed, blind, false)]
}

async function retentionReports(file: string | undefined, budgets: readonly Budget[] | undefined): Promise<Report[]> {
  if (file !== undefined) return tables(path.basename(file), readConversations(file), budgets ?? SHARES, budgets ?? SHARES)
  if (!existsSync(TOOL)) {
    const made = Array.from({ length: 8 }, (_, seed) => generateConversation(seed + 1))
    return tables('Generated personal chats', made, budgets ?? TOKENS, budgets ?? SHARES)
  }
  const { qmsum, crosswoz }: Loaders = await import(pathToFileURL(TOOL).href)
  return [
    ...tables('QMSum, validation (meetings)', qmsum(), budgets ?? SHARES, budgets ?? SHARES),
    ...tables('CrossWOZ, validation (Chinese)', crosswoz(), budgets ?? TOKENS, budgets ?? SHARES),
  ]
}

const { values } = parseArgs({ options: { conversations: { type: 'string' }, budgets: { type: 'string' }, json: { type: 'boolean' } } })
report(await retentionReports(values.conversations, values.budgets === undefined ? undefined : parseBudgets(values.budgets)))
