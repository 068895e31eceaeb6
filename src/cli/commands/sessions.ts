/** `mai sessions`: past conversations. */
import { Command, Option } from 'clipanion'
import { textOf } from '../../chat/message.ts'
import { MaiCommand } from '../base.ts'
import { neutralise } from '../neutralise.ts'

export class SessionsCommand extends MaiCommand {
  static override paths = [['sessions'], ['sessions', 'list']]
  static override usage = Command.Usage({ description: 'All sessions, the latest first', examples: [['List', 'mai sessions']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const sessions = await mai.store.listSessions()
      if (this.json) this.print(sessions)
      else
        for (const { id, title, messageCount, updatedAt } of sessions) {
          const when = new Date(updatedAt).toISOString().slice(0, 16).replace('T', ' ')
          this.context.stdout.write(`${id}  ${when}  ${String(messageCount).padStart(4)}  ${neutralise(title)}\n`)
        }
      return 0
    })
  }
}

export class SessionsShowCommand extends MaiCommand {
  static override paths = [['sessions', 'show']]
  static override usage = Command.Usage({ description: 'What was said', examples: [['Show', 'mai sessions show 1a2b']] })
  override json: boolean = Option.Boolean('--json', false, { description: 'One JSON value' })
  id: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const session = await mai.openSession({ id: this.id })
      const messages = await mai.getConversationHistory({ limit: 10_000 })
      if (this.json) this.print({ ...session, messages })
      else for (const { role, parts } of messages) this.context.stdout.write(`${role}: ${neutralise(textOf(parts))}\n\n`)
      return 0
    })
  }
}

export class SessionsDeleteCommand extends MaiCommand {
  static override paths = [['sessions', 'delete']]
  static override usage = Command.Usage({ description: 'Delete a session', examples: [['Delete', 'mai sessions delete 1a2b']] })
  id: string = Option.String()

  async run(): Promise<number> {
    return this.withMai(async (mai) => {
      const { id } = await mai.openSession({ id: this.id })
      await mai.store.deleteSession(id)
      this.context.stdout.write(`deleted ${id}\n`)
      return 0
    })
  }
}
