/**
 * What is left of a conversation when it is condensed, beside simple ways to shorten it; how long a turn waits for that;
 * and whether prompts fit, whatever window comes next.
 *
 * Retention on the data of ../shared where that is there, else on conversations made here; or, alone, on any:
 * `npm run bench:context -- --conversations FILE.json --budgets 1000,2000,4000` (or `10%,20%,40%`).
 * `--only retention|speed|windows` runs one part; `--switches N` says how many windows to try (500; alone 10,000, which takes long).
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
import { manyScripts, mixedLines } from './context/lines.ts'
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
import { measureSpeed } from './context/speed.ts'
import { tokenizersAtHand } from './context/tokenizers.ts'
import { switchWindows } from './context/windows.ts'
import { type Report, report } from './harness.ts'

const TOOL = path.resolve('../shared/tools/retention.mjs')
const SHARES = parseBudgets('10%,20%,40%')
const TOKENS = parseBudgets('1000,2000,4000')
const TEXTS = { 'talk, code, Chinese, links': mixedLines, 'many scripts, emoji, base64, tables': manyScripts }
const WINDOWS = [2048, 4096, 8192, 32_768]

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

async function speedReport(): Promise<Report> {
  const figures = [await measureSpeed(200_000, WINDOWS), await measureSpeed(4_000_000, WINDOWS)]
  return {
    title: 'A turn’s prompt, by length of the history',
    columns: [
      { key: 'messages', heading: 'messages', digits: 0 },
      { key: 'window', heading: 'window', digits: 0 },
      { key: 'p50', heading: 'ms p50', digits: 2 },
      { key: 'p95', heading: 'ms p95', digits: 2 },
      { key: 'cpu', heading: 'CPU ms p50', digits: 2 },
      { key: 'indexing', heading: 'indexing ms p50', digits: 2 },
      { key: 'rss', heading: 'RSS MB', digits: 0 },
    ],
    rows: figures.flatMap(({ messages, assembly, indexing, rss }) =>
      assembly.map(({ contextLength, p50, p95, cpu }) => ({ messages, window: contextLength, p50, p95, cpu, indexing, rss })),
    ),
    notes: [
      'Goals: assembly under 5 ms at 200 k tokens of history, under 25 ms at 4 M; indexing under 1 ms beyond the commit (its own commit is in it).',
      'CPU ms is the processor’s time, which a busy machine does not stretch as it does the clock’s.',
    ],
  }
}

async function windowsReport(switches: number): Promise<Report> {
  const { tokenizers, close } = await tokenizersAtHand()
  const rows = []
  const ways = Object.entries(TEXTS).flatMap(([text, lines]) => [true, false].map((counted) => ({ text, lines, counted })))
  for (const { text, lines, counted } of ways) {
    const { prompts, overUsable, overWindow, condensed, fill } = await switchWindows(tokenizers, switches, 2000, counted, lines)
    rows.push({
      text,
      engine: counted ? 'counts when asked' : 'reports afterwards',
      prompts,
      overUsable,
      overWindow,
      condensed,
      fill: 100 * fill,
    })
  }
  await close()
  return {
    title: 'Random switches between windows of 1,024 to 131,072 tokens',
    columns: [
      { key: 'text', heading: 'text' },
      { key: 'engine', heading: 'engine' },
      { key: 'prompts', heading: 'prompts', digits: 0 },
      { key: 'overWindow', heading: 'over the window', digits: 0 },
      { key: 'overUsable', heading: 'into the reserve', digits: 0 },
      { key: 'condensed', heading: 'condensed', digits: 0 },
      { key: 'fill', heading: 'their fill %' },
    ],
    rows,
    notes: [
      `Tokenizers: ${Object.keys(tokenizers).join(', ')}. Prompts aim at 95 % of what is usable; goal: none over the window, 85 % full or more.`,
    ],
  }
}

const { values } = parseArgs({
  options: {
    conversations: { type: 'string' },
    budgets: { type: 'string' },
    only: { type: 'string' },
    switches: { type: 'string' },
    json: { type: 'boolean' },
  },
})
const wanted = (part: string): boolean => (values.only ?? (values.conversations === undefined ? part : 'retention')) === part
const reports: Report[] = []
if (wanted('retention')) {
  reports.push(...(await retentionReports(values.conversations, values.budgets === undefined ? undefined : parseBudgets(values.budgets))))
}
if (wanted('speed')) reports.push(await speedReport())
if (wanted('windows')) reports.push(await windowsReport(Number(values.switches ?? (values.only === undefined ? 500 : 10_000))))
report(reports)
