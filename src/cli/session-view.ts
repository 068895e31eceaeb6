/**
 * Sessions as people read them.
 *
 * @module
 */
import { type Message, type Session, textOf } from '../chat/message.ts'
import { neutralise, neutraliseLine } from './neutralise.ts'
import { fitted, padded } from './terminal/width.ts'

const SPEAKERS: Readonly<Record<Message['role'], string>> = { user: 'You', assistant: 'Mai', system: 'System', tool: 'Tool' }

/** `2026-01-31 12:00`, in the time of this machine. */
export function timeText(time: number): string {
  const date = new Date(time)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** One line: id, time, messages, title. */
export function sessionLine({ id, title, messageCount, updatedAt }: Session, columns = Number.POSITIVE_INFINITY): string {
  const head = `${padded(neutraliseLine(id), 36)}  ${timeText(updatedAt)}  ${String(messageCount).padStart(4)}`
  return fitted(`${head}  ${neutraliseLine(title)}`.trimEnd(), columns)
}

/** What was said, for reading. */
export function messageText({ role, parts, complete }: Message): string {
  return `${role}: ${neutralise(textOf(parts))}${complete ? '' : ' …'}\n\n`
}

/** The whole conversation as Markdown. */
export function markdownOf(session: Session, messages: readonly Message[]): string {
  const title = neutraliseLine(session.title) || 'Conversation'
  const body = messages.map(({ role, parts, complete, time }) => {
    const pictures = parts.filter(({ type }) => type === 'image').length
    const attached = pictures > 0 ? `\n\n(${pictures === 1 ? 'a picture' : `${pictures} pictures`})` : ''
    return `## ${SPEAKERS[role]}, ${timeText(time)}\n\n${textOf(parts)}${attached}${complete ? '' : '\n\n(stopped here)'}\n`
  })
  return [`# ${title}\n`, ...body].join('\n')
}
