/** `mai plugins`: what runs. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'
import { neutraliseLine } from '../neutralise.ts'
import { table } from '../terminal/width.ts'

export class PluginsCommand extends MaiCommand {
  static override paths = [['plugins']]
  static override usage = Command.Usage({ description: 'Loaded plugins, their slots and boot times', examples: [['List', 'mai plugins']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const plugins = mai.kernel.plugins()
      if (this.json) this.print(plugins)
      else {
        const rows = plugins.map(({ name, version, slots, bootMs }) => [name, version ?? '–', slots.join(', '), `${bootMs.toFixed(1)} ms`])
        const commands = mai.kernel.context.all('command').map(({ name, summary }) => [`mai ${name}`, summary])
        const lines = table([['NAME', 'VERSION', 'SLOTS', 'BOOT'], ...rows].map((row) => row.map(neutraliseLine)))
        const more = commands.length > 0 ? ['', ...table(commands.map((row) => row.map(neutraliseLine)))] : []
        this.say(`${[...lines, ...more].join('\n')}\n`)
      }
      return 0
    })
  }
}
