/**
 * The detectors of struggling answers on real text and on loops, beside rules that others use.
 *
 * `--corpus FILE.jsonl` (`{"text": …}` a line) replays any other healthy text instead; `--loops FILE.jsonl`
 * (`{"prefix", "loop", "noise"}` a line) other loops; see `LoopCase` for what `noise` may be.
 *
 * @module
 */
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { struggleWatchers } from '../src/plugins/struggle/index.ts'
import { type Report, report } from './harness.ts'
import { assembleCorpus, type Sample, SOURCES_AND_DATA } from './struggle/corpus.ts'
import { isNoisy, type LoopCase, loopsFrom, wordsOf, written } from './struggle/loops.ts'
import { type NaiveRule, repeatedWords, wholeTextRatio } from './struggle/peers.ts'
import { replay, unitsOf } from './struggle/replay.ts'

/** Characters of each kind of text. */
const BYTES_A_KIND = 1_200_000
const LOOPS = 400
const NOISY_LOOPS = 400
/** One text in so many is shown to the peers: one of them costs the square of the length. */
const PEER_SHARE = 10

const { values: given } = parseArgs({
  options: { corpus: { type: 'string' }, loops: { type: 'string' }, json: { type: 'boolean' } },
  strict: false,
})
const watchers = struggleWatchers()

function linesOf(file: string): unknown[] {
  // npm runs scripts in the folder of the package; names are meant from where it was called.
  const text = fs.readFileSync(path.resolve(process.env.INIT_CWD ?? process.cwd(), file), 'utf8')
  return text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [JSON.parse(line) as unknown]))
}

