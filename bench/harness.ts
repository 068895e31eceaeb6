/**
 * What all benchmarks share: medians, contenders measured in turn, and one way to print.
 * `--json` prints one JSON value on standard output and nothing else.
 *
 * @module
 */

/** A cell of a table: numbers are aligned to the right. */
export type Cell = string | number

/** A column: the property of a row it shows, and its heading, with the unit in it. */
export interface Column {
  readonly key: string
  readonly heading: string
  /** Digits after the point; default 1. */
  readonly digits?: number
}

/** One benchmark's result. */
export interface Report {
  readonly title: string
  readonly columns: readonly Column[]
  readonly rows: readonly Readonly<Record<string, Cell>>[]
  /** How it was measured, and against which goal. */
  readonly notes?: readonly string[]
}

/** The middle value; of an even count the mean of the middle two. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/** Measures once and returns the figure. */
export type Measurement = () => number | Promise<number>

/** All figures of one contender, in the order of the rounds. */
export interface Figures {
  readonly median: number
  readonly all: readonly number[]
}

/**
 * Measures contenders in turn, A B A B …, so that a noisy moment of the machine meets all of them alike.
 * Each round starts with the next contender; a first round warms up and is not counted.
 */
export async function alternate(contenders: Readonly<Record<string, Measurement>>, rounds: number): Promise<Map<string, Figures>> {
  const entries = Object.entries(contenders)
  const taken = new Map<string, number[]>(entries.map(([name]) => [name, []]))
  for (let round = 0; round <= rounds; round++) {
    for (let turn = 0; turn < entries.length; turn++) {
      const entry = entries[(turn + round) % entries.length]
      if (entry === undefined) continue
      const figure = await entry[1]()
      if (round > 0) taken.get(entry[0])?.push(figure)
    }
  }
  return new Map([...taken].map(([name, all]) => [name, { median: median(all), all }]))
}

/** Median over the rounds of the quotient of two contenders, taken round by round: steadier than the quotient of the medians. */
export function ratio(figures: ReadonlyMap<string, Figures>, ours: string, theirs: string): number {
  const base = figures.get(theirs)?.all ?? []
  return median((figures.get(ours)?.all ?? []).map((figure, round) => figure / (base[round] ?? Number.NaN)))
}

/** Whether the caller asked for JSON. */
export function wantsJson(argv: readonly string[] = process.argv): boolean {
  return argv.includes('--json')
}

/** Prints one report, or several that belong together. */
export function report(result: Report | readonly Report[]): void {
  const text = wantsJson() ? JSON.stringify(result) : [result].flat().map(formatReport).join('\n\n')
  process.stdout.write(`${text}\n`)
}

/** A report as an aligned table. */
export function formatReport({ title, columns, rows, notes = [] }: Report): string {
  const lines = [
    columns.map((column) => column.heading),
    ...rows.map((row) => columns.map((column) => formatCell(row[column.key], column))),
  ]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  const isNumber = columns.map((column) => rows.some((row) => typeof row[column.key] === 'number'))
  const table = lines.map((line) =>
    line
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return [title, '', ...table, ...(notes.length > 0 ? ['', ...notes] : [])].join('\n')
}

function formatCell(cell: Cell | undefined, { digits = 1 }: Column): string {
  if (typeof cell === 'number') return Number.isFinite(cell) ? cell.toFixed(digits) : '–'
  return cell ?? ''
}
