/** `mai config`: where the configuration is, what it amounts to, whether it is sound. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'
import { neutraliseLine } from '../neutralise.ts'
import { table } from '../terminal/width.ts'

const NO_FILE = 'no file: the built-in default set runs'

export class ConfigPathCommand extends MaiCommand {
  static override paths = [['config'], ['config', 'path']]
  static override usage = Command.Usage({ description: 'Which configuration file is used', examples: [['Where', 'mai config path']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    const { loadConfig } = await import('../../config/load.ts')
    const { file } = await loadConfig({ file: this.config })
    if (this.json) this.print({ file: file ?? null })
    else this.say(`${file ?? NO_FILE}\n`)
    return 0
  }
}

export class ConfigShowCommand extends MaiCommand {
  static override paths = [['config', 'show']]
  static override usage = Command.Usage({
    description: 'Effective values, each with where it came from',
    details: 'Secrets are not shown.',
    examples: [
      ['Show', 'mai config show'],
      ['Of another file', 'mai config show --config other.config.ts'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    const [{ loadConfig }, { configValues }] = await Promise.all([import('../../config/load.ts'), import('../config-view.ts')])
    const loaded = await loadConfig({ file: this.config })
    const values = configValues(loaded, process.env)
    if (this.json) this.print({ file: loaded.file ?? null, values })
    else {
      const rows = values.map(({ name, value, source }) => [name, JSON.stringify(value) ?? '–', source === loaded.file ? 'file' : source])
      this.say(`${loaded.file ?? NO_FILE}\n\n`)
      for (const line of table(rows.map((row) => row.map(neutraliseLine)))) this.say(`${line}\n`)
    }
    return 0
  }
}

export class ConfigValidateCommand extends MaiCommand {
  static override paths = [['config', 'validate']]
  static override usage = Command.Usage({
    description: 'Whether the configuration is sound: loads it and boots its plugins',
    details: 'Ends with 78 and one error that names file, plugin and cure where it is not.',
    examples: [['Check', 'mai config validate']],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const { configFile } = await mai.getSystemStatus()
      const plugins = mai.kernel.plugins().map(({ name }) => name)
      if (this.json) this.print({ file: configFile ?? null, valid: true, plugins })
      else this.say(`${configFile ?? NO_FILE}\nsound, with ${plugins.join(', ')}\n`)
      return 0
    })
  }
}