/** µs of CPU that work takes: the machine may be busy with other things. */
function cpuOf(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function healthy(samples: readonly Sample[], title: string): { report: Report; nsAUnit: number } {
  const kinds = new Map<string, { files: number; chars: number; held: number; alarms: number; first: string }>()
  let units = 0
  let cpu = 0
  for (const { kind, name, text } of samples) {
    const row = kinds.get(kind) ?? { files: 0, chars: 0, held: 0, alarms: 0, first: '' }
    kinds.set(kind, row)
    let result = replay('', watchers)
    cpu += cpuOf(() => {
      result = replay(text, watchers)
    })
    units += unitsOf(text.slice(0, result.played))
    row.files++
    row.chars += text.length
    row.held += result.held
    if (!result.struggle) continue
    row.alarms++
    row.first ||= `${path.basename(name)}: ${result.struggle.kind}, ${result.struggle.evidence}`
  }
  const sum = (key: 'files' | 'chars' | 'held' | 'alarms', of: (kind: string) => boolean = () => true): number =>
    [...kinds].reduce((total, [kind, row]) => total + (of(kind) ? row[key] : 0), 0)
  const data = (kind: string): boolean => SOURCES_AND_DATA.has(kind)
  const rows = [...kinds].map(([kind, row]) => ({
    kind,
    files: row.files,
    mb: row.chars / 1e6,
    alarms: row.alarms,
    held: (100 * row.held) / row.chars,
    first: row.first,
  }))
  const share = (100 * sum('held')) / sum('chars')
  return {
    nsAUnit: (cpu * 1000) / units,
    report: {
      title,
      columns: [
        { key: 'kind', heading: 'kind' },
        { key: 'files', heading: 'files', digits: 0 },
        { key: 'mb', heading: 'MB' },
        { key: 'alarms', heading: 'false alarms', digits: 0 },
        { key: 'held', heading: '% held back', digits: 3 },
        { key: 'first', heading: 'the first alarm' },
      ],
      rows: [...rows, { kind: 'all', files: sum('files'), mb: sum('chars') / 1e6, alarms: sum('alarms'), held: share, first: '' }],
      notes: [
        `${sum('alarms', (kind) => !data(kind))} false alarms outside sources and data (goal 0); ${sum('alarms', data)} in ${sum('files', data)} files of these (goal at most one in 200).`,
        `${share.toFixed(3)} % of the characters were held back for a while (goal below 1 %).`,
        `${((cpu * 1000) / units).toFixed(0)} ns of CPU a lexical unit, gate included (goal below 2,000).`,
      ],
    },
  }
}

/** Whether most of it is words that follow each other as in a sentence. */
function isSpoken(text: string): boolean {
  return (text.match(/\p{L}(?=[ ,]{1,2}\p{L}|\p{Script=Han})/gu)?.length ?? 0) >= 0.4 * unitsOf(text)
}

interface LoopResult {
  readonly found: boolean
  readonly early: boolean
  /** Units after the loop began. */
  readonly delay: number
  /** Units of the second copy and later that the person got. */
  readonly repeated: number
  readonly allowed: number
}

function runLoop(one: LoopCase, text: string): LoopResult {
  const { struggle, played, released } = replay(one.prefix + text, watchers)
  const early = struggle !== undefined && played <= one.prefix.length
  return {
    found: struggle !== undefined && !early,
    early,
    delay: struggle ? unitsOf(text.slice(0, Math.max(0, played - one.prefix.length))) : Infinity,
    repeated: unitsOf(text.slice(one.loop.length, Math.max(one.loop.length, released - one.prefix.length))),
    allowed: Math.max(unitsOf(one.loop), 32),
  }
}

function peerShare(rule: NaiveRule, cases: readonly LoopCase[], texts: readonly string[]): number {
  const found = cases.filter(({ prefix }, n) => (rule(prefix + texts[n]) ?? 0) > prefix.length)
  return (100 * found.length) / cases.length
}

function looping(cases: readonly LoopCase[], words: readonly string[], title: string): Report {
  const groups = [
    { kind: 'exact, sentences', cases: cases.filter((one) => !isNoisy(one) && isSpoken(one.loop)) },
    { kind: 'exact, lists, tables, code', cases: cases.filter((one) => !isNoisy(one) && !isSpoken(one.loop)) },
    { kind: 'exact, all', cases: cases.filter((one) => !isNoisy(one)) },
    { kind: 'noisy, sentences', cases: cases.filter((one) => isNoisy(one) && isSpoken(one.loop)) },
    { kind: 'noisy, lists, tables, code', cases: cases.filter((one) => isNoisy(one) && !isSpoken(one.loop)) },
    { kind: 'noisy, all', cases: cases.filter(isNoisy) },
  ].filter((group) => group.cases.length > 0)
  const rows = groups.map((group) => {
    const texts = group.cases.map((one) => written(one, words))
    const results = group.cases.map((one, n) => runLoop(one, texts[n] ?? ''))
    const found = results.filter((result) => result.found)
    const delays = results.filter((result) => !result.early).map(({ delay }) => delay)
    return {
      kind: group.kind,
      loops: results.length,
      found: (100 * found.length) / results.length,
      early: results.length - found.length - results.filter(({ delay }) => delay === Infinity).length,
      median: quantile(delays, 0.5),
      p95: quantile(delays, 0.95),
      repeated: quantile(
        found.map((result) => result.repeated),
        0.95,
      ),
      beyond: (100 * found.filter((result) => result.repeated > result.allowed).length) / Math.max(1, found.length),
      ratio: peerShare(wholeTextRatio, group.cases, texts),
      words: peerShare(repeatedWords, group.cases, texts),
    }
  })
  return {
    title,
    columns: [
      { key: 'kind', heading: 'loops' },
      { key: 'loops', heading: 'cases', digits: 0 },
      { key: 'found', heading: '% found' },
      { key: 'early', heading: 'before it', digits: 0 },
      { key: 'median', heading: 'delay, median', digits: 0 },
      { key: 'p95', heading: '95 %', digits: 0 },
      { key: 'repeated', heading: 'repeated, 95 %', digits: 0 },
      { key: 'beyond', heading: '% beyond a period' },
      { key: 'ratio', heading: 'zlib > 2.4: % found' },
      { key: 'words', heading: '8 words thrice: % found' },
    ],
    rows,
    notes: [
      'Delays and repeated text in lexical units; a delay counts from the first unit of the first copy, and one never found as endless.',
      '"beyond a period": more was released than one period of repeated text, or 32 units where that is more.',
      'Lines of lists, tables and code that differ in a word or a number are also what healthy lists, tables and code are: there, more copies are awaited.',
      'Goals: exact loops within 80 at the median and 340 at 95 %, none beyond a period; 95 % of noisy loops found.',
    ],
  }
}

function peers(samples: readonly Sample[], nsAUnit: number, alarms: number): Report {
  const some = samples.filter((_, n) => n % PEER_SHARE === 0)
  const units = some.reduce((total, { text }) => total + unitsOf(text), 0)
  const row = (rule: string, judge: NaiveRule): Readonly<Record<string, string | number>> => {
    let wrong = 0
    const cpu = cpuOf(() => {
      for (const { text } of some) if (judge(text) !== undefined) wrong++
    })
    return { rule, alarms: (100 * wrong) / some.length, ns: (cpu * 1000) / units }
  }
  return {
    title: `Rules that others use, on one text in ${PEER_SHARE}`,
    columns: [
      { key: 'rule', heading: 'rule' },
      { key: 'alarms', heading: '% of healthy texts alarmed', digits: 2 },
      { key: 'ns', heading: 'ns CPU a unit', digits: 0 },
    ],
    rows: [
      { rule: 'Mai, all detectors and the gate', alarms: (100 * alarms) / samples.length, ns: nsAUnit },
      row('zlib ratio > 2.4 of the whole text, every 2,048 characters, stops at the first alarm', wholeTextRatio),
      row('eight words that came twice before, stops at the first alarm', repeatedWords),
    ],
  }
}

const root = process.cwd()
const own = typeof given.corpus === 'string' || typeof given.loops === 'string'
const reports: Report[] = []
if (typeof given.corpus === 'string') {
  const samples = linesOf(given.corpus).map((line, n): Sample => {
    const { text, kind, name } = line as { text: string; kind?: string; name?: string }
    return { kind: kind ?? 'text', name: name ?? `line ${n + 1}`, text }
  })
  reports.push(healthy(samples, `Healthy text of ${given.corpus}`).report)
}
if (typeof given.loops === 'string') {
  const words = wordsOf(assembleCorpus(root, 50_000).filter(({ kind }) => kind === 'Markdown'))
  reports.push(looping(linesOf(given.loops) as LoopCase[], words, `Loops of ${given.loops}`))
}
if (!own) {
  const samples = assembleCorpus(root, BYTES_A_KIND)
  const spoken = samples.filter(({ kind }) => ['prose', 'Markdown', 'changelog', 'licence', 'answer'].includes(kind))
  const all = healthy(samples, 'Healthy text of this machine')
  const alarms = all.report.rows.reduce((total, row) => total + (row.kind === 'all' ? Number(row.alarms) : 0), 0)
  const cases = [...loopsFrom(spoken, LOOPS, [false]), ...loopsFrom(spoken, NOISY_LOOPS, ['counting', 'one word', 'insertions', 0.05, 0.1])]
  reports.push(all.report, looping(cases, wordsOf(spoken), 'Loops made of the same text'), peers(samples, all.nsAUnit, alarms))
}
report(reports)
