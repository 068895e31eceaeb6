/**
 * Options that `chat` and `ask` share.
 *
 * @module
 */
import { Option } from 'clipanion'
import type { Mai } from '../chat/mai.ts'
import type { Part } from '../chat/message.ts'
import type { Reply, SendOptions } from '../chat/reply.ts'
import { MaiError } from '../core/errors.ts'
import { MaiCommand } from './base.ts'
import { neutralise } from './neutralise.ts'
import type { AnswerPlace } from './terminal/answer-view.ts'

const IMAGES: Readonly<Record<string, string>> = { '.png': 'image/png', '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg', '.webp': 'image/webp' }

/** A command that talks to models. */
export abstract class TalkCommand extends MaiCommand {
  continued: boolean = Option.Boolean('--continue', false, { description: 'Go on with the latest session' })
  session: string | undefined = Option.String('--session', { description: 'Go on with this session' })
  model: string | undefined = Option.String('--model', { description: 'Use this model' })
  system: string | undefined = Option.String('--system', { description: 'A system prompt' })
  temperature: string | undefined = Option.String('--temperature', { description: 'How freely words are chosen, from 0' })
  topP: string | undefined = Option.String('--top-p', { description: 'Share of likely words to choose from, 0 to 1' })
  maxTokens: string | undefined = Option.String('--max-tokens', { description: 'Longest answer, in tokens' })
  stop: string[] | undefined = Option.Array('--stop', { description: 'End the answer before this text' })
  seed: string | undefined = Option.String('--seed', { description: 'The same seed gives the same answer, where an engine can' })
  yes: boolean = Option.Boolean('--yes', false, { description: 'Fetch a model where there is none, without asking' })
  image: string[] | undefined = Option.Array('--image', { description: 'Attach a picture' })

  /** Opens the session that was asked for. */
  async openSession(mai: Mai): Promise<void> {
    if (this.session !== undefined) await mai.openSession({ id: this.session })
    else if (this.continued) await mai.openSession({ latest: true })
  }

  /** @throws MaiError `MAI_USAGE` for something that is not a number */
  sendOptions(): SendOptions {
    const sampling = {
      ...numeric('temperature', '--temperature', this.temperature),
      ...numeric('topP', '--top-p', this.topP),
      ...numeric('maxTokens', '--max-tokens', this.maxTokens),
      ...numeric('seed', '--seed', this.seed),
      ...(this.stop ? { stop: this.stop } : {}),
    }
    return {
      sampling,
      ...(this.model === undefined ? {} : { model: this.model }),
      ...(this.system === undefined ? {} : { system: this.system }),
    }
  }

  /** Where answers go. */
  get answerPlace(): AnswerPlace {
    const out = this.context.stdout
    return { out, onTerminal: this.onTerminal, escapes: this.escapes(out), reasoning: this.onTerminal && !this.quiet }
  }

  /** Speeds, on standard error, where they were asked for. */
  sayTiming({ model, timing, usage }: Reply): void {
    if (!this.verbose) return
    const { firstTextMs, tokensPerSecond, totalMs } = timing
    const first = firstTextMs === undefined ? 'no text' : `first text after ${Math.round(firstTextMs)} ms`
    const speed = tokensPerSecond === undefined ? '' : `, ${tokensPerSecond.toFixed(1)} tokens/s`
    this.context.stderr.write(
      `${neutralise(model)}: ${first}${speed}, ${usage.promptTokens} + ${usage.completionTokens} tokens in ${Math.round(totalMs)} ms\n`,
    )
  }

  /** @throws MaiError `MAI_USAGE` for a file that is no picture */
  async images(): Promise<Part[]> {
    if (!this.image) return []
    const [{ readFile }, path] = await Promise.all([import('node:fs/promises'), import('node:path')])
    return Promise.all(
      this.image.map(async (file) => {
        const mediaType = IMAGES[path.extname(file).toLowerCase()]
        if (!mediaType) throw usage(`${file} is not a picture.`, 'Attach a .png, .jpg or .webp file.')
        const data = await readFile(file).catch((cause: Error) => {
          throw usage(`${file} cannot be read: ${cause.message}`, 'Check its name.')
        })
        return { type: 'image' as const, mediaType, data: data.toString('base64') }
      }),
    )
  }
}

function usage(problem: string, cure: string): MaiError {
  return new MaiError('MAI_USAGE', problem, { cure })
}

function numeric<K extends string>(key: K, flag: string, text: string | undefined): Partial<Record<K, number>> {
  if (text === undefined) return {}
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw usage(`${flag} wants a number, not "${text}".`, `Write ${flag} 1, say.`)
  // A computed key is widened to string by the compiler.
  return { [key]: value } as Partial<Record<K, number>>
}
