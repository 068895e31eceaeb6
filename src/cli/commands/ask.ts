/** `mai ask`: one answer to standard output. */
import { Command, Option } from 'clipanion'
import type { Part } from '../../chat/message.ts'
import type { ReplyStream } from '../../chat/reply.ts'
import { errorJson, errorText, exitCodeOf } from '../exit.ts'
import { neutralise } from '../neutralise.ts'
import { TalkCommand } from '../talk.ts'

export class AskCommand extends TalkCommand {
  static override paths = [['ask']]
  static override usage = Command.Usage({
    description: 'One answer to standard output',
    details: 'Piped standard input is added to the message as material.',
    examples: [
      ['Ask', 'mai ask "Why is the sky blue?"'],
      ['About a file', 'mai ask "Summarise this" < notes.txt'],
    ],
  })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value instead of text' })
  streamJson: boolean = Option.Boolean('--stream-json', false, { description: 'A line of JSON for each piece' })
  words: string[] = Option.Rest()

  async run(): Promise<number> {
    const parts = await this.#parts()
    return this.withMai(async (mai) => {
      await this.openSession(mai)
      const stream = mai.streamMessage(parts, this.sendOptions())
      const interrupt = (): void => stream.cancel()
      process.once('SIGINT', interrupt)
      try {
        await this.#show(stream)
        return await this.#end(stream)
      } catch (error) {
        return this.#failed(stream, error)
      } finally {
        process.off('SIGINT', interrupt)
      }
    })
  }

  async #parts(): Promise<Part[]> {
    const typed: Part[] = [{ type: 'text', text: this.words.join(' ') }]
    const stdin = this.context.stdin as NodeJS.ReadStream
    const chunks: Buffer[] = []
    if (!stdin.isTTY) for await (const chunk of stdin) chunks.push(Buffer.from(chunk))
    // NUL bytes end a text in many places; a replacement character keeps the rest.
    const material = Buffer.concat(chunks).toString('utf8').replaceAll('\0', '\ufffd')
    if (material.includes('\ufffd'))
      this.context.stderr.write('mai: standard input is not all text; what could not be read was replaced.\n')
    const piped: Part[] = material.trim() === '' ? [] : [{ type: 'text', text: material, origin: 'material' }]
    return [...typed, ...piped, ...(await this.images())]
  }

  async #show(stream: ReplyStream): Promise<void> {
    const { stdout } = this.context
    const onTty = (stdout as NodeJS.WriteStream).isTTY === true
    for await (const { type, text } of stream) {
      if (this.streamJson) stdout.write(`${JSON.stringify({ type, text })}\n`)
      else if (!this.json && type === 'text') stdout.write(onTty ? neutralise(text) : text)
    }
  }

  async #end(stream: ReplyStream): Promise<number> {
    const reply = await stream.reply
    const { text, reasoning, model, backend, remote, finishReason, usage, attempts, switches, sessionId, turnId, timing } = reply
    const result = { text, reasoning, model, backend, remote, finishReason, usage, attempts, switches, sessionId, turnId }
    if (this.json) this.print(result)
    else if (this.streamJson) this.context.stdout.write(`${JSON.stringify({ type: 'done', ...result })}\n`)
    else this.context.stdout.write('\n')
    if (this.verbose) {
      this.context.stderr.write(
        `${model}: first text after ${timing.firstTextMs ?? '–'} ms, ${timing.tokensPerSecond?.toFixed(1) ?? '–'} tokens/s\n`,
      )
    }
    return finishReason === 'cancelled' ? 130 : 0
  }

  #failed(stream: ReplyStream, error: unknown): number {
    const result = { error: errorJson(error), ...stream.report() }
    if (this.json) this.print(result)
    else if (this.streamJson) this.context.stdout.write(`${JSON.stringify({ type: 'done', ...result })}\n`)
    else this.context.stderr.write(`${stream.report().text === '' ? '' : '\n'}${errorText(error)}`)
    return exitCodeOf(error)
  }
}
