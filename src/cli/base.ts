/**
 * What every command shares: options, opening Mai, output, and the way errors leave.
 *
 * @module
 */
import { Command, Option } from 'clipanion'
import type { Mai } from '../chat/mai.ts'
import { errorJson, errorText, exitCodeOf } from './exit.ts'

/** A command that ends in an exit code, whatever happens. */
export abstract class MaiCommand extends Command {
  config: string | undefined = Option.String('--config', { description: 'Use this configuration file' })
  verbose: boolean = Option.Boolean('--verbose', false, { description: 'Say more, on standard error' })
  json = false

  /** The command itself. @returns the exit code */
  abstract run(): Promise<number>

  async execute(): Promise<number> {
    try {
      return await this.run()
    } catch (error) {
      if (this.json) this.print({ error: errorJson(error) })
      else this.context.stderr.write(errorText(error))
      return exitCodeOf(error)
    }
  }

  /** One JSON value on standard output. */
  print(value: unknown): void {
    this.context.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  }

  /** Opens Mai, ends it whatever happens, and lets SIGTERM and SIGHUP end it cleanly. */
  async withMai<T>(work: (mai: Mai) => Promise<T>): Promise<T> {
    const { openMai } = await import('../config/open.ts')
    const mai = await openMai({ file: this.config, verbose: this.verbose })
    const stop = (signal: NodeJS.Signals): void => {
      const code = signal === 'SIGTERM' ? 143 : 129
      void mai.shutdown().finally(() => process.exit(code))
    }
    process.once('SIGTERM', stop).once('SIGHUP', stop)
    try {
      return await work(mai)
    } finally {
      process.off('SIGTERM', stop).off('SIGHUP', stop)
      await mai.shutdown()
    }
  }
}
