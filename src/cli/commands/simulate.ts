/** `mai simulate`: policies on a recorded or made-up day, before anyone trusts them. */
import { Command, Option } from 'clipanion'
import type { SwitchingPolicy } from '../../chat/policy.ts'
import type { GeneratorName } from '../../chat/simulation/generators.ts'
import type { Trace } from '../../chat/simulation/trace.ts'
import { MaiError } from '../../core/errors.ts'
import { MaiCommand } from '../base.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** Longest trace that is made, in days. */
const MOST_DAYS = 365

const usage = (problem: string, cure: string): MaiError => new MaiError('MAI_USAGE', problem, { cure })

export class SimulateCommand extends MaiCommand {
  static override paths = [['simulate']]
  static override usage = Command.Usage({
    description: 'Try switching policies on a recorded or made-up day',
    details: `
      Without --trace and --generator: what the log of this machine recorded in the last days.
      Beside the policies given, or the configured one, run "largest that fits" and "always smallest";
      an oracle that knows the future gives the bound.
      Generators: steady, bursty, daily, memory-hog, failing-model, flapping-server.
    `,
    examples: [
      ['The last week of this machine', 'mai simulate --days 7'],
      ['A made-up day', 'mai simulate --generator bursty --seed 7'],
      ['A policy of your own, with a picture', 'mai simulate --generator daily --policy ./mine.ts --svg day.svg'],
      ['Keep a trace, and use it again', 'mai simulate --generator memory-hog --save hog.jsonl'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  trace: string | undefined = Option.String('--trace', { description: 'Use this trace: JSON lines, see docs/simulate.md' })
  generator: string | undefined = Option.String('--generator', { description: 'Make a trace of this kind' })
  seed: string = Option.String('--seed', '1', { description: 'Of the made trace: the same seed, the same trace' })
  days: string | undefined = Option.String('--days', { description: 'Length of the made trace, or how far to look back; default 1' })
  policy: string[] | undefined = Option.Array('--policy', {
    description: 'A file with a policy, or with a plugin that provides one; repeatable',
  })
  svg: string | undefined = Option.String('--svg', { description: 'Write a picture of the timeline to this file' })
  save: string | undefined = Option.String('--save', { description: 'Write the trace to this file' })

  async run(): Promise<number> {
    if (this.trace !== undefined && this.generator !== undefined)
      throw usage('--trace and --generator both say which trace.', 'Give one of the two.')
    const days = this.#number(this.days ?? '1', '--days', 1 / 24, MOST_DAYS)
    const seed = this.#number(this.seed, '--seed', 0, 2 ** 32 - 1)
    const trace = await this.#readTrace(seed, days)
    const [{ alwaysSmallest, largestThatFits }, { compare }, { writeFile }] = await Promise.all([
      import('../../chat/simulation/baselines.ts'),
      import('../simulate/compare.ts'),
      import('node:fs/promises'),
    ])
    const comparison = compare(trace, [...(await this.#policies()), largestThatFits, alwaysSmallest])
    if (this.save !== undefined) {
      const { traceText } = await import('../../chat/simulation/trace.ts')
      await writeFile(this.save, traceText(trace)).catch(unwritable(this.save))
    }
    if (this.svg !== undefined) {
      const { timelineSvg } = await import('../simulate/timeline.ts')
      await writeFile(this.svg, timelineSvg(comparison)).catch(unwritable(this.svg))
    }
    if (this.json) {
      const { machine, models, events } = trace
      const about = { ...machine, models: models.length, messages: events.filter(({ type }) => type === 'message').length }
      this.print({ trace: about, oracle: comparison.oracle, results: comparison.results })
    } else {
      const { comparisonLines } = await import('../simulate/view.ts')
      this.say(`${comparisonLines(comparison).join('\n')}\n`)
    }
    return 0
  }

  async #readTrace(seed: number, days: number): Promise<Trace> {
    if (this.generator !== undefined) {
      const { GENERATORS, generateTrace } = await import('../../chat/simulation/generators.ts')
      const name = GENERATORS.find((known): known is GeneratorName => known === this.generator)
      if (name) return generateTrace(name, seed, days)
      throw usage(`There is no generator "${this.generator}".`, `There are ${GENERATORS.join(', ')}.`)
    }
    if (this.trace !== undefined) {
      const file = this.trace
      const [{ parseTrace }, { readFile }] = await Promise.all([import('../../chat/simulation/trace.ts'), import('node:fs/promises')])
      const text = await readFile(file, 'utf8').catch((cause: Error) => {
        throw new MaiError('MAI_USAGE', `${file} cannot be read: ${cause.message}`, { cure: 'Check its name.', cause })
      })
      return parseTrace(text, file)
    }
    const { recordedTrace } = await import('../../chat/simulation/recorded.ts')
    const trace = await this.withMai((mai) => recordedTrace(mai.store, Date.now() - days * DAY_MS))
    if (trace) return trace
    throw usage(
      `Nothing was asked in the last ${days === 1 ? 'day' : `${days} days`}.`,
      'Look further back with --days, or make a trace with --generator.',
    )
  }

  /** Those named, else the configured one. */
  async #policies(): Promise<readonly SwitchingPolicy[]> {
    if (this.policy === undefined) return [await this.withMai(async (mai) => mai.kernel.context.use('policy'))]
    const { loadPolicy } = await import('../../config/load-policy.ts')
    const loaded: SwitchingPolicy[] = []
    for (const file of this.policy) loaded.push(await loadPolicy(file))
    return loaded
  }

  #number(text: string, option: string, least: number, most: number): number {
    const value = Number(text)
    if (text.trim() !== '' && value >= least && value <= most) return value
    throw usage(`${option} wants a number from ${Number(least.toFixed(2))} to ${most}, not "${text}".`, `Write ${option} 7, say.`)
  }
}

function unwritable(file: string): (cause: Error) => never {
  return (cause) => {
    throw new MaiError('MAI_USAGE', `${file} cannot be written: ${cause.message}`, { cure: 'Check its folder.', cause })
  }
}
