/**
 * Whether a stream may get escape sequences, and the few that Mai uses.
 *
 * @module
 */

/** A stream that may be a terminal. */
export interface Screen extends NodeJS.WritableStream {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/** True for a terminal whose owner has not asked for plain text (`NO_COLOR`, `TERM=dumb`, `--no-color`). */
export function allowsEscapes(
  stream: NodeJS.WritableStream,
  noColour: boolean,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return isTerminal(stream) && !noColour && !env.NO_COLOR && env.TERM !== 'dumb'
}

export function isTerminal(stream: NodeJS.WritableStream | NodeJS.ReadableStream): boolean {
  return 'isTTY' in stream && stream.isTTY === true
}

/** Columns of a terminal; 80 where it does not say. */
export function columnsOf(stream: Screen): number {
  return stream.columns !== undefined && stream.columns > 0 ? stream.columns : 80
}

const ESC = '\u001b['

/** Text in dim letters, where that is allowed. Each line is closed by itself, so that nothing leaks into what follows. */
export function dimmed(text: string, allowed: boolean): string {
  return allowed ? text.replace(/[^\n]+/g, (line) => `${ESC}2m${line}${ESC}0m`) : text
}

/** The sequence that sets exactly these attributes (SGR numbers); none resets. */
export function attributes(codes: readonly number[]): string {
  return `${ESC}${[0, ...codes].join(';')}m`
}
