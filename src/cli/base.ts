/**
 * What every command shares: options, opening Mai, output, and the way errors leave.
 *
 * @module
 */
import { Command, Option } from 'clipanion'
import type { Mai } from '../chat/mai.ts'
import { MaiError } from '../core/errors.ts'
import { errorJson, errorText, exitCodeOf } from './exit.ts'
import { jsonText } from './json-text.ts'
import { closeBeforeLeaving, leave, SIGNAL_CODES } from './leaving.ts'
import { neutralise } from './neutralise.ts'
import { allowsEscapes, isTerminal } from './terminal/colour.ts'

/** Signals that end the program when a command does not take them itself. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** A command that ends in an exit code, whatever happens. */
export abstract class MaiCommand extends Command {
  config: string | undefined = Option.String('--config', { description: 'Use this configuration file' })
  verbose: boolean = Option.Boolean('--verbose', false, { description: 'Say more, on standard error' })
  quiet: boolean = Option.Boolean('--quiet', false, { description: 'Say only what was asked for, plainly' })
  noColor: boolean = Option.Boolean('--no-color', false, { description: 'No colours and no other escape sequences' })
  json = false
  /** Takes Ctrl-C instead of the end of the program. */
  protected onInterrupt: (() => void) | undefined

  /** The command itself. @returns the exit code */
  abstract run(): Promise<number>

  async execute(): Promise<number> {
    try {
      return await this.run()
    } catch (error) {
      this.fail(error)
      return exitCodeOf(error)
    }
  }

  /** Says what went wrong: one JSON value where that was asked for, else words on standard error. */
  protected fail(error: unknown): void {
    if (this.json) this.print({ error: errorJson(error) })
    else this.context.stderr.write(errorText(error, this.context.stderr))
  }

  /** One JSON value on standard output. */
  print(value: unknown): void {
    this.context.stdout.write(jsonText(value))
  }

  /** Text for people on standard output, with what came from elsewhere made safe. */
  say(text: string): void {
    this.context.stdout.write(neutralise(text))
  }

  /** A word beside the answer, on standard error; not with `--quiet`. */
  notice(text: string): void {
    if (!this.quiet) this.context.stderr.write(`mai: ${neutralise(text)}\n`)
  }

  /** Whether a stream may get escape sequences. */
  escapes(stream: NodeJS.WritableStream): boolean {
    return allowsEscapes(stream, this.noColor || this.quiet)
  }

  /** Standard error as a place for a line that is repainted; undefined where nothing may be. */
  get statusScreen(): NodeJS.WritableStream | undefined {
    const { stderr } = this.context
    return this.escapes(stderr) && !this.verbose ? stderr : undefined
  }

  /** The error of work that a signal ended. */
  interruption(cure: string): Error {
    return new MaiError('MAI_CANCELLED', 'It was stopped.', { cure })
  }

  /** Whether a person sees standard output as it is written. */
  get onTerminal(): boolean {
    return isTerminal(this.context.stdout)
  }

  /** Opens Mai and ends it whatever happens, also by a signal. */
  async withMai<T>(work: (mai: Mai) => Promise<T>): Promise<T> {
    const { openMai } = await import('../config/open.ts')
    const mai = await openMai({ file: this.config, verbose: this.verbose })
    const forget = closeBeforeLeaving(() => mai.shutdown())
    const onSignal = (signal: (typeof SIGNALS)[number]): void => {
      if (signal === 'SIGINT' && this.onInterrupt) this.onInterrupt()
      else leave(SIGNAL_CODES[signal], true)
    }
    for (const signal of SIGNALS) process.on(signal, onSignal)
    try {
      return await work(mai)
    } finally {
      await mai.shutdown()
      forget()
      for (const signal of SIGNALS) process.off(signal, onSignal)
    }
  }
}
