/** `mai switch`: pin a model for every Mai process, or let Mai choose again. */
import { Command, Option } from 'clipanion'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'
import { neutraliseLine } from '../neutralise.ts'

export class SwitchCommand extends MaiCommand {
  static override paths = [['switch']]
  static override usage = Command.Usage({
    description: 'Pin a model; running chats use it from their next message',
    examples: [
      ['Pin', 'mai switch llama-3.2-1b'],
      ['Let Mai choose again', 'mai switch --auto'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  auto: boolean = Option.Boolean('--auto', false, { description: 'Let Mai choose again' })
  key: string | undefined = Option.String({ required: false })

  async run(): Promise<number> {
    if (this.auto === (this.key !== undefined)) {
      throw new MaiError('MAI_USAGE', 'Give either a model or --auto.', { cure: 'mai models lists what there is.' })
    }
    return this.withMai(async (mai) => {
      const model = await mai.models.pin(this.key)
      if (this.json) this.print({ pinned: model ?? null })
      else this.say(model ? `pinned ${neutraliseLine(model)}\n` : 'Mai chooses again\n')
      return 0
    })
  }
}
