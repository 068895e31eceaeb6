/**
 * The loop of a chat: a line, what it means, its answer.
 *
 * @module
 */
import type { Mai } from '../../chat/mai.ts'
import type { MessageInput, Reply, SendOptions } from '../../chat/reply.ts'
import type { AnswerPlace } from '../terminal/answer-view.ts'
import { columnsOf } from '../terminal/colour.ts'
import { type Entry, EntryReader } from './entry.ts'
import type { ChatInput } from './input.ts'
import { showAnswer } from './show-answer.ts'
import { runSlash } from './slash.ts'

/** What a conversation needs of its command. */
export interface ConversationParts {
  readonly mai: Mai
  readonly input: ChatInput
  readonly place: AnswerPlace
  readonly statusScreen: NodeJS.WritableStream | undefined
  readonly options: SendOptions
  /** Goes with the first message: pictures. */
  readonly attached: Exclude<MessageInput, string>
  /** A word beside the conversation. */
  hint(text: string): void
  /** Tells an error. @returns its exit code */
  fail(error: unknown): number
  timing(reply: Reply): void
}

/** One chat. */
export class Conversation {
  readonly #parts: ConversationParts
  readonly #reader = new EntryReader()
  #options: SendOptions
  #attached: Exclude<MessageInput, string>
  /** Of the first failure. */
  #code = 0

  constructor(parts: ConversationParts) {
    this.#parts = parts
    this.#options = parts.options
    this.#attached = parts.attached
  }

  /** Runs until the person leaves or the input ends. @returns the exit code */
  async run(): Promise<number> {
    const { input, hint } = this.#parts
    let hinted = false
    for (;;) {
      const line = await input.read(this.#reader.open ? '… ' : '> ')
      if (line.kind === 'end') break
      if (line.kind === 'line') {
        hinted = false
        if (await this.#take(this.#reader.push(line.text))) return this.#end()
        continue
      }
      const nothingToTakeBack = !line.typed && !this.#reader.open
      if (!input.interactive) return 130
      if (nothingToTakeBack && hinted) return this.#end()
      hinted = nothingToTakeBack
      this.#reader.discard()
      if (hinted) hint('\n(Ctrl-C again, or Ctrl-D, leaves.)\n')
    }
    // A person who leaves in the middle of a block has not sent it; a pipe has nothing more to say.
    if (input.interactive) hint('\n')
    else await this.#take(this.#reader.end())
    return this.#end()
  }

  /** For a person, failures were told and are over. */
  #end(): number {
    return this.#parts.input.interactive ? 0 : this.#code
  }

  /** @returns whether to leave */
  async #take(entry: Entry): Promise<boolean> {
    const { input } = this.#parts
    if (entry.kind === 'message') {
      input.remember(entry.text)
      await this.#answer([{ type: 'text', text: entry.text }, ...this.#attached])
      this.#attached = []
    } else if (entry.kind === 'command') {
      input.remember(`/${entry.name} ${entry.argument}`.trim())
      return this.#command(entry.name, entry.argument)
    }
    return false
  }

  async #command(name: string, argument: string): Promise<boolean> {
    const { mai, place } = this.#parts
    try {
      return await runSlash(name, argument, {
        mai,
        columns: place.onTerminal ? columnsOf(place.out) : Number.POSITIVE_INFINITY,
        say: (text) => void place.out.write(text),
        answer: (parts) => this.#answer(parts),
        forgetModel: () => {
          const { model: _, ...rest } = this.#options
          this.#options = rest
        },
      })
    } catch (error) {
      const code = this.#parts.fail(error)
      this.#code ||= code
      return false
    }
  }

  async #answer(message: MessageInput): Promise<void> {
    const { mai, input, place, statusScreen, hint } = this.#parts
    const stream = mai.streamMessage(message, this.#options)
    input.onInterrupt = () => stream.cancel()
    try {
      await showAnswer(mai, stream, place, statusScreen)
      const reply = await stream.reply
      if (reply.finishReason === 'cancelled') {
        if (!input.interactive) this.#code ||= 130
        hint('(stopped)\n')
      }
      this.#parts.timing(reply)
    } catch (error) {
      const code = this.#parts.fail(error)
      this.#code ||= code
    } finally {
      input.onInterrupt = undefined
      // Room between an answer and the next prompt.
      if (input.interactive) place.out.write('\n')
    }
  }
}
