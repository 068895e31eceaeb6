/** `mai status`: the model in use, why, what is loaded, and the machine. */
import { Command, Option } from 'clipanion'
import type { Mai } from '../../chat/mai.ts'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'
import { statusLines, statusSummary } from '../status-view.ts'

/** Between two looks of `--watch`, in ms. */
const WATCH_MS = 2000

export class StatusCommand extends MaiCommand {
  static override paths = [['status']]
  static override usage = Command.Usage({
    description: 'The model in use and why, what is loaded, resources, store',
    examples: [
      ['Look', 'mai status'],
      ['Keep looking, until Ctrl-C', 'mai status --watch'],
      ['For scripts', 'mai status --json'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  watch: boolean = Option.Boolean('--watch', false, { description: 'Look again every 2 s; a line each where nothing can be repainted' })

  async run(): Promise<number> {
    if (this.watch && this.json) {
      throw new MaiError('MAI_USAGE', '--json gives one value, --watch many.', { cure: 'Give one of the two.' })
    }
    return this.withMai(async (mai) => {
      if (this.watch) return this.#watch(mai)
      const status = await mai.getSystemStatus()
      if (this.json) this.print({ ...status, reason: status.decision?.reason })
      else this.say(`${statusLines(status).join('\n')}\n`)
      return 0
    })
  }

  async #watch(mai: Mai): Promise<number> {
    const [{ Repainter }, { setTimeout: sleep }] = await Promise.all([import('../terminal/repainter.ts'), import('node:timers/promises')])
    const { stdout } = this.context
    const screen = this.escapes(stdout) ? new Repainter(stdout) : undefined
    const ended = new AbortController()
    this.onInterrupt = () => ended.abort()
    while (!ended.signal.aborted) {
      const status = await mai.getSystemStatus()
      if (screen) screen.paint(statusLines(status))
      else this.say(`${statusSummary(status, Date.now())}\n`)
      await sleep(WATCH_MS, undefined, { signal: ended.signal }).catch(() => {})
    }
    return 0
  }
}
