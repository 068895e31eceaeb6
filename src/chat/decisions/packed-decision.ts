/**
 * An answer of the policy in few characters, with nothing lost: what it thought of each model stands as one text, which
 * a reader of the whole log passes over without looking into it.
 *
 * @module
 */
import type { Candidate, Decision, ScoredCandidate } from '../policy.ts'

/** A decision as the log keeps it; models go by their place in the list of candidates. */
export type PackedDecision = Omit<Decision, 'candidates' | 'fallbacks'> & {
  readonly fallbacks: readonly number[] | typeof RANKED | typeof BY_SCORE
  readonly candidates: Rows | Columns
}

/** Fallbacks are all others that were not left out, the best first; equals in the order of the candidates. */
const RANKED = 'ranked'
/** The same in records of former versions, with equals in the order of their names. */
const BY_SCORE = 'by-score'

/**
 * Each model's score in thousandths, to the base 36, then a capital letter for the rule that left it out: A none, B the
 * first, and so on. `2t8A1z4B` is 3.644, and 2.56 left out.
 */
interface Rows {
  readonly rules: readonly string[]
  readonly rows: string
}

/** For scores that are no thousandths, and in records of former versions. Rules name places. */
interface Columns {
  readonly scores: readonly number[]
  readonly excluded: Readonly<Record<string, readonly number[]>>
}

const THOUSAND = 1000
const BASE = 36
const LETTERS = 26
const NO_RULE = 'A'.charCodeAt(0)

/** @returns undefined where a policy named models that it was not asked about, or rows in an order of its own */
export function packDecision({ fallbacks, candidates: rows, ...rest }: Decision, all: readonly Candidate[]): PackedDecision | undefined {
  if (rows.length !== all.length || rows.some(({ model }, place) => model !== all[place]?.model)) return undefined
  const usual = ranked(rows, rest.model)
  if (usual.length === fallbacks.length && usual.every((model, index) => model === fallbacks[index])) {
    return { ...rest, fallbacks: RANKED, candidates: packRows(rows) ?? packColumns(rows) }
  }
  const places = new Map(all.map(({ model }, place) => [model, place]))
  const order = fallbacks.map((model) => places.get(model))
  if (order.includes(undefined)) return undefined
  return { ...rest, fallbacks: order.flatMap((place) => place ?? []), candidates: packRows(rows) ?? packColumns(rows) }
}

/** Rows and fallbacks are made when somebody asks for them: hardly any reader of the log does, and a long log has millions. */
export function unpackDecision({ fallbacks, candidates: rows, ...rest }: PackedDecision, all: readonly Candidate[]): Decision {
  let readRows: readonly ScoredCandidate[] | undefined
  let readFallbacks: readonly string[] | undefined
  return {
    ...rest,
    get candidates() {
      readRows ??= 'rows' in rows ? unpackRows(rows, all) : unpackColumns(rows, all)
      return readRows
    },
    get fallbacks() {
      readFallbacks ??= unpackFallbacks(fallbacks, this.candidates, rest.model)
      return readFallbacks
    },
  }
}

function unpackFallbacks(fallbacks: PackedDecision['fallbacks'], rows: readonly ScoredCandidate[], chosen: string | undefined): string[] {
  if (fallbacks === RANKED) return ranked(rows, chosen)
  if (fallbacks === BY_SCORE) return ranked(rows, chosen, (a, b) => (a.model < b.model ? -1 : 1))
  return fallbacks.flatMap((place) => rows[place]?.model ?? [])
}

function ranked(
  rows: readonly ScoredCandidate[],
  chosen: string | undefined,
  ofEquals: (a: ScoredCandidate, b: ScoredCandidate) => number = () => 0,
): string[] {
  return rows
    .filter((row) => row.excluded === undefined && row.model !== chosen)
    .sort((a, b) => b.score - a.score || ofEquals(a, b))
    .map((row) => row.model)
}

/** @returns undefined where a score would not come back bit for bit: no thousandths, too large, minus zero */
function packRows(rows: readonly ScoredCandidate[]): Rows | undefined {
  const rules: string[] = []
  let text = ''
  for (const { score, excluded } of rows) {
    const thousandths = Math.round(score * THOUSAND)
    const same = Object.is(thousandths / THOUSAND, score) && !Object.is(score, -0)
    if (!Number.isSafeInteger(thousandths) || !same) return undefined
    if (excluded !== undefined && !rules.includes(excluded)) rules.push(excluded)
    const rule = excluded === undefined ? 0 : rules.indexOf(excluded) + 1
    text += thousandths.toString(BASE) + String.fromCharCode(NO_RULE + rule)
  }
  return rules.length < LETTERS ? { rules, rows: text } : undefined
}

function unpackRows({ rules, rows }: Rows, all: readonly Candidate[]): ScoredCandidate[] {
  const written = rows.match(/[^A-Z]+[A-Z]/g) ?? []
  return all.map(({ model }, place) => {
    const text = written[place] ?? '0A'
    const rule = text.charCodeAt(text.length - 1) - NO_RULE
    return scored(model, Number.parseInt(text.slice(0, -1), BASE) / THOUSAND, rule === 0 ? undefined : rules[rule - 1])
  })
}

function packColumns(rows: readonly ScoredCandidate[]): Columns {
  const excluded: Record<string, number[]> = {}
  for (const [place, row] of rows.entries()) {
    if (row.excluded === undefined) continue
    excluded[row.excluded] ??= []
    excluded[row.excluded]?.push(place)
  }
  return { scores: rows.map(({ score }) => score), excluded }
}

function unpackColumns({ scores, excluded }: Columns, all: readonly Candidate[]): ScoredCandidate[] {
  const rules = new Map(Object.entries(excluded).flatMap(([rule, places]) => places.map((place) => [place, rule] as const)))
  return all.map(({ model }, place) => scored(model, scores[place] ?? 0, rules.get(place)))
}

function scored(model: string, score: number, excluded: string | undefined): ScoredCandidate {
  return excluded === undefined ? { model, score } : { model, score, excluded }
}
