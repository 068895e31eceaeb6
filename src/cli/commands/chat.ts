/** `mai chat`: a conversation, typed or piped line by line. */
import { createInterface } from 'node:readline'
import { Command } from 'clipanion'
import type { Mai } from '../../chat/mai.ts'
import { errorText, exitCodeOf } from '../exit.ts'
import { neutralise } from '../neutralise.ts'
import { TalkCommand } from '../talk.ts'

const HELP =
  '/model  the model in use\n/switch <key>|auto  pin a model, or let Mai choose\n/exit  leave (Ctrl-D)\n"""  begins and ends a message of several lines\n'

export class ChatCommand extends TalkCommand {
  static override paths = [['chat']]
  static override usage = Command.Usage({
    description: 'A conversation',
    details: 'Ctrl-C stops an answer and keeps the session; twice on an empty line leaves.',
    examples: [
      ['Talk', 'mai chat'],
      ['Go on where you were', 'mai chat --continue'],
    ],
  })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      await this.openSession(mai)
      const { stdin, stdout, stderr } = this.context
      const tty = (stdin as NodeJS.ReadStream).isTTY === true
      const lines = createInterface({ input: stdin, terminal: tty, ...(tty ? { output: stdout, prompt: '> ' } : {}) })
      let answering: { cancel(): void } | undefined
      let hinted = false
      const interrupt = (): void => {
        if (answering) return answering.cancel()
        if (hinted || !tty) return lines.close()
        hinted = true
        stderr.write('\nCtrl-C again, or Ctrl-D, leaves.\n')
        lines.prompt()
      }
      lines.on('SIGINT', interrupt)
      process.on('SIGINT', interrupt)
      let block: string[] | undefined
      let code = 0
      if (tty) lines.prompt()
      try {
        for await (const line of lines) {
          hinted = false
          if (line.trim() === '"""' || block) {
            if (line.trim() !== '"""') block?.push(line)
            else if (!block) block = []
            else {
              const text = block.join('\n')
              block = undefined
              code = await this.#answer(mai, text, (stream) => (answering = stream))
            }
          } else if (line.startsWith('/')) {
            if (!(await this.#command(mai, line.trim()))) break
          } else if (line.trim() !== '') code = await this.#answer(mai, line, (stream) => (answering = stream))
          answering = undefined
          if (tty) lines.prompt()
        }
      } finally {
        process.off('SIGINT', interrupt)
        lines.close()
      }
      return tty ? 0 : code
    })
  }

  async #answer(mai: Mai, text: string, began: (stream: { cancel(): void } | undefined) => void): Promise<number> {
    const { stdout, stderr } = this.context
    const onTty = (stdout as NodeJS.WriteStream).isTTY === true
    const stream = mai.streamMessage(text, this.sendOptions())
    began(stream)
    try {
      for await (const piece of stream) if (piece.type === 'text') stdout.write(onTty ? neutralise(piece.text) : piece.text)
      await stream.reply
      stdout.write('\n')
      return 0
    } catch (error) {
      stderr.write(`\n${errorText(error)}`)
      return exitCodeOf(error)
    } finally {
      began(undefined)
    }
  }

  /** @returns whether the conversation goes on */
  async #command(mai: Mai, line: string): Promise<boolean> {
    const { stdout, stderr } = this.context
    const [name, argument] = line.split(/\s+/)
    if (name === '/exit') return false
    try {
      if (name === '/model') stdout.write(`${neutralise(mai.getStatus().model ?? 'none yet')}\n`)
      else if (name === '/switch' && argument) {
        const model = await mai.models.pin(argument === 'auto' ? undefined : argument)
        stdout.write(model ? `pinned ${neutralise(model)}\n` : 'Mai chooses again\n')
      } else stdout.write(HELP)
    } catch (error) {
      stderr.write(errorText(error))
    }
    return true
  }
}
