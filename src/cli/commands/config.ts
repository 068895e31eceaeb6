/** `mai config`, `mai plugins`: what Mai runs with. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'
import { neutralise } from '../neutralise.ts'

export class ConfigPathCommand extends MaiCommand {
  static override paths = [['config'], ['config', 'path'], ['config', 'validate']]
  static override usage = Command.Usage({
    description: 'Which configuration file is used; an error when it is broken',
    examples: [['Check', 'mai config validate']],
  })

  async run(): Promise<number> {
    const { loadConfig } = await import('../../config/load.ts')
    const { file } = await loadConfig({ file: this.config })
    this.context.stdout.write(`${file ?? 'no file: the built-in default set runs'}\n`)
    return 0
  }
}

export class PluginsCommand extends MaiCommand {
  static override paths = [['plugins']]
  static override usage = Command.Usage({ description: 'Loaded plugins, their slots and boot times', examples: [['List', 'mai plugins']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const plugins = mai.kernel.plugins()
      if (this.json) this.print(plugins)
      else
        for (const { name, slots, bootMs } of plugins) {
          this.context.stdout.write(`${neutralise(name).padEnd(16)}${slots.join(', ').padEnd(24)}${bootMs.toFixed(1)} ms\n`)
        }
      return 0
    })
  }
}
