/** `mai ask`: one answer to standard output. */
import { Command, Option } from 'clipanion'
import type { Mai } from '../../chat/mai.ts'
import type { Part } from '../../chat/message.ts'
import type { Reply, ReplyStream } from '../../chat/reply.ts'
import { errorJson, errorText, exitCodeOf } from '../exit.ts'
import { jsonLine } from '../json-text.ts'
import { leave, SIGNAL_CODES } from '../leaving.ts'
import { TalkCommand } from '../talk.ts'
import { isTerminal } from '../terminal/colour.ts'

export class AskCommand extends TalkCommand {
  static override paths = [['ask']]
  static override usage = Command.Usage({
    description: 'One answer to standard output',
    details: 'Piped standard input is added to the message as material. Ctrl-C stops the answer; what was said is kept in the session.',
    examples: [
      ['Ask', 'mai ask "Why is the sky blue?"'],
      ['About a file', 'mai ask "Summarise this" < notes.txt'],
      ['Go on with the latest session', 'mai ask --continue "And in short?"'],
      ['For scripts', 'mai ask --json "Name a colour" | jq -r .text'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value instead of text' })
  streamJson: boolean = Option.Boolean('--stream-json', false, { description: 'A line of JSON for each piece' })
  words: string[] = Option.Rest()

  async run(): Promise<number> {
    const options = this.sendOptions()
    const images = await this.images()
    return this.withMai(async (mai) => {
      const material = await this.#material(mai)
      const parts: Part[] = [{ type: 'text', text: this.words.join(' ') }, ...material, ...images]
      mai.checkMessage(parts)
      const { ensureFirstModel } = await import('../first-run.ts')
      const first = await ensureFirstModel(this, mai, { yes: this.yes })
      await this.openSession(mai)
      const stream = mai.streamMessage(parts, options)
      this.onInterrupt = () => {
        this.onInterrupt = () => leave(SIGNAL_CODES.SIGINT, true)
        stream.cancel()
      }
      try {
        await this.#show(mai, stream)
        const reply = await stream.reply
        if (first) this.notice(`answered by ${reply.model}`)
        return this.#end(reply)
      } catch (error) {
        return this.#failed(stream, error)
      }
    })
  }

  protected override fail(error: unknown): void {
    if (this.streamJson) this.#line({ type: 'done', error: errorJson(error) })
    else super.fail(error)
  }

  async #material(mai: Mai): Promise<Part[]> {
    const { stdin } = this.context
    if (isTerminal(stdin)) return []
    const { readMaterial } = await import('../chat/material.ts')
    const { text, damaged } = await readMaterial(stdin as NodeJS.ReadStream, mai.limits.maxMessageBytes)
    if (damaged) this.notice('standard input is not all text; what could not be read was replaced.')
    return text.trim() === '' ? [] : [{ type: 'text', text, origin: 'material' }]
  }

  async #show(mai: Mai, stream: ReplyStream): Promise<void> {
    if (this.json) return
    if (this.streamJson) {
      for await (const { type, text } of stream) this.#line({ type, text })
      return
    }
    const { showAnswer } = await import('../chat/show-answer.ts')
    await showAnswer(mai, stream, this.answerPlace, this.statusScreen)
  }

  #end(reply: Reply): number {
    const { text, reasoning, model, backend, remote, finishReason, usage, attempts, switches, sessionId, turnId } = reply
    const result = { text, reasoning, model, backend, remote, finishReason, usage, attempts, switches, sessionId, turnId }
    if (this.json) this.print(result)
    else if (this.streamJson) this.#line({ type: 'done', ...result })
    this.sayTiming(reply)
    return finishReason === 'cancelled' ? SIGNAL_CODES.SIGINT : 0
  }

  #failed(stream: ReplyStream, error: unknown): number {
    const result = { error: errorJson(error), ...stream.report() }
    if (this.json) this.print(result)
    else if (this.streamJson) this.#line({ type: 'done', ...result })
    else this.context.stderr.write(errorText(error, this.context.stderr))
    return exitCodeOf(error)
  }

  #line(value: unknown): void {
    this.context.stdout.write(jsonLine(value))
  }
}
