/**
 * Columns that text takes on a terminal: CJK and emoji two, combining marks none.
 *
 * @module
 */

/** Made on first use: it costs the start of a program some milliseconds. */
let segmenter: Intl.Segmenter | undefined

/** Characters as a person sees them. */
function* graphemes(text: string): Generator<string> {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  for (const { segment } of segmenter.segment(text)) yield segment
}

const PLAIN = /^[\u0020-\u007e]*$/
const NOTHING = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]/u
const EMOJI = /^(?:\p{Emoji_Presentation}|\p{Regional_Indicator}|\p{Extended_Pictographic}\ufe0f|[#*0-9]\ufe0f\u20e3)/u

/** East Asian Wide and Fullwidth (Unicode's EastAsianWidth.txt), in pairs of first and last code point. */
const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x20000, 0x3fffd],
]

/** Columns of one grapheme: 0, 1 or 2. */
function graphemeWidth(grapheme: string): number {
  if (EMOJI.test(grapheme)) return 2
  if (NOTHING.test(grapheme)) return 0
  const point = grapheme.codePointAt(0) ?? 0
  return point >= 0x1100 && WIDE.some(([first, last]) => point >= first && point <= last) ? 2 : 1
}

/** Columns of a text without line breaks. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length
  let width = 0
  for (const grapheme of graphemes(text)) width += graphemeWidth(grapheme)
  return width
}

/** As much of a text as fits, with `…` where something is missing. */
export function fitted(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text
  let kept = ''
  let width = 1
  for (const grapheme of graphemes(text)) {
    width += graphemeWidth(grapheme)
    if (width > columns) break
    kept += grapheme
  }
  return `${kept}…`
}

/** Pads to a number of columns. */
export function padded(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - textWidth(text)))
}

/** A list of names with what they mean: side by side where that fits, else the meaning wrapped below its name. */
export function definitions(rows: readonly (readonly [name: string, meaning: string])[], columns: number): string {
  const width = Math.max(...rows.map(([name]) => textWidth(name)))
  const fits = rows.every(([, meaning]) => width + 2 + textWidth(meaning) <= columns)
  const row = ([name, meaning]: readonly [string, string]): string =>
    fits
      ? `${padded(name, width)}  ${meaning}\n`
      : `${name}\n${wrapped(meaning, columns - 4)
          .map((line) => `    ${line}\n`)
          .join('')}`
  return rows.map(row).join('')
}

/** Lines of whole words. */
export function wrapped(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && textWidth(line) + 1 + textWidth(word) > columns) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}

/** Rows as columns, as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, textWidth(cell))), [])
  return rows.map((row) =>
    row
      .map((cell, i) => padded(cell, widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
