/** `mai explain`: why that model, and why that switch, replayed from the log. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'

export class ExplainCommand extends MaiCommand {
  static override paths = [['explain']]
  static override usage = Command.Usage({
    description: 'Why a turn went as it went: each decision, replayed from the log',
    details: 'Without an id: the last turn. The beginning of an id will do where it is the only one. Scores and rules are those of then.',
    examples: [
      ['The last turn', 'mai explain'],
      ['Another', 'mai explain 1a2b3c4d'],
      ['With all inputs', 'mai explain --json'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  turn: string | undefined = Option.String({ required: false })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const [{ explainTurn }, { explanationLines }] = await Promise.all([
        import('../../chat/decisions/explanation.ts'),
        import('../explain/view.ts'),
      ])
      const explanation = await explainTurn(mai.store, mai.kernel.context.use('policy'), this.turn)
      if (this.json) this.print(explanation ?? null)
      else this.say(explanation ? `${explanationLines(explanation).join('\n')}\n` : 'Nothing has been answered yet.\n')
      return 0
    })
  }
}
