/** `mai models`: what there is, and loading by hand. */
import { Command, Option } from 'clipanion'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'
import { neutralise } from '../neutralise.ts'

const gib = (bytes: number | undefined): string => (bytes === undefined ? '–' : `${(bytes / 2 ** 30).toFixed(1)} GiB`)

export class ModelsCommand extends MaiCommand {
  static override paths = [['models'], ['models', 'list']]
  static override usage = Command.Usage({ description: 'All models: size, window, whether they fit', examples: [['List', 'mai models']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const rows = await mai.models.rows()
      if (this.json) {
        this.print(rows.map(({ model, ...rest }) => ({ ...model, ...rest })))
        return 0
      }
      const table = rows.map(({ model, fits, state }) => [
        model.key,
        gib(model.sizeBytes),
        model.quantisation?.name ?? '–',
        String(model.maxContextLength),
        fits ? 'fits' : 'too big now',
        state,
      ])
      const all = [['KEY', 'SIZE', 'QUANT', 'WINDOW', 'MEMORY', 'STATE'], ...table]
      const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? []
      for (const row of all)
        this.context.stdout.write(
          `${neutralise(
            row
              .map((cell, i) => cell.padEnd(widths[i] ?? 0))
              .join('  ')
              .trimEnd(),
          )}\n`,
        )
      return 0
    })
  }
}

export class ModelsShowCommand extends MaiCommand {
  static override paths = [['models', 'show']]
  static override usage = Command.Usage({ description: 'One model', examples: [['Show', 'mai models show llama-3.2-1b']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  key: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const model = await mai.models.resolve(this.key)
      if (this.json) this.print(model)
      else
        for (const [name, value] of Object.entries(model))
          this.context.stdout.write(`${name.padEnd(18)}${neutralise(JSON.stringify(value) ?? '–')}\n`)
      return 0
    })
  }
}

export class ModelsLoadCommand extends MaiCommand {
  static override paths = [['models', 'load']]
  static override usage = Command.Usage({
    description: 'Load a model',
    examples: [['Load', 'mai models load llama-3.2-1b --context 8192']],
  })
  contextLength: string | undefined = Option.String('--context', { description: 'Window, in tokens' })
  key: string = Option.String()

  async run(): Promise<number> {
    const contextLength = this.contextLength === undefined ? undefined : Number(this.contextLength)
    if (contextLength !== undefined && !(Number.isInteger(contextLength) && contextLength > 0)) {
      throw new MaiError('MAI_USAGE', '--context wants a number of tokens.', { cure: 'Write --context 8192, say.' })
    }
    return this.withMai(async (mai) => {
      const instance = await mai.models.loadModel(this.key, contextLength === undefined ? {} : { contextLength })
      this.context.stdout.write(`loaded ${neutralise(instance.model)} with ${instance.contextLength} tokens\n`)
      return 0
    })
  }
}

export class ModelsUnloadCommand extends MaiCommand {
  static override paths = [['models', 'unload']]
  static override usage = Command.Usage({ description: 'Unload a model', examples: [['Unload', 'mai models unload llama-3.2-1b']] })
  key: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const count = await mai.models.unloadModel(this.key)
      this.context.stdout.write(count === 0 ? 'it was not loaded\n' : `unloaded ${count}\n`)
      return 0
    })
  }
}
