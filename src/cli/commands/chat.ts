/** `mai chat`: a conversation, typed or piped line by line. */
import { Command } from 'clipanion'
import type { Mai } from '../../chat/mai.ts'
import type { ChatInput } from '../chat/input.ts'
import { errorText, exitCodeOf } from '../exit.ts'
import { neutraliseLine } from '../neutralise.ts'
import { TalkCommand } from '../talk.ts'
import { dimmed, isTerminal } from '../terminal/colour.ts'

export class ChatCommand extends TalkCommand {
  static override paths = [['chat']]
  static override usage = Command.Usage({
    description: 'A conversation',
    details: `
      Ctrl-C stops an answer and keeps the session; twice at an empty prompt leaves. ↑ finds what was typed before, also in earlier runs.

      A paste of several lines is one message, and so is what stands between two lines of \`"""\`; Alt-Enter begins a new line.
      \`/help\` lists the commands: \`/model\`, \`/switch\`, \`/status\`, \`/sessions\`, \`/retry\`, \`/undo\`, \`/save\`, \`/exit\`.

      From a pipe, each line is a message.
    `,
    examples: [
      ['Talk', 'mai chat'],
      ['Go on where you were', 'mai chat --continue'],
      ['About a picture', 'mai chat --image map.png'],
      ['Several questions at once', 'mai chat < questions.txt'],
    ],
  })

  async run(): Promise<number> {
    const options = this.sendOptions()
    const attached = await this.images()
    return this.withMai(async (mai) => {
      const { ensureFirstModel } = await import('../first-run.ts')
      await ensureFirstModel(this, mai, { yes: this.yes })
      await this.openSession(mai)
      const [{ Conversation }, input] = await Promise.all([import('../chat/conversation.ts'), this.#input(mai)])
      this.onInterrupt = () => input.interrupt()
      try {
        if (input.interactive) await this.#greet(mai)
        return await new Conversation({
          mai,
          input,
          options,
          attached,
          place: this.answerPlace,
          statusScreen: this.statusScreen,
          hint: (text) =>
            void (this.quiet || !input.interactive || this.context.stderr.write(dimmed(text, this.escapes(this.context.stderr)))),
          fail: (error) => {
            this.context.stderr.write(errorText(error, this.context.stderr))
            return exitCodeOf(error)
          },
          timing: (reply) => this.sayTiming(reply),
        }).run()
      } finally {
        input.close()
      }
    })
  }

  /** The line editor where its escape sequences are allowed, else plain lines. */
  async #input(mai: Mai): Promise<ChatInput> {
    const { stdin, stdout } = this.context
    const onTerminal = isTerminal(stdin) && this.onTerminal
    if (onTerminal && this.escapes(stdout)) {
      const { openPrompt } = await import('../chat/open-prompt.ts')
      return openPrompt((text) => this.notice(text))
    }
    const { linesOf, PlainInput } = await import('../chat/plain-input.ts')
    const lines = linesOf(stdin as NodeJS.ReadStream, mai.limits.maxMessageBytes)
    return new PlainInput(lines, onTerminal ? (prompt) => void stdout.write(prompt) : undefined)
  }

  /** Two lines at most. */
  async #greet(mai: Mai): Promise<void> {
    if (this.quiet) return
    const { sessionId } = mai.getStatus()
    const session = sessionId === undefined ? undefined : await mai.store.getSession(sessionId)
    const going = session ? `Going on with “${neutraliseLine(session.title)}”, ${session.messageCount} messages.\n` : ''
    this.context.stdout.write(dimmed(`${going}/help lists the commands, Ctrl-D leaves.\n\n`, this.escapes(this.context.stdout)))
  }
}
