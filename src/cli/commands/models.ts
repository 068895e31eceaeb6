/** `mai models`: what there is, what it needs, and loading by hand. */
import { Command, Option } from 'clipanion'
import type { ModelRow } from '../../chat/status.ts'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'
import { neutralise, neutraliseLine } from '../neutralise.ts'
import { bytesText, type Progress, progressText } from '../terminal/progress.ts'
import { StatusLine } from '../terminal/status-line.ts'
import { table } from '../terminal/width.ts'

/** @throws MaiError `MAI_USAGE` for what is no number of tokens */
function tokens(text: string | undefined): { readonly contextLength?: number } {
  if (text === undefined) return {}
  const contextLength = Number(text)
  if (Number.isInteger(contextLength) && contextLength > 0) return { contextLength }
  throw new MaiError('MAI_USAGE', `--context wants a number of tokens, not "${text}".`, { cure: 'Write --context 8192, say.' })
}

/** Cells of a row of the list. */
function cells({ model, fits, state }: ModelRow): string[] {
  const { key, backend, sizeBytes, quantisation, maxContextLength } = model
  const row = [
    key,
    backend,
    sizeBytes === undefined ? '–' : bytesText(sizeBytes),
    quantisation?.name ?? '–',
    String(maxContextLength),
    fits ? 'yes' : 'no',
    state,
  ]
  return row.map(neutraliseLine)
}

export class ModelsCommand extends MaiCommand {
  static override paths = [['models'], ['models', 'list']]
  static override usage = Command.Usage({
    description: 'All models: size, window, whether they fit',
    examples: [
      ['List', 'mai models'],
      ['For scripts', "mai models --json | jq -r '.[] | select(.fits) | .key'"],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const rows = await mai.models.rows()
      if (this.json) this.print(rows.map(({ model, ...rest }) => ({ ...model, ...rest })))
      else
        for (const line of table([['KEY', 'BACKEND', 'SIZE', 'QUANT', 'WINDOW', 'FITS NOW', 'STATE'], ...rows.map(cells)]))
          this.say(`${line}\n`)
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
      else for (const [name, value] of Object.entries(model)) this.say(`${name.padEnd(18)}${neutralise(JSON.stringify(value) ?? '–')}\n`)
      return 0
    })
  }
}

export class ModelsLoadCommand extends MaiCommand {
  static override paths = [['models', 'load']]
  static override usage = Command.Usage({
    description: 'Load a model',
    details: 'Ctrl-C ends the load, and leaves nothing in memory.',
    examples: [['Load', 'mai models load llama-3.2-1b --context 8192']],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  contextLength: string | undefined = Option.String('--context', { description: 'Window, in tokens' })
  key: string = Option.String()

  async run(): Promise<number> {
    const options = tokens(this.contextLength)
    return this.withMai(async (mai) => {
      const line = new StatusLine(this.statusScreen)
      const began = Date.now()
      let progress: Progress = { began, fraction: 0, at: began }
      const paint = (): void => line.show(progressText(`loading ${this.key}`, progress, Date.now()))
      const clock = setInterval(paint, 250)
      const onProgress = (fraction: number): void => {
        progress = { began, fraction, at: Date.now() }
        paint()
      }
      try {
        const instance = await mai.models.loadModel(this.key, { ...options, onProgress })
        line.clear()
        if (this.json) this.print(instance)
        else this.say(`loaded ${neutraliseLine(instance.model)} with ${instance.contextLength} tokens\n`)
      } finally {
        clearInterval(clock)
        line.clear()
      }
      return 0
    })
  }
}

export class ModelsUnloadCommand extends MaiCommand {
  static override paths = [['models', 'unload']]
  static override usage = Command.Usage({ description: 'Unload a model', examples: [['Unload', 'mai models unload llama-3.2-1b']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  key: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const unloaded = await mai.models.unloadModel(this.key)
      if (this.json) this.print({ unloaded })
      else this.say(unloaded === 0 ? 'it was not loaded\n' : `unloaded ${unloaded}\n`)
      return 0
    })
  }
}
