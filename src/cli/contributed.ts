/**
 * Commands that plugins contribute: found in the configuration when the first word is none of Mai's own.
 *
 * @module
 */
import type { BaseContext } from 'clipanion'
import type { CommandContribution } from '../chat/extensions.ts'
import { MaiCommand } from './base.ts'
import { errorText, exitCodeOf } from './exit.ts'

/** Options that are Mai's before they are the command's. */
interface Split {
  readonly config: string | undefined
  readonly verbose: boolean
  readonly rest: readonly string[]
}

/** Takes `--config <file>` and `--verbose` out; behind `--` everything is the command's. */
function split(args: readonly string[]): Split {
  let config: string | undefined
  let verbose = false
  const rest: string[] = []
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? ''
    if (word === '--') {
      rest.push(...args.slice(index + 1))
      break
    }
    if (word === '--config') config = args[++index]
    else if (word.startsWith('--config=')) config = word.slice('--config='.length)
    else if (word === '--verbose') verbose = true
    else rest.push(word)
  }
  return { config, verbose, rest }
}

class ContributedCommand extends MaiCommand {
  readonly #name: string
  readonly #args: readonly string[]
  /** Names of all that were contributed, once Mai is open. */
  names: readonly string[] = []
  found = false

  constructor(name: string, { config, verbose, rest }: Split, context: BaseContext) {
    super()
    this.#name = name
    this.#args = rest
    this.context = context
    this.config = config
    this.verbose = verbose
    this.quiet = false
    this.noColor = false
  }

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const commands = mai.kernel.context.all('command')
      this.names = commands.map(({ name }) => name)
      const command = commands.find(({ name }) => name === this.#name)
      return command ? this.#run(command, mai) : 2
    })
  }

  async #run(command: CommandContribution, mai: Parameters<CommandContribution['run']>[1]['mai']): Promise<number> {
    this.found = true
    const { stdout, stderr } = this.context
    try {
      return await command.run(this.#args, { mai, stdout, stderr })
    } catch (error) {
      stderr.write(errorText(error, stderr))
      return exitCodeOf(error)
    }
  }
}

/**
 * Runs a plugin's command.
 * @returns its exit code; or, where no plugin has it, the names that plugins have
 */
export async function runContributed(args: readonly string[], context: BaseContext): Promise<number | readonly string[]> {
  const [name = '', ...rest] = args
  const command = new ContributedCommand(name, split(rest), context)
  try {
    const code = await command.run()
    return command.found ? code : command.names
  } catch (error) {
    // A configuration that does not load has no commands; `mai config validate` says why.
    if (!command.found) return []
    context.stderr.write(errorText(error, context.stderr))
    return exitCodeOf(error)
  }
}
