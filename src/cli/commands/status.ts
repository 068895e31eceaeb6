/** `mai status`: the model in use, why, what is loaded, and the machine. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'
import { neutralise } from '../neutralise.ts'

const GIB = 2 ** 30

/** A share as a bar of ten. */
const bar = (share: number): string => '█'.repeat(Math.round(share * 10)).padEnd(10, '░')

export class StatusCommand extends MaiCommand {
  static override paths = [['status']]
  static override usage = Command.Usage({
    description: 'The model in use and why, what is loaded, resources, store',
    examples: [
      ['Look', 'mai status'],
      ['For scripts', 'mai status --json'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const status = await mai.getSystemStatus()
      const reason = status.decision?.reason
      if (this.json) {
        this.print({ ...status, reason })
        return 0
      }
      const { memory, cpu, level } = status.resources
      const used = 1 - memory.availableBytes / memory.totalBytes
      const lines = [
        `model    ${status.model ?? 'none'}${reason ? ` (${reason})` : ''}${status.pinned ? `, pinned ${status.pinned}` : ''}`,
        `loaded   ${status.loaded.map((i) => `${i.model} (${i.contextLength} tokens)`).join(', ') || 'nothing'}`,
        `memory   ${bar(used)} ${((memory.totalBytes - memory.availableBytes) / GIB).toFixed(1)} of ${(memory.totalBytes / GIB).toFixed(1)} GiB, ${level}`,
        `cpu      ${bar(cpu.load)} ${Math.round(cpu.load * 100)} % of ${cpu.cores} cores`,
        ...status.backends.map(
          (b) =>
            `backend  ${b.name}${b.remote ? ' (remote)' : ''}: ${b.connected ? `${b.models} models` : (b.error?.message ?? 'not connected')}`,
        ),
        `store    ${status.store.location}, ${status.store.sessions} sessions`,
        `config   ${status.configFile ?? 'built-in'}`,
      ]
      this.context.stdout.write(`${lines.map(neutralise).join('\n')}\n`)
      return 0
    })
  }
}
