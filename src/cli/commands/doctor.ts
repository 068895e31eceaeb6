/** `mai doctor`: what is wrong, and the cure. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'
import { neutraliseLine } from '../neutralise.ts'

const MARKS = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const

export class DoctorCommand extends MaiCommand {
  static override paths = [['doctor']]
  static override usage = Command.Usage({
    description: 'Check Node, configuration, backends, models, memory, disk',
    details: 'Each problem comes with its cure. Ends with 1 when something keeps Mai from answering.',
    examples: [['Check', 'mai doctor']],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    const { checkMai, checkNode, checkOpened } = await import('../doctor.ts')
    const findings = [checkNode(process.versions.node)]
    try {
      findings.push(...(await this.withMai(checkMai)))
    } catch (error) {
      findings.push(checkOpened(error))
    }
    if (this.json) this.print(findings)
    else {
      for (const { name, state, text, cure } of findings) {
        this.say(`${MARKS[state]}  ${name.padEnd(9)} ${neutraliseLine(text)}\n`)
        if (cure !== undefined) this.say(`${' '.repeat(16)}${neutraliseLine(cure)}\n`)
      }
    }
    return findings.some(({ state }) => state === 'fail') ? 1 : 0
  }
}
