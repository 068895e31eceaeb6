/** `mai sessions`: past conversations. */
import { once } from 'node:events'
import { Command, Option } from 'clipanion'
import { textOf } from '../../chat/message.ts'
import { MaiCommand } from '../base.ts'
import { jsonLine } from '../json-text.ts'
import { neutraliseLine } from '../neutralise.ts'
import { markdownOf, messageText, sessionLine, timeText } from '../session-view.ts'
import { columnsOf } from '../terminal/colour.ts'
import { fitted } from '../terminal/width.ts'

const ALL = { limit: Number.POSITIVE_INFINITY }

/** A command that shows sessions. */
abstract class SessionsBase extends MaiCommand {
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  /** Lines are cut to a terminal, and whole in a pipe. */
  protected get columns(): number {
    return this.onTerminal ? columnsOf(this.context.stdout) : Number.POSITIVE_INFINITY
  }
}

export class SessionsCommand extends SessionsBase {
  static override paths = [['sessions'], ['sessions', 'list']]
  static override usage = Command.Usage({ description: 'All sessions, the latest first', examples: [['List', 'mai sessions']] })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const sessions = await mai.store.listSessions()
      if (this.json) this.print(sessions)
      else for (const session of sessions) this.say(`${sessionLine(session, this.columns)}\n`)
      return 0
    })
  }
}

export class SessionsShowCommand extends SessionsBase {
  static override paths = [['sessions', 'show']]
  static override usage = Command.Usage({
    description: 'What was said',
    details: 'An id may be shortened to its beginning.',
    examples: [['Show', 'mai sessions show 1a2b']],
  })
  id: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const session = await mai.openSession({ id: this.id })
      const messages = await mai.getConversationHistory(ALL)
      if (this.json) this.print({ ...session, messages })
      else for (const message of messages) this.say(messageText(message))
      return 0
    })
  }
}

export class SessionsSearchCommand extends SessionsBase {
  static override paths = [['sessions', 'search']]
  static override usage = Command.Usage({
    description: 'Messages that hold these words, the best first',
    examples: [['Search', 'mai sessions search "sourdough starter"']],
  })
  words: string[] = Option.Rest({ required: 1 })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const words = this.words.join(' ')
      const hits = await mai.store.search(words)
      if (this.json) this.print(hits)
      else if (hits.length === 0) this.say(/[\p{L}\p{N}]/u.test(words) ? 'nothing found\n' : 'there is no word in that to search for\n')
      else
        for (const { message } of hits) {
          const { sessionId, role, time, parts } = message
          this.say(`${fitted(`${sessionId}  ${timeText(time)}  ${role}: ${neutraliseLine(textOf(parts))}`, Math.min(this.columns, 400))}\n`)
        }
      return 0
    })
  }
}

export class SessionsExportCommand extends SessionsBase {
  static override paths = [['sessions', 'export']]
  static override usage = Command.Usage({
    description: 'Write a session to standard output, as JSON Lines or Markdown',
    details: 'JSON Lines, and the one value of `--json`, can be taken in again with `mai sessions import`.',
    examples: [
      ['Keep', 'mai sessions export 1a2b > talk.jsonl'],
      ['Read', 'mai sessions export 1a2b --markdown > talk.md'],
    ],
  })
  markdown: boolean = Option.Boolean('--markdown', false, { description: 'For people' })
  id: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const session = await mai.openSession({ id: this.id })
      if (this.markdown && !this.json) {
        const text = markdownOf(session, await mai.getConversationHistory(ALL))
        if (this.onTerminal) this.say(text)
        else this.context.stdout.write(text)
        return 0
      }
      const { exportLines, exportSession } = await import('../session-file.ts')
      if (this.json) this.print(await exportSession(mai.store, session))
      else await this.#write(exportLines(mai.store, session))
      return 0
    })
  }

  /** As fast as whoever reads takes it: a long session is never in memory as a whole. */
  async #write(lines: AsyncIterable<unknown>): Promise<void> {
    const { stdout } = this.context
    for await (const line of lines) if (!stdout.write(jsonLine(line))) await once(stdout, 'drain')
  }
}

export class SessionsImportCommand extends SessionsBase {
  static override paths = [['sessions', 'import']]
  static override usage = Command.Usage({
    description: 'Take in a session that was exported',
    details: 'Where its id is taken it gets a new one: nothing is overwritten. `-` is standard input.',
    examples: [['Take in', 'mai sessions import talk.jsonl']],
  })
  file: string = Option.String()

  async run(): Promise<number> {
    const [{ createReadStream }, { importSession, linesOf }] = await Promise.all([import('node:fs'), import('../session-file.ts')])
    return this.withMai(async (mai) => {
      const input = this.file === '-' ? this.context.stdin : createReadStream(this.file)
      const session = await importSession(mai.store, linesOf(input, this.file), this.file)
      if (this.json) this.print(session)
      else this.say(`imported ${neutraliseLine(session.id)}, ${session.messageCount} messages\n`)
      return 0
    })
  }
}

export class SessionsDeleteCommand extends SessionsBase {
  static override paths = [['sessions', 'delete']]
  static override usage = Command.Usage({ description: 'Delete a session', examples: [['Delete', 'mai sessions delete 1a2b']] })
  id: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const { id } = await mai.openSession({ id: this.id })
      await mai.store.deleteSession(id)
      if (this.json) this.print({ deleted: id })
      else this.say(`deleted ${neutraliseLine(id)}\n`)
      return 0
    })
  }
}
