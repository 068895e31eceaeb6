/**
 * What can be typed behind a slash in a chat.
 *
 * @module
 */
import type { Mai } from '../../chat/mai.ts'
import type { Part } from '../../chat/message.ts'
import { nearest } from '../../chat/nearest.ts'
import { MaiError } from '../../core/errors.ts'
import { neutraliseLine } from '../neutralise.ts'
import { markdownOf, sessionLine } from '../session-view.ts'
import { statusLines } from '../status-view.ts'
import { definitions } from '../terminal/width.ts'

/** Sessions that `/sessions` shows. */
const SESSIONS_SHOWN = 10
/** Messages that `/save` writes at most. */
const ALL = 1_000_000

/** What a command works with. */
export interface SlashContext {
  readonly mai: Mai
  readonly columns: number
  /** Text for the person. */
  say(text: string): void
  /** Answers a message as if it had been typed. */
  answer(parts: readonly Part[]): Promise<void>
  /** From now on the pin and the policy decide, no longer `--model`. */
  forgetModel(): void
}

interface SlashCommand {
  readonly name: string
  readonly argument?: string
  readonly summary: string
  /** @returns true to leave */
  run(context: SlashContext, argument: string): Promise<boolean | undefined>
}

const COMMANDS: readonly SlashCommand[] = [
  {
    name: 'help',
    summary: 'this list',
    async run({ say, columns }) {
      const rows = COMMANDS.map(({ name, argument, summary }) => [`/${name}${argument ? ` ${argument}` : ''}`, summary] as const)
      say(definitions([...rows, ['"""', 'begins and ends a message of several lines']], columns))
      return undefined
    },
  },
  {
    name: 'model',
    summary: 'the model in use, and why',
    async run({ mai, say }) {
      const { model, decision, pinned } = await mai.models.getCurrentModelStatus()
      const why = pinned !== undefined ? 'pinned' : decision?.reason
      say(model === undefined ? 'none yet\n' : `${neutraliseLine(model)}${why ? ` (${why})` : ''}\n`)
      return undefined
    },
  },
  {
    name: 'switch',
    argument: '<model>|auto',
    summary: 'pin a model from the next message on, or let Mai choose',
    async run({ mai, say, forgetModel }, argument) {
      if (argument === '') {
        for (const { key } of await mai.models.list()) say(`${neutraliseLine(key)}\n`)
        return undefined
      }
      const model = await mai.models.pin(argument === 'auto' ? undefined : argument)
      forgetModel()
      say(model === undefined ? 'Mai chooses again\n' : `pinned ${neutraliseLine(model)}\n`)
      return undefined
    },
  },
  {
    name: 'status',
    summary: 'what is loaded, and what the machine has left',
    async run({ mai, say }) {
      say(`${statusLines(await mai.getSystemStatus()).join('\n')}\n`)
      return undefined
    },
  },
  {
    name: 'sessions',
    argument: '[id]',
    summary: 'the latest conversations; with an id, go on with that one',
    async run({ mai, say, columns }, argument) {
      if (argument !== '') {
        const { title, messageCount } = await mai.openSession({ id: argument })
        say(`${neutraliseLine(title)} (${messageCount} messages)\n`)
        return undefined
      }
      for (const session of await mai.store.listSessions({ limit: SESSIONS_SHOWN })) say(`${sessionLine(session, columns)}\n`)
      return undefined
    },
  },
  {
    name: 'retry',
    summary: 'answer the last message once more',
    async run({ mai, answer }) {
      const parts = await mai.undoTurn()
      if (!parts) throw nothingSaid()
      await answer(parts)
      return undefined
    },
  },
  {
    name: 'undo',
    summary: 'take back the last message and its answer',
    async run({ mai, say }) {
      if (!(await mai.undoTurn())) throw nothingSaid()
      say('taken back\n')
      return undefined
    },
  },
  {
    name: 'save',
    argument: '[file]',
    summary: 'write the conversation to a Markdown file',
    async run({ mai, say }, argument) {
      say(`saved ${neutraliseLine(await save(mai, argument))}\n`)
      return undefined
    },
  },
  { name: 'exit', summary: 'leave (Ctrl-D)', run: async () => true },
]

/** All of them with their slash. */
export const SLASH_NAMES: readonly string[] = COMMANDS.map(({ name }) => `/${name}`)

/** Runs a command. @returns true to leave. @throws MaiError `MAI_UNKNOWN_COMMAND` with the nearest names, and what the command throws */
export async function runSlash(name: string, argument: string, context: SlashContext): Promise<boolean> {
  const command = COMMANDS.find((known) => known.name === name)
  if (command) return (await command.run(context, argument)) ?? false
  const near = nearest(
    name,
    SLASH_NAMES.map((known) => known.slice(1)),
  ).map((found) => `/${found}`)
  throw new MaiError('MAI_UNKNOWN_COMMAND', `There is no command /${name}.`, {
    cure: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : '/help lists the commands.',
    details: { name, nearest: near },
  })
}

function nothingSaid(): MaiError {
  return new MaiError('MAI_USAGE', 'Nothing has been said in this conversation yet.', { cure: 'Write a message.' })
}

/** @returns the file. @throws MaiError `MAI_USAGE` where it cannot be written; a file that is there stays as it is */
async function save(mai: Mai, wanted: string): Promise<string> {
  const { sessionId } = mai.getStatus()
  const session = sessionId === undefined ? undefined : await mai.store.getSession(sessionId)
  if (!session) throw nothingSaid()
  const messages = await mai.getConversationHistory({ limit: ALL })
  const { writeFile } = await import('node:fs/promises')
  const file = wanted || `mai-${session.id.slice(0, 8)}.md`
  await writeFile(file, markdownOf(session, messages), { flag: 'wx', mode: 0o600 }).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'EEXIST' ? `${file} exists already.` : `${file} cannot be written: ${cause.message}`
    throw new MaiError('MAI_USAGE', why, { cure: 'Give another name: /save <file>.', cause })
  })
  return file
}
